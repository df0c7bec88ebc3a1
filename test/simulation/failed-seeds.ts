/** Runs that have failed once, and so are run always; with what was wrong. */
import type { RunInit } from "./sim-runs.ts";

export const failedSeeds: readonly (RunInit & { readonly reason: string })[] = [];
