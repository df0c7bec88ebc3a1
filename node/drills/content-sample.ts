/** A sample of the content of files: its primes, and whether what others have of them is what this site has. */
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { openPrime } from "#protocol/sealing.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import type { ChosenFile } from "./chosen-files.ts";
import type { FetchPrime } from "./drills.ts";

export interface ContentSample {
  /** Each with the first file that it belongs to, for people. */
  readonly primes: ReadonlyMap<PrimeId, { readonly reference: ContentSlice["prime"]; readonly path: string }>;
  readonly filesCount: number;
}

/** As many primes of these files as may be. */
export async function sampleContent(
  { tree }: { readonly tree: Pick<TreeReader, "content"> },
  files: readonly ChosenFile[],
  mostCount: number,
): Promise<ContentSample> {
  const primes = new Map<PrimeId, { readonly reference: ContentSlice["prime"]; readonly path: string }>();
  let filesCount = 0;
  for (const { path, file } of files) {
    if (primes.size >= mostCount) break;
    filesCount++;
    for await (const { prime } of tree.content(file.content)) {
      if (primes.size >= mostCount) break;
      if (!primes.has(prime.id)) primes.set(prime.id, { reference: prime, path: displayName(path) });
    }
  }
  return { primes, filesCount };
}

/** Opens both. Throws `prime-corrupt`, `prime-missing`, `drill-differs`. */
export async function examinePrime(
  { primes }: Pick<ContentSample, "primes">,
  { id, stored }: StoredPrime,
  fetchOwn: FetchPrime,
): Promise<void> {
  const { reference } = primes.get(id)!;
  const found = openPrime(stored, reference, "content");
  if (!found.equals(openPrime(await fetchOwn(id), reference, "content")))
    throw new CostorError("drill-differs", "what the other site gathered is not what was backed up");
}
