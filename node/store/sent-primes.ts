/** Primes as they come in: nothing is kept under an id that is not that of its bytes. */
import { parseBatch, type StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { sha256 } from "./record.ts";

/** Throws `limit-exceeded`, `bad-request`. */
export function primesOfBatch(batch: Uint8Array): StoredPrime[] {
  if (batch.length > limits.batchBytes)
    throw new CostorError("limit-exceeded", `a batch has at most ${limits.batchBytes} bytes`);
  return [...parseBatch(batch)];
}

/** Throws `limit-exceeded`, and `prime-mismatch` with the number of the prime in `details.index`. */
export function verifiedPrimes(primes: readonly StoredPrime[]): { digest: Buffer; stored: Uint8Array }[] {
  return primes.map(({ id, stored }, index) => {
    if (stored.length > limits.primeStoredBytes) {
      throw new CostorError("limit-exceeded", `prime ${id} has ${stored.length} bytes`, { details: { index } });
    }
    const digest = sha256(stored);
    const found = primeIdFromBytes(digest);
    if (found !== id) {
      throw new CostorError("prime-mismatch", `prime ${index} of the batch, ${id}, has the bytes of ${found}`, {
        details: { index, expected: id, found },
      });
    }
    return { digest, stored };
  });
}
