/** Keys and values of the index, as docs/specs/store.md lists them. */
import { crc32 } from "node:zlib";
import { type PrimeId, primeIdFromBytes, primeIdToBytes } from "#protocol/ids.ts";
import type { DamagedStretch } from "./record-body.ts";
import { type RecordPlace, saltBytes, type StoreSalt } from "./record.ts";

/** Where a prime's record is, and how long its stored bytes are. */
export interface PrimeLocation extends RecordPlace {
  readonly bodyBytes: number;
}

const letter = (text: string): Buffer => Buffer.from(text, "latin1");
const primeLetter = letter("p");
const claimLetter = letter("c");

export const primeKey = (id: Buffer): Buffer => Buffer.concat([primeLetter, id]);
export const claimKey = (id: Buffer, agent: Buffer): Buffer => Buffer.concat([claimLetter, id, agent]);
export const metaKey = letter("m");

export function encodeLocation(location: PrimeLocation): Buffer {
  const value = Buffer.allocUnsafe(12);
  value.writeUInt32BE(location.segment, 0);
  value.writeUInt32BE(location.offset, 4);
  value.writeUInt32BE(location.bodyBytes, 8);
  return value;
}

export function decodeLocation(value: Buffer): PrimeLocation | undefined {
  if (value.length !== 12) return undefined;
  return { segment: value.readUInt32BE(0), offset: value.readUInt32BE(4), bodyBytes: value.readUInt32BE(8) };
}

export const factKey = (kind: string, key: Uint8Array): Buffer => Buffer.concat([letter(`f${kind}\0`), key]);

const factHeadBytes = 12;

export function encodeFactValue(key: Buffer, place: RecordPlace, value: Uint8Array): Buffer {
  const entry = Buffer.allocUnsafe(factHeadBytes + value.length);
  entry.writeUInt32BE(place.segment, 4);
  entry.writeUInt32BE(place.offset, 8);
  entry.set(value, factHeadBytes);
  entry.writeUInt32BE(crc32(entry.subarray(4), crc32(key)), 0);
  return entry;
}

/** Undefined when the entry is not as it was written. */
export function decodeFactValue(key: Buffer, entry: Buffer): { place: RecordPlace; value: Buffer } | undefined {
  if (entry.length < factHeadBytes || crc32(entry.subarray(4), crc32(key)) !== entry.readUInt32BE(0)) return undefined;
  return {
    place: { segment: entry.readUInt32BE(4), offset: entry.readUInt32BE(8) },
    value: entry.subarray(factHeadBytes),
  };
}

export const segmentKey = (segment: number): Buffer => {
  const key = Buffer.from("s0000", "latin1");
  key.writeUInt32BE(segment, 1);
  return key;
};
export const segmentOfKey = (key: Buffer): number => key.readUInt32BE(1);
export const removedSegmentValue = 0xffffffff;

export function encodeNumber(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

const unknownId = Buffer.alloc(32);

export function quarantineKey(stretch: DamagedStretch): Buffer {
  const id = stretch.id === undefined ? unknownId : primeIdToBytes(stretch.id);
  return Buffer.concat([letter("q"), id, encodeNumber(stretch.segment), encodeNumber(stretch.offset)]);
}

export function decodeQuarantineEntry(key: Buffer, value: Buffer): DamagedStretch {
  const id = key.subarray(1, 33);
  return {
    segment: key.readUInt32BE(33),
    offset: key.readUInt32BE(37),
    lengthBytes: value.readUInt32BE(0),
    ...(id.equals(unknownId) ? {} : { id: primeIdFromBytes(id) as PrimeId }),
  };
}

export const closedKey = (epoch: number, mark: string): Buffer =>
  Buffer.concat([letter("k"), encodeNumber(epoch), Buffer.from(mark, "utf8")]);

/** Count and sum of the CRC-32 of entries: equal for equal sets of entries, whatever the order. */
export interface Fingerprint {
  count: number;
  sum: number;
}

const fingerprintModulus = 2 ** 48;

export const entryCrc = (key: Uint8Array, value: Uint8Array): number => crc32(value, crc32(key));

/** Adds (`sign` 1) or takes away (-1) an entry. */
export function countEntry(fingerprint: Fingerprint, sign: 1 | -1, crc: number): void {
  fingerprint.count += sign;
  fingerprint.sum = (fingerprint.sum + sign * crc + fingerprintModulus) % fingerprintModulus;
}

/** What the index as a whole states about itself; written with every batch of entries. */
export interface IndexMeta {
  /** False while damage that was met may not be on record yet: such an index is not gone on with, but made anew. */
  readonly isComplete: boolean;
  readonly salt: StoreSalt;
  /** 32 hex digits, "" before the first generation record. */
  readonly generation: string;
  /** Records before this place are applied. Segment 0: none. */
  readonly position: RecordPlace;
  readonly closedEpoch: number;
  readonly primeCount: number;
  readonly primeBytes: number;
  /** The greatest received time of any batch. */
  readonly receivedMs: number;
  readonly facts: Readonly<Fingerprint>;
  readonly rest: Readonly<Fingerprint>;
}

const metaVersion = 1;
const metaBytes = 1 + saltBytes + 16 + 12 + 7 * 6 + 1;

export function encodeMeta(meta: IndexMeta): Buffer {
  const bytes = Buffer.alloc(metaBytes + 4);
  bytes[0] = metaVersion;
  meta.salt.copy(bytes, 1);
  bytes.write(meta.generation, 17, "hex");
  bytes.writeUInt32BE(meta.position.segment, 33);
  bytes.writeUInt32BE(meta.position.offset, 37);
  bytes.writeUInt32BE(meta.closedEpoch, 41);
  let at = 45;
  for (const value of [
    meta.primeCount,
    meta.primeBytes,
    meta.receivedMs,
    meta.facts.count,
    meta.facts.sum,
    meta.rest.count,
    meta.rest.sum,
  ]) {
    bytes.writeUIntBE(value, at, 6);
    at += 6;
  }
  bytes[at] = meta.isComplete ? 1 : 0;
  bytes.writeUInt32BE(crc32(bytes.subarray(0, metaBytes)), metaBytes);
  return bytes;
}

/** Undefined for anything but a meta entry of this version as it was written. */
export function decodeMeta(bytes: Buffer): IndexMeta | undefined {
  if (bytes.length !== metaBytes + 4 || bytes[0] !== metaVersion) return undefined;
  if (crc32(bytes.subarray(0, metaBytes)) !== bytes.readUInt32BE(metaBytes)) return undefined;
  const generation = bytes.toString("hex", 17, 33);
  const number = (index: number) => bytes.readUIntBE(45 + index * 6, 6);
  return {
    salt: Buffer.from(bytes.subarray(1, 17)),
    generation: /^0+$/.test(generation) ? "" : generation,
    position: { segment: bytes.readUInt32BE(33), offset: bytes.readUInt32BE(37) },
    closedEpoch: bytes.readUInt32BE(41),
    primeCount: number(0),
    primeBytes: number(1),
    receivedMs: number(2),
    facts: { count: number(3), sum: number(4) },
    rest: { count: number(5), sum: number(6) },
    isComplete: bytes[metaBytes - 1] === 1,
  };
}
