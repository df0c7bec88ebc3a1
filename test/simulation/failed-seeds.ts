/** Runs that have failed once, and so are run always; with what was wrong. */
import type { ProgramName, RunInit } from "./sim-runs.ts";

export interface FailedSeed extends RunInit {
  readonly program: ProgramName;
  readonly reason: string;
}

export const failedSeeds: readonly FailedSeed[] = [
  {
    ...{ seed: 306, sitesCount: 4, hoursCount: 30, hostileCount: 1, program: "federation" },
    reason: "a peer that never answers kept a site from synchronising with others",
  },
  {
    ...{ seed: 3, sitesCount: 7, hoursCount: 30, hostileCount: 2, program: "ledger" },
    reason: "the same, of a ledger alone",
  },
  {
    ...{ seed: 1, sitesCount: 5, hoursCount: 24, program: "federation" },
    reason: "runs with two holders at once signed two live sets of one slice, and both were refused",
  },
];
