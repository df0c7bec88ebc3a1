/** Two sets in memory that are compared, and what that took. */
import { createHash } from "node:crypto";
import { PrimeFingerprints } from "#ledger/prime-fingerprints.ts";
import { PrimeSet } from "#ledger/prime-set.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { reconcile } from "#ledger/reconcile.ts";
import type { PrimeId } from "#protocol/ids.ts";

export const numberedIds = (from: number, to: number): PrimeId[] =>
  Array.from(
    { length: to - from },
    (_, at) =>
      createHash("sha256")
        .update(String(from + at))
        .digest("hex") as PrimeId,
  );

/** `ids`: ascending. */
export function setOf(key: Uint8Array, ids: readonly PrimeId[]): { set: PrimeSet; fingerprints: PrimeFingerprints } {
  const fingerprints = new PrimeFingerprints({ key });
  fingerprints.add(ids);
  async function* idsWith(prefix: string): AsyncGenerator<readonly PrimeId[]> {
    const from = firstFrom(ids, prefix);
    const to = firstFrom(ids, `${prefix}g`);
    for (let at = from; at < to; at += 4096) yield ids.slice(at, Math.min(to, at + 4096));
  }
  return { set: new PrimeSet({ fingerprints, idsWith }), fingerprints };
}

function firstFrom(ids: readonly PrimeId[], text: string): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ids[middle]! < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface Comparison {
  readonly missing: PrimeId[];
  readonly extra: PrimeId[];
  readonly bytes: number;
  readonly roundsCount: number;
}

/** Compares sets that exist already. */
export async function compare(own: PrimeSet, theirs: PrimeSet, prefixes: readonly string[]): Promise<Comparison> {
  const missing: PrimeId[] = [];
  const extra: PrimeId[] = [];
  let bytes = 0;
  let roundsCount = 0;
  const ask = async (question: Uint8Array): Promise<Uint8Array> => {
    const answer = await answerQuestion(theirs, question);
    bytes += question.length + answer.length;
    roundsCount++;
    return answer;
  };
  for await (const difference of reconcile({ set: own, ask }, { prefixes })) {
    if ("missing" in difference) missing.push(...difference.missing);
    else extra.push(...difference.extra);
  }
  return { missing, extra, bytes, roundsCount };
}

export function compareSets(
  key: Uint8Array,
  own: readonly PrimeId[],
  theirs: readonly PrimeId[],
  prefixes: readonly string[],
): Promise<Comparison> {
  return compare(setOf(key, own).set, setOf(key, theirs).set, prefixes);
}
