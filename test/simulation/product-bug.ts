/** A bug to be found by the simulator: a change of the real program. */
import type { Patch } from "./patched-tree.ts";

export interface ProductBug {
  readonly what: string;
  readonly patches: readonly Patch[];
  /** That has to find it. */
  readonly invariants: readonly string[];
  /** A seed that finds it, found by trying. */
  readonly seed: number;
  /** Of the command, besides the seed. */
  readonly words: readonly string[];
}

/** Five sites for half a day. */
export const plain = ["--sites", "5", "--hours", "12"];
