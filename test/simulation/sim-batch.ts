/** Batches as a store takes them, whole and each prime what its id says, and pages as it gives them. */
import { type StoredPrime, parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { verifyPrime } from "#protocol/sealing.ts";

export function readBatch(batch: Uint8Array): StoredPrime[] {
  if (batch.length > limits.batchBytes)
    throw new CostorError("limit-exceeded", `a batch has at most ${limits.batchBytes} bytes`);
  const primes = [...parseBatch(batch)];
  for (const [index, { id, stored }] of primes.entries()) verifyNumbered(stored, id, index);
  return primes;
}

export function verifyNumbered(stored: Uint8Array, id: PrimeId, index: number): void {
  try {
    verifyPrime(stored, id);
  } catch (cause) {
    throw new CostorError("prime-mismatch", `prime ${id} has other bytes`, { cause, details: { index } });
  }
}

const PAGE_COUNT = 1000;

export function* pagesOf(ids: readonly PrimeId[]): Generator<PrimeId[]> {
  for (let at = 0; at < ids.length; at += PAGE_COUNT) yield ids.slice(at, at + PAGE_COUNT);
}
