import type { PrimeId } from "#protocol/ids.ts";

/** A set of primes is placed in so many parts, by the first hex digit of their ids. */
export const SLICES_COUNT = 16;

/** The slice of a prime, from 0. */
export const sliceOf = (id: PrimeId): number => Number.parseInt(id.charAt(0), 16);
