/**
 * Reads the records of a segment in order. Where a record is not valid it goes on at the next one that is; what lies
 * between is a gap. Whether a gap is damage or a torn tail is for the caller to say.
 */
import type { DiskFile } from "./disk.ts";
import {
  decodeHeader,
  decodeSegmentHeader,
  type DecodedSegmentHeader,
  recordBytes,
  type RecordHeader,
  recordHeaderBytes,
  recordKind,
  recordMagic,
  segmentHeaderBytes,
  sha256,
  type StoreSalt,
} from "./record.ts";

export interface ScannedRecord extends RecordHeader {
  readonly type: "record";
  readonly offset: number;
  /** Always there, and verified, except for primes before `verifyFromBytes`. */
  readonly body?: Buffer;
}

export interface ScannedGap {
  readonly type: "gap";
  readonly offset: number;
  readonly lengthBytes: number;
  /** The record that was here, when its header is valid and its body is not. */
  readonly header?: RecordHeader;
}

export interface ScanInit {
  readonly salt: StoreSalt;
  readonly segment: number;
  readonly fromBytes: number;
  readonly toBytes: number;
  /** Bodies of primes are read and verified from here on; those of other records always. */
  readonly verifyFromBytes: number;
}

/** What is read at once: much when primes are verified, little when they are skipped. */
const verifyWindowBytes = 1024 * 1024;
const skipWindowBytes = 32 * 1024;
const searchWindowBytes = 1024 * 1024;
const sectorBytes = 4096;

export async function readSegmentHeader(file: DiskFile, segment: number): Promise<DecodedSegmentHeader> {
  const bytes = await readTwice(file, 0, segmentHeaderBytes);
  return bytes === undefined ? { isWhole: false } : decodeSegmentHeader(bytes, segment);
}

export async function* scanRecords(file: DiskFile, init: ScanInit): AsyncGenerator<ScannedRecord | ScannedGap> {
  const { salt, segment, toBytes } = init;
  let window: Buffer = Buffer.alloc(0);
  let windowStart = 0;
  const bytesAt = async (offset: number, lengthBytes: number): Promise<Buffer | undefined> => {
    const start = offset - windowStart;
    if (start >= 0 && start + lengthBytes <= window.length) return window.subarray(start, start + lengthBytes);
    const windowBytes = offset >= init.verifyFromBytes ? verifyWindowBytes : skipWindowBytes;
    const found =
      (await readTwice(file, offset, Math.min(Math.max(lengthBytes, windowBytes), toBytes - offset))) ??
      (await readTwice(file, offset, lengthBytes));
    if (found === undefined || found.length < lengthBytes) return undefined;
    window = found;
    windowStart = offset;
    return found.subarray(0, lengthBytes);
  };
  const headerAt = async (offset: number): Promise<RecordHeader | undefined> => {
    if (toBytes - offset < recordHeaderBytes) return undefined;
    const bytes = await bytesAt(offset, recordHeaderBytes);
    const header = bytes === undefined ? undefined : decodeHeader(bytes, salt, { segment, offset });
    return header !== undefined && offset + recordBytes(header.bodyBytes) <= toBytes ? header : undefined;
  };

  for (let at = init.fromBytes; at < toBytes;) {
    let header = await headerAt(at);
    if (header === undefined) {
      window = Buffer.alloc(0);
      header = await headerAt(at);
    }
    if (header === undefined) {
      const next = await findRecord(file, init, at + 1);
      yield { type: "gap", offset: at, lengthBytes: next - at };
      at = next;
      continue;
    }
    const lengthBytes = recordBytes(header.bodyBytes);
    if (header.kind === recordKind.prime && at < init.verifyFromBytes) {
      yield { type: "record", ...header, offset: at };
    } else {
      let body = await bytesAt(at + recordHeaderBytes, header.bodyBytes);
      if (body !== undefined && !sha256(body).equals(header.digest)) {
        body = await readTwice(file, at + recordHeaderBytes, header.bodyBytes);
        if (body !== undefined && !sha256(body).equals(header.digest)) body = undefined;
      }
      if (body === undefined) yield { type: "gap", offset: at, lengthBytes, header };
      else
        yield {
          type: "record",
          ...header,
          offset: at,
          body: header.kind === recordKind.prime ? body : Buffer.from(body),
        };
    }
    at += lengthBytes;
  }
}

/** The offset of the first valid record at or after `fromBytes`, `toBytes` when there is none. Skips what cannot be read. */
async function findRecord(file: DiskFile, init: ScanInit, fromBytes: number): Promise<number> {
  const { salt, segment, toBytes } = init;
  for (let at = fromBytes; at + recordHeaderBytes <= toBytes;) {
    const bytes =
      (await readTwice(file, at, Math.min(searchWindowBytes, toBytes - at))) ??
      (await readTwice(file, at, Math.min(sectorBytes + recordHeaderBytes, toBytes - at)));
    if (bytes === undefined) {
      at = (Math.floor(at / sectorBytes) + 1) * sectorBytes;
      continue;
    }
    for (let found = bytes.indexOf(recordMagic); found >= 0; found = bytes.indexOf(recordMagic, found + 1)) {
      const offset = at + found;
      const header = decodeHeader(bytes.subarray(found), salt, { segment, offset });
      if (header !== undefined && offset + recordBytes(header.bodyBytes) <= toBytes) return offset;
    }
    if (bytes.length < recordHeaderBytes) return toBytes;
    at += bytes.length - recordHeaderBytes + 1;
  }
  return toBytes;
}

/**
 * What can be read of a stretch, undefined when the disk refuses twice: some errors pass. Shorter than asked at the end
 * of the file.
 */
async function readTwice(file: DiskFile, offset: number, lengthBytes: number): Promise<Buffer | undefined> {
  const target = Buffer.allocUnsafe(Math.max(0, lengthBytes));
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      return target.subarray(0, await file.read(target, offset));
    } catch {
      // The second attempt decides.
    }
  }
  return undefined;
}
