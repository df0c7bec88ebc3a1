/** Two sets in memory that are compared, and what that took. */
import { createHash } from "node:crypto";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { reconcile } from "#ledger/reconcile.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { PrimeId } from "#protocol/ids.ts";

export const numberedIds = (from: number, to: number): PrimeId[] =>
  Array.from(
    { length: to - from },
    (_, at) =>
      createHash("sha256")
        .update(String(from + at))
        .digest("hex") as PrimeId,
  );

export interface Comparison {
  readonly missing: PrimeId[];
  readonly extra: PrimeId[];
  readonly bytes: number;
  readonly roundsCount: number;
  /** Making the fingerprints of both. */
  readonly buildMs: number;
  readonly compareMs: number;
  /** By how much the process was larger than after that, at most, when a question was answered. */
  readonly grownBytes: number;
}

/** `own` and `theirs`: ascending. */
export async function compareSets(
  key: Uint8Array,
  own: readonly PrimeId[],
  theirs: readonly PrimeId[],
  prefixes: readonly string[],
): Promise<Comparison> {
  const missing: PrimeId[] = [];
  const extra: PrimeId[] = [];
  let bytes = 0;
  let roundsCount = 0;
  const startMs = performance.now();
  const [ownSet, theirSet] = [setOfList(key, own), setOfList(key, theirs)];
  const builtMs = performance.now();
  const builtBytes = process.memoryUsage.rss();
  let grownBytes = 0;
  const ask = async (question: Uint8Array): Promise<Uint8Array> => {
    const answer = await answerQuestion(theirSet, question);
    bytes += question.length + answer.length;
    roundsCount++;
    grownBytes = Math.max(grownBytes, process.memoryUsage.rss() - builtBytes);
    return answer;
  };
  for await (const difference of reconcile({ set: ownSet, ask }, { prefixes })) {
    if ("missing" in difference) missing.push(...difference.missing);
    else extra.push(...difference.extra);
  }
  const compareMs = performance.now() - builtMs;
  return { missing, extra, bytes, roundsCount, buildMs: builtMs - startMs, compareMs, grownBytes };
}
