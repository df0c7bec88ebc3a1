/** What snapshots are read from, over stored primes wherever they come from. */
import { limits } from "#protocol/limits.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { ExportSource } from "./export-source.ts";
import { OpenedPrimes, type OpenedPrimesComponents } from "./opened-primes.ts";

export interface PrimeSource extends ExportSource {
  readonly tree: TreeReader;
}

export function openPrimeSource({ fetchPrime }: OpenedPrimesComponents): PrimeSource {
  const opened = new OpenedPrimes({ fetchPrime }, { limitBytes: limits.exportOpenedBytes });
  return { tree: new TreeReader({ fetchPrime }), openSlice: (slice) => opened.openSlice(slice) };
}
