/** Runs that have failed once, and so are run always; with what was wrong. */
import type { ProgramName, RunInit } from "./sim-runs.ts";

export interface FailedSeed extends RunInit {
  readonly program: ProgramName;
  readonly reason: string;
}

export const failedSeeds: readonly FailedSeed[] = [];
