/** What the scenario `replicate` moves: primes of the sizes that backups make, from a seed, one at a time. */
import { createHash } from "node:crypto";
import { limits } from "#protocol/limits.ts";
import { type PrimeId, primeIdFromBytes } from "#protocol/ids.ts";
import { batchEntry, batchEntryBytes } from "#protocol/batch.ts";
import { keyStream, seededFractions } from "./generated-content.ts";

const KIB = 1024;
const BATCH_BYTES = 8 * KIB * KIB;

/** Nine of ten primes have 128 KiB to 1 MiB, small ones more often; the rest 4 to 128 KiB. They add up to `allBytes`. */
export function primeSizes(allBytes: number): number[] {
  const fraction = seededFractions("replicated primes");
  const sizes: number[] = [];
  for (let leftBytes = allBytes; leftBytes > 0; leftBytes -= sizes.at(-1)!) {
    const [least, most] = fraction() < 0.9 ? [128, 1024] : [4, 128];
    sizes.push(Math.min(leftBytes, Math.floor(least * (most / least) ** fraction() * KIB)));
  }
  return sizes;
}

/** The bytes of one prime: nothing compresses them. */
export const primeContent = (index: number, sizeBytes: number): Buffer => keyStream(`prime ${index}`, sizeBytes);

export const idOf = (stored: Uint8Array): PrimeId => primeIdFromBytes(createHash("sha256").update(stored).digest());

/** Batches for a store, each in memory of its own. */
export function* primeBatches(sizes: readonly number[]): Generator<Buffer> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  for (const [index, sizeBytes] of sizes.entries()) {
    const stored = primeContent(index, sizeBytes);
    pieces.push(...batchEntry({ id: idOf(stored), stored }));
    bytes += batchEntryBytes(sizeBytes);
    if (bytes < BATCH_BYTES && pieces.length < limits.batchPrimesCount && index < sizes.length - 1) continue;
    yield Buffer.concat(pieces);
    pieces = [];
    bytes = 0;
  }
}
