/** Compares a slice as it was signed: whatever is backed up meanwhile, the questions are about one list. */
import { PrimeFingerprints } from "#ledger/prime-fingerprints.ts";
import { PrimeSet, boundsOf } from "#ledger/prime-set.ts";
import { type SetDifference, reconcile } from "#ledger/reconcile.ts";
import type { PrimeId } from "#protocol/ids.ts";

export interface SliceComparison {
  /** Of the fingerprints: random, and not known to who chooses ids. */
  readonly key: Uint8Array;
  readonly slice: number;
  /** Ascending. */
  readonly ids: readonly PrimeId[];
  /** Has the holder answer a question. */
  readonly ask: (question: Uint8Array) => Promise<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/** What the holder lacks, and what only it has. Throws like ledger/reconcile.ts. */
export function compareSlice({ key, slice, ids, ask, signal }: SliceComparison): AsyncIterable<SetDifference> {
  const init = { prefixes: [slice.toString(16)], ...(signal && { signal }) };
  return reconcile({ set: setOfList(key, ids), ask }, init);
}

/** A set of ascending ids under a key. */
export function setOfList(key: Uint8Array, ids: readonly PrimeId[]): PrimeSet {
  const fingerprints = new PrimeFingerprints({ key });
  fingerprints.add(ids);
  const idsWith = async function* (prefix: string): AsyncGenerator<readonly PrimeId[]> {
    yield ids.slice(...boundsOf(ids, prefix));
  };
  return new PrimeSet({ fingerprints, idsWith });
}
