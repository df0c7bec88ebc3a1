/** Primes read from the store as frames of batches: what goes out to a peer. */
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type StoredPrime, batchEntryBytes } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { giveBlock } from "#protocol/spare-blocks.ts";
import { batchPieces } from "./frame-codec.ts";

/** A batch ends with the prime that reaches this. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Read in one call, in the order of the disk: 34 MiB at the most. */
const READ_COUNT = 8;

export interface BatchFrame {
  /** Until the next one is asked for. */
  readonly frame: readonly Uint8Array[];
  readonly count: number;
  /** Of the stored primes. */
  readonly bytes: number;
}

/** Ids that cannot be read are left out, and told to `onLacking`. */
export async function* batchFrames(
  store: Pick<PrimeStore, "get" | "getMany">,
  ids: readonly PrimeId[],
  onLacking: (id: PrimeId) => void,
): AsyncGenerator<BatchFrame> {
  let primes: StoredPrime[] = [];
  let bytes = 0;
  const flush = function* (): Generator<BatchFrame> {
    yield { frame: batchPieces(primes), count: primes.length, bytes };
    for (const { stored } of primes) giveBlock(stored);
    primes = [];
    bytes = 0;
  };
  const readFrom = (at: number): Promise<StoredPrime[]> => {
    const read = readPrimes(store, ids.slice(at, at + READ_COUNT), onLacking);
    // Nobody may wait for it any more when it fails.
    read.catch(() => undefined);
    return read;
  };
  let coming = readFrom(0);
  for (let at = 0; at < ids.length; at += READ_COUNT) {
    const read = await coming;
    // The next ones are read while these are sent.
    coming = readFrom(at + READ_COUNT);
    for (const prime of read) {
      primes.push(prime);
      bytes += batchEntryBytes(prime.stored.length);
      if (bytes >= BATCH_BYTES || primes.length >= limits.batchPrimesCount) yield* flush();
    }
  }
  if (primes.length > 0) yield* flush();
}

async function readPrimes(
  store: Pick<PrimeStore, "get" | "getMany">,
  ids: readonly PrimeId[],
  onLacking: (id: PrimeId) => void,
): Promise<StoredPrime[]> {
  try {
    const read = await store.getMany(ids);
    return read.map((stored, index) => ({ id: ids[index]!, stored }));
  } catch (error) {
    if (!isLacking(error)) throw error;
  }
  const primes: StoredPrime[] = [];
  for (const id of ids) {
    try {
      primes.push({ id, stored: await store.get(id) });
    } catch (error) {
      if (!isLacking(error)) throw error;
      onLacking(id);
    }
  }
  return primes;
}

const isLacking = (error: unknown): boolean =>
  isCostorError(error, "prime-missing") || isCostorError(error, "prime-corrupt");
