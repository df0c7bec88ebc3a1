/**
 * A batch of primes on the wire: for each prime its id (32 bytes), the length of its stored bytes (32 bits, big endian)
 * and the stored bytes. Spec: docs/specs/http.md.
 */
import { CostorError } from "./errors.ts";
import { type PrimeId, primeIdFromBytes, primeIdToBytes } from "./ids.ts";
import { limits } from "./limits.ts";

export interface StoredPrime {
  readonly id: PrimeId;
  /** The sealed bytes, whose SHA-256 is `id`. */
  readonly stored: Uint8Array;
}

const HEAD_BYTES = 36;

/** What a prime of `storedBytes` takes in a batch. */
export const batchEntryBytes = (storedBytes: number): number => HEAD_BYTES + storedBytes;

/** The pieces of one entry, to be written one after the other. */
export function batchEntry(prime: StoredPrime): [head: Buffer, stored: Uint8Array] {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  primeIdToBytes(prime.id).copy(head);
  head.writeUInt32BE(prime.stored.length, 32);
  return [head, prime.stored];
}

/**
 * The primes of a whole batch, in order, as views of `batch`. Ids are not verified here.
 * Throws `bad-request` or `limit-exceeded` when the framing is wrong.
 */
export function* parseBatch(batch: Uint8Array): Generator<StoredPrime> {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.length);
  let count = 0;
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < HEAD_BYTES) throw new CostorError("bad-request", `batch: byte ${at}: a head is cut short`);
    if (++count > limits.batchPrimesCount) {
      throw new CostorError("limit-exceeded", `batch: more than ${limits.batchPrimesCount} primes`);
    }
    const id = primeIdFromBytes(bytes.subarray(at, at + 32));
    const length = bytes.readUInt32BE(at + 32);
    if (length > limits.primeStoredBytes) {
      throw new CostorError("limit-exceeded", `batch: prime ${id} claims ${length} bytes`);
    }
    const start = at + HEAD_BYTES;
    if (start + length > bytes.length) throw new CostorError("bad-request", `batch: prime ${id} is cut short`);
    yield { id, stored: bytes.subarray(start, start + length) };
    at = start + length;
  }
}

/**
 * The primes of a batch that arrives in pieces; holds one prime at a time, each in memory of its own that may be
 * transferred. Throws like {@link parseBatch}.
 */
export async function* readBatch(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<StoredPrime> {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  let stored: Buffer | undefined;
  /** Bytes that `head`, or else `stored`, has by now. */
  let filled = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const target: Buffer = stored ?? head;
      const taken = Math.min(target.length - filled, piece.length - at);
      target.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (!stored && filled === HEAD_BYTES) {
        const length = head.readUInt32BE(32);
        if (length > limits.primeStoredBytes)
          throw new CostorError("limit-exceeded", `batch: a prime claims ${length} bytes`);
        stored = Buffer.allocUnsafeSlow(length);
        filled = 0;
      }
      if (stored && filled === stored.length) {
        yield { id: primeIdFromBytes(head.subarray(0, 32)), stored };
        stored = undefined;
        filled = 0;
      }
    }
  }
  if (stored || filled > 0) throw new CostorError("bad-request", "batch: ends inside a prime");
}
