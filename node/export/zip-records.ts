/**
 * The records of a zip archive (PKWARE APPNOTE 6.3.10), with zip64 where a number needs it, Unix modes in the external
 * attributes and Info-ZIP's extended timestamp and Unix owner fields. All numbers are little endian.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { isUtf8 } from "node:buffer";

const MAX_16 = 0xffff;
const MAX_32 = 0xffff_ffff;
const VERSION_PLAIN = 20;
const VERSION_ZIP64 = 45;
const MADE_BY_UNIX = 3 << 8;
const FLAG_DESCRIPTOR = 1 << 3;
const FLAG_UTF8 = 1 << 11;
const NS_PER_SECOND = 1_000_000_000n;
const DOS_DIRECTORY = 0x10;

export const zipMethods = { stored: 0, deflated: 8 } as const;

/** What both headers of an entry say. */
export interface ZipEntry {
  /** A directory's ends with `/`. */
  readonly name: ByteString;
  /** The file's type and permissions as st_mode has them. */
  readonly unixMode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly plainBytes: number;
}

/** How the data of an entry is in the archive. */
export interface ZipData {
  readonly method: 0 | 8;
  /** Sizes and checksum follow the data instead of being in the local header. */
  readonly hasDescriptor: boolean;
  readonly crc32: number;
  readonly packedBytes: number;
}

/**
 * Whether an entry that is compressed while it is sent gets 64-bit fields in its local header and descriptor. Deflate can
 * lengthen data by less than a thousandth.
 */
const needsZip64Descriptor = (entry: ZipEntry): boolean => entry.plainBytes > 0xff00_0000;

