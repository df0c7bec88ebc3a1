/**
 * What is kept for which site, as entries of the index: one for each site and prime, in whose value is the place of its record, and
 * a total for each site and slice that follows from them.
 */
import { decodeLocation, primeKey } from "./index-entries.ts";
import type { RecordPlace } from "./record.ts";

const keepLetter = Buffer.from("h", "latin1");
const totalLetter = Buffer.from("t", "latin1");
const siteBytes = 32;

export const keepKey = (site: Buffer, id: Buffer): Buffer => Buffer.concat([keepLetter, site, id]);
const isKeepKey = (key: Buffer): boolean => key[0] === keepLetter[0];
export const siteOfKeepKey = (key: Buffer): Buffer => key.subarray(1, 1 + siteBytes);
export const idOfKeepKey = (key: Buffer): Buffer => key.subarray(1 + siteBytes);
export const keepPrefix = keepLetter;

/** A slice is the first hex digit of the ids in it. */
export const sliceOfId = (id: Buffer): number => id[0]! >> 4;
export const totalKey = (site: Buffer, slice: number): Buffer => Buffer.concat([totalLetter, site, Buffer.of(slice)]);
export const siteOfTotalKey = (key: Buffer): Buffer => key.subarray(1, 1 + siteBytes);
export const sliceOfTotalKey = (key: Buffer): number => key[1 + siteBytes]!;
export const totalPrefix = totalLetter;

export function encodeKeepPlace({ segment, offset }: RecordPlace): Buffer {
  const value = Buffer.allocUnsafe(8);
  value.writeUInt32BE(segment, 0);
  value.writeUInt32BE(offset, 4);
  return value;
}

/** Undefined when the entry is not as it was written. */
export function decodeKeepPlace(value: Buffer): RecordPlace | undefined {
  return value.length === 8 ? { segment: value.readUInt32BE(0), offset: value.readUInt32BE(4) } : undefined;
}

export interface KeepTotal {
  count: number;
  /** Stored bytes of those that are here. */
  bytes: number;
  lostCount: number;
}

const totalBytes = 18;

export function encodeTotal({ count, bytes, lostCount }: KeepTotal): Buffer {
  const value = Buffer.allocUnsafe(totalBytes);
  value.writeUIntBE(count, 0, 6);
  value.writeUIntBE(bytes, 6, 6);
  value.writeUIntBE(lostCount, 12, 6);
  return value;
}

/** Undefined when the entry is not as it was written. */
export function decodeTotal(value: Buffer): KeepTotal | undefined {
  if (value.length !== totalBytes) return undefined;
  return { count: value.readUIntBE(0, 6), bytes: value.readUIntBE(6, 6), lostCount: value.readUIntBE(12, 6) };
}

/** An entry before and after a run of records. */
export interface ChangedEntry {
  readonly key: Buffer;
  readonly before: Buffer | undefined;
  readonly after: Buffer | undefined;
}

/**
 * By how much the totals change, by their keys. `entries` are all keeps that came or went, and all of primes that did;
 * `primeOf` gives the entry of a prime.
 */
export function totalChanges(
  entries: Iterable<ChangedEntry>,
  primeOf: (key: Buffer) => ChangedEntry,
): Map<Buffer, KeepTotal> {
  const byPlace = new Map<string, { key: Buffer; change: KeepTotal }>();
  for (const { key, before, after } of entries) {
    if (!isKeepKey(key)) continue;
    const id = idOfKeepKey(key);
    const prime = primeOf(primeKey(id));
    const place = totalKey(siteOfKeepKey(key), sliceOfId(id));
    const text = place.toString("latin1");
    const entry = byPlace.get(text) ?? { key: place, change: { count: 0, bytes: 0, lostCount: 0 } };
    byPlace.set(text, entry);
    if (before !== undefined) count(entry.change, -1, prime.before);
    if (after !== undefined) count(entry.change, 1, prime.after);
  }
  return new Map([...byPlace.values()].map(({ key, change }) => [key, change]));
}

function count(total: KeepTotal, sign: 1 | -1, prime: Buffer | undefined): void {
  total.count += sign;
  if (prime === undefined) total.lostCount += sign;
  else total.bytes += sign * (decodeLocation(prime)?.bodyBytes ?? 0);
}
