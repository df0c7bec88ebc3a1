/**
 * The scenario `reconcile`: what the comparison of two sets of ids takes when they differ by nothing, a little and much. Both sides
 * run here, in one thread, with their ids in memory; between sites each read of a leaf is a read of the store's index.
 */
import { createHash } from "node:crypto";
import type { PrimeId } from "#protocol/ids.ts";
import { compareSets, numberedIds } from "#test/ledger/compared-sets.ts";

const differencesCounts = [0, 10, 10_000] as const;
const key = createHash("sha256").update("reconcile").digest();

/** Half of the differences on each side; then all with the owner. Prints a table. */
export async function benchReconcile({ isSmall }: { isSmall: boolean }): Promise<void> {
  const idsCount = isSmall ? 50_000 : 1_000_000;
  const all = numberedIds(0, idsCount + 10_000);
  const theirsAlone = all.slice(idsCount);
  const own = all.slice(0, idsCount).toSorted();
  console.log(`\nreconcile: two sets of ${idsCount} ids\n`);
  console.log("| only owner has | only holder has | bytes | rounds | fingerprints, s | comparison, s | memory, MB |");
  console.log("|---|---|---|---|---|---|---|");
  for (const differencesCount of differencesCounts) {
    for (const missingShare of differencesCount === 0 ? [1] : [1, 0.5]) {
      const missingCount = differencesCount * missingShare;
      const theirs = withoutSome(own, missingCount);
      theirs.push(...theirsAlone.slice(0, differencesCount - missingCount));
      theirs.sort();
      const result = await compareSets(key, own, theirs, [""]);
      if (result.missing.length + result.extra.length !== differencesCount)
        throw new Error("a difference was not found");
      const { missing, extra, bytes, roundsCount, buildMs, compareMs, grownBytes } = result;
      const seconds = (ms: number): string => (ms / 1000).toFixed(2);
      const columns = [missing.length, extra.length, bytes, roundsCount, seconds(buildMs / 2), seconds(compareMs)];
      console.log(`| ${[...columns, (grownBytes / 1e6).toFixed(0)].join(" | ")} |`);
    }
  }
}

/** All but so many, which lie far apart. */
function withoutSome(ids: readonly PrimeId[], count: number): PrimeId[] {
  const gone = new Set(Array.from({ length: count }, (_, at) => Math.floor((at * ids.length) / count)));
  return ids.filter((_, at) => !gone.has(at));
}