export function encodeLocalHeader(entry: ZipEntry, data: ZipData): Buffer {
  const name = Buffer.from(entry.name, "latin1");
  const isZip64 = data.hasDescriptor
    ? needsZip64Descriptor(entry)
    : data.packedBytes >= MAX_32 || entry.plainBytes >= MAX_32;
  const sizes = data.hasDescriptor ? [0, 0] : [entry.plainBytes, data.packedBytes];
  const extra = Buffer.concat([
    isZip64 ? zip64Field(sizes) : Buffer.alloc(0),
    timestampField(entry),
    ownerField(entry),
  ]);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(isZip64 ? VERSION_ZIP64 : VERSION_PLAIN, 4);
  header.writeUInt16LE(flagsOf(name, data), 6);
  header.writeUInt16LE(data.method, 8);
  writeDosTime(header, 10, entry.mtimeNs);
  header.writeUInt32LE(data.hasDescriptor ? 0 : data.crc32, 14);
  header.writeUInt32LE(isZip64 ? MAX_32 : sizes[1]!, 18);
  header.writeUInt32LE(isZip64 ? MAX_32 : sizes[0]!, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

export function encodeDescriptor(entry: ZipEntry, data: ZipData): Buffer {
  const isZip64 = needsZip64Descriptor(entry);
  const descriptor = Buffer.alloc(isZip64 ? 24 : 16);
  descriptor.writeUInt32LE(0x08074b50, 0);
  descriptor.writeUInt32LE(data.crc32, 4);
  if (isZip64) {
    descriptor.writeBigUInt64LE(BigInt(data.packedBytes), 8);
    descriptor.writeBigUInt64LE(BigInt(entry.plainBytes), 16);
  } else {
    descriptor.writeUInt32LE(data.packedBytes, 8);
    descriptor.writeUInt32LE(entry.plainBytes, 12);
  }
  return descriptor;
}

/** The entry's record in the central directory, whose local header is at `offsetBytes`. */
export function encodeCentralHeader(entry: ZipEntry, data: ZipData, offsetBytes: number): Buffer {
  const name = Buffer.from(entry.name, "latin1");
  const large = [entry.plainBytes, data.packedBytes, offsetBytes].filter((value) => value >= MAX_32);
  const extra = Buffer.concat([
    large.length > 0 ? zip64Field(large) : Buffer.alloc(0),
    timestampField(entry),
    ownerField(entry),
  ]);
  const header = Buffer.alloc(46);
  const isZip64 = large.length > 0 || (data.hasDescriptor && needsZip64Descriptor(entry));
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(MADE_BY_UNIX | VERSION_ZIP64, 4);
  header.writeUInt16LE(isZip64 ? VERSION_ZIP64 : VERSION_PLAIN, 6);
  header.writeUInt16LE(flagsOf(name, data), 8);
  header.writeUInt16LE(data.method, 10);
  writeDosTime(header, 12, entry.mtimeNs);
  header.writeUInt32LE(data.crc32, 16);
  header.writeUInt32LE(Math.min(data.packedBytes, MAX_32), 20);
  header.writeUInt32LE(Math.min(entry.plainBytes, MAX_32), 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  header.writeUInt32LE(((entry.unixMode << 16) | (entry.name.endsWith("/") ? DOS_DIRECTORY : 0)) >>> 0, 38);
  header.writeUInt32LE(Math.min(offsetBytes, MAX_32), 42);
  return Buffer.concat([header, name, extra]);
}

/** The archive's end, for a central directory of `directoryBytes` at `offsetBytes`. */
export function encodeZipEnd(entriesCount: number, directoryBytes: number, offsetBytes: number): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(entriesCount, MAX_16), 8);
  end.writeUInt16LE(Math.min(entriesCount, MAX_16), 10);
  end.writeUInt32LE(Math.min(directoryBytes, MAX_32), 12);
  end.writeUInt32LE(Math.min(offsetBytes, MAX_32), 16);
  if (entriesCount < MAX_16 && directoryBytes < MAX_32 && offsetBytes < MAX_32) return end;
  const end64 = Buffer.alloc(56 + 20);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(MADE_BY_UNIX | VERSION_ZIP64, 12);
  end64.writeUInt16LE(VERSION_ZIP64, 14);
  end64.writeBigUInt64LE(BigInt(entriesCount), 24);
  end64.writeBigUInt64LE(BigInt(entriesCount), 32);
  end64.writeBigUInt64LE(BigInt(directoryBytes), 40);
  end64.writeBigUInt64LE(BigInt(offsetBytes), 48);
  end64.writeUInt32LE(0x07064b50, 56);
  end64.writeBigUInt64LE(BigInt(offsetBytes + directoryBytes), 64);
  end64.writeUInt32LE(1, 72);
  return Buffer.concat([end64, end]);
}

/** Names that are not UTF-8 are written as they are, without the flag: on Unix they come out as they went in. */
function flagsOf(name: Buffer, data: ZipData): number {
  return (isUtf8(name) ? FLAG_UTF8 : 0) | (data.hasDescriptor ? FLAG_DESCRIPTOR : 0);
}

function zip64Field(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(0x0001, 0);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [index, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  return field;
}

/** Info-ZIP's "UT": the modification time in whole seconds UTC, for times that fit 32 bits. */
function timestampField({ mtimeNs }: ZipEntry): Buffer {
  const seconds = secondsOf(mtimeNs);
  if (seconds < -0x8000_0000 || seconds > 0x7fff_ffff) return Buffer.alloc(0);
  const field = Buffer.alloc(9);
  field.writeUInt16LE(0x5455, 0);
  field.writeUInt16LE(5, 2);
  field[4] = 1;
  field.writeInt32LE(seconds, 5);
  return field;
}

/** Info-ZIP's "ux", version 1: owner and group with four bytes each. */
function ownerField({ uid, gid }: ZipEntry): Buffer {
  const field = Buffer.alloc(15);
  field.writeUInt16LE(0x7875, 0);
  field.writeUInt16LE(11, 2);
  field[4] = 1;
  field[5] = 4;
  field.writeUInt32LE(uid, 6);
  field[10] = 4;
  field.writeUInt32LE(gid, 11);
  return field;
}

/** Whole seconds since 1970, rounded down. */
function secondsOf(timeNs: bigint): number {
  return Number((timeNs - (((timeNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND)) / NS_PER_SECOND);
}

/** Two-second steps from 1980 to 2107, here in UTC; readers prefer the exact field. */
function writeDosTime(header: Buffer, at: number, mtimeNs: bigint): void {
  const first = Date.UTC(1980, 0, 1);
  const last = Date.UTC(2107, 11, 31, 23, 59, 58);
  const date = new Date(Math.min(Math.max(secondsOf(mtimeNs) * 1000, first), last));
  header.writeUInt16LE((date.getUTCHours() << 11) | (date.getUTCMinutes() << 5) | (date.getUTCSeconds() >> 1), at);
  header.writeUInt16LE(
    ((date.getUTCFullYear() - 1980) << 9) | ((date.getUTCMonth() + 1) << 5) | date.getUTCDate(),
    at + 2,
  );
}
