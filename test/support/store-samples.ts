/** Primes, agents and stores for tests of the store. */
import { createCipheriv, createHash } from "node:crypto";
import {
  type AgentId,
  makeUuidV7,
  parseAgentId,
  parsePrimeId,
  parseSiteId,
  type PrimeId,
  type SiteId,
} from "#protocol/ids.ts";
import { batchEntry, type StoredPrime } from "#protocol/batch.ts";
import { seededRandom } from "#test/support/recording-disk.ts";

export interface SamplePrime {
  readonly id: PrimeId;
  readonly stored: Buffer;
}

/** A prime of `bytes` random bytes; the same seed gives the same one. */
export function samplePrime(seed: number, bytes: number): SamplePrime {
  const key = createHash("sha256").update(`prime ${seed}`).digest().subarray(0, 16);
  const stored = createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
  return primeOf(stored);
}

function primeOf(stored: Buffer): SamplePrime {
  return { id: parsePrimeId(createHash("sha256").update(stored).digest("hex")), stored };
}

export const samplePrimes = (seed: number, count: number, bytes: number): SamplePrime[] =>
  Array.from({ length: count }, (_, at) => samplePrime(seed * 1000 + at, bytes));

export function sampleAgent(seed: number): AgentId {
  const random = seededRandom(seed);
  return parseAgentId(
    makeUuidV7(1_700_000_000_000 + seed, (bytes) => bytes.set(bytes.map(() => Math.floor(random() * 256)))),
  );
}

export const sampleSite = (seed: number): SiteId =>
  parseSiteId(createHash("sha256").update(`site ${seed}`).digest("hex"));

export const idsOf = (primes: readonly SamplePrime[]): PrimeId[] => primes.map(({ id }) => id);

export const wireBatch = (primes: readonly StoredPrime[]): Uint8Array =>
  Uint8Array.from(Buffer.concat(primes.flatMap(batchEntry)));
