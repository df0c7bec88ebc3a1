/**
 * Records of a segment and the segment's header, byte for byte as docs/specs/store.md has them. Pure: no I/O here.
 */
import { hash } from "node:crypto";
import { crc32 } from "node:zlib";

/** The salt of a store: secret, so that no agent can make bytes inside a prime that pass for a record. */
export type StoreSalt = Buffer;
export const saltBytes = 16;

export const recordKind = {
  batch: 1,
  clean: 2,
  prime: 3,
  claims: 4,
  fact: 5,
  factRemoval: 6,
  generation: 7,
  quarantine: 8,
  deletion: 9,
  segmentRemoval: 10,
  keep: 11,
  claimSet: 12,
  release: 13,
} as const;
export type RecordKind = (typeof recordKind)[keyof typeof recordKind];

/** Where a record starts. */
export interface RecordPlace {
  readonly segment: number;
  readonly offset: number;
}

/** In the order in which records were written; an unknown place comes first. */
export function comparePlaces(a: RecordPlace | undefined, b: RecordPlace | undefined): number {
  return (a?.segment ?? 0) - (b?.segment ?? 0) || (a?.offset ?? 0) - (b?.offset ?? 0);
}

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly bodyBytes: number;
  /** SHA-256 of the body. */
  readonly digest: Buffer;
}

interface ReadHeader extends RecordHeader {
  /** CRC-32 of the body. */
  readonly bodyCrc: number;
}

/** A record before it has a place. */
export interface NewRecord {
  readonly kind: RecordKind;
  readonly digest: Buffer;
  readonly body: Uint8Array;
}

export const recordHeaderBytes = 64;
/** Largest body: well above a prime and a group's claims, so that a length is never believed blindly. */
const maxBodyBytes = 8 * 1024 * 1024;
export const recordMagic = Buffer.from("CSr1", "latin1");

const segmentMagic = Buffer.from("CoStSeg1", "latin1");
const headerCopyBytes = 64;
const headerCopyOffsets = [0, 4096] as const;
/** Where the records of a segment start. */
export const segmentHeaderBytes = 4096 + headerCopyBytes;

const checkInput = Buffer.alloc(saltBytes + 8 + 48);

function recordCheck(salt: StoreSalt, place: RecordPlace, header: Uint8Array): Buffer {
  checkInput.set(salt, 0);
  checkInput.writeUInt32BE(place.segment, saltBytes);
  checkInput.writeUInt32BE(place.offset, saltBytes + 4);
  checkInput.set(header.subarray(0, 48), saltBytes + 8);
  return hash("sha256", checkInput, "buffer").subarray(0, 16);
}

export const sha256 = (bytes: Uint8Array): Buffer => hash("sha256", bytes, "buffer");

export const recordBytes = (bodyBytes: number): number => recordHeaderBytes + bodyBytes;

/** A record whose body is small enough to hash here. */
export const makeRecord = (kind: RecordKind, body: Uint8Array): NewRecord => ({ kind, digest: sha256(body), body });

/** Writes the header of `record` at `place` into `target`, 64 bytes. */
export function encodeHeader(target: Buffer, record: NewRecord, salt: StoreSalt, place: RecordPlace): void {
  target.fill(0, 0, recordHeaderBytes);
  recordMagic.copy(target, 0);
  target[4] = record.kind;
  target.writeUInt32BE(record.body.length, 8);
  target.writeUInt32BE(crc32(record.body), 12);
  record.digest.copy(target, 16);
  recordCheck(salt, place, target).copy(target, 48);
}

/** The header in the first 64 of `bytes`, undefined when it is not a valid one of this place. */
export function decodeHeader(bytes: Buffer, salt: StoreSalt, place: RecordPlace): ReadHeader | undefined {
  if (bytes.length < recordHeaderBytes || bytes.compare(recordMagic, 0, 4, 0, 4) !== 0) return undefined;
  if (recordCheck(salt, place, bytes).compare(bytes, 48, 64) !== 0) return undefined;
  const kind = bytes[4]!;
  const bodyBytes = bytes.readUInt32BE(8);
  if (kind < recordKind.batch || kind > recordKind.release || bodyBytes > maxBodyBytes) return undefined;
  const bodyCrc = bytes.readUInt32BE(12);
  return { kind: kind as RecordKind, bodyBytes, bodyCrc, digest: Buffer.from(bytes.subarray(16, 48)) };
}

export interface SegmentHeader {
  readonly salt: StoreSalt;
  readonly segment: number;
  readonly previousSegment: number;
  /** Records of the previous segment count up to here. */
  readonly previousEndBytes: number;
  readonly createdMs: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  segmentMagic.copy(bytes, 0);
  header.salt.copy(bytes, 8);
  bytes.writeUInt32BE(header.segment, 24);
  bytes.writeUInt32BE(header.previousSegment, 28);
  bytes.writeUInt32BE(header.previousEndBytes, 32);
  bytes.writeUIntBE(header.createdMs, 42, 6);
  sha256(bytes.subarray(0, 48)).copy(bytes, 48, 0, 16);
  bytes.copy(bytes, headerCopyOffsets[1], 0, headerCopyBytes);
  return bytes;
}

/** What is left of a segment's header: its content when a copy is valid, and whether every byte is as it was written. */
export interface DecodedSegmentHeader {
  readonly header?: SegmentHeader;
  readonly isWhole: boolean;
}

export function decodeSegmentHeader(bytes: Buffer, segment: number): DecodedSegmentHeader {
  for (const at of headerCopyOffsets) {
    const copy = bytes.subarray(at, at + headerCopyBytes);
    if (copy.length < headerCopyBytes || copy.compare(segmentMagic, 0, 8, 0, 8) !== 0) continue;
    if (sha256(copy.subarray(0, 48)).compare(copy, 48, 64, 0, 16) !== 0 || copy.readUInt32BE(24) !== segment) continue;
    const header: SegmentHeader = {
      salt: Buffer.from(copy.subarray(8, 24)),
      segment,
      previousSegment: copy.readUInt32BE(28),
      previousEndBytes: copy.readUInt32BE(32),
      createdMs: copy.readUIntBE(42, 6),
    };
    return { header, isWhole: encodeSegmentHeader(header).equals(bytes.subarray(0, segmentHeaderBytes)) };
  }
  return { isWhole: false };
}

const SEGMENT_NAME = /^(\d{8})\.seg$/;

export const segmentName = (segment: number): string => `${String(segment).padStart(8, "0")}.seg`;

/** The number of the segment that a file is, undefined for any other file. */
export function parseSegmentName(name: string): number | undefined {
  const match = SEGMENT_NAME.exec(name);
  return match === null || Number(match[1]) === 0 ? undefined : Number(match[1]);
}
