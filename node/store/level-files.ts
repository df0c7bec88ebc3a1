/**
 * Verifies Level's files before Level opens them. Level does not check the checksums of its tables on reading, and ends
 * the whole process when what it finds there makes no sense. Formats: LevelDB's doc/table_format.md, doc/log_format.md and
 * db/version_edit.cc.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

const castagnoli = makeTables(0x82f63b78);

function makeTables(polynomial: number): Int32Array[] {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    tables[0]![byte] = value;
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let table = 1; table < 8; table++) {
      const before = tables[table - 1]![byte]!;
      tables[table]![byte] = (before >>> 8) ^ tables[0]![before & 0xff]!;
    }
  }
  return tables;
}

/** CRC-32C (Castagnoli), eight bytes a step. Node has only the other CRC-32. */
function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = castagnoli as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let crc = -1;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

/** Level stores checksums rotated, so that checksums of data that holds checksums stay good. */
function isMaskedCrc(bytes: Uint8Array, stored: number): boolean {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0 === stored >>> 0;
}

class Malformed extends Error {}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new Malformed("varint");
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new Malformed("cut short");
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }
}

interface BlockHandle {
  readonly offset: number;
  readonly length: number;
}

const footerBytes = 48;
const trailerBytes = 5;
const tableMagic = Buffer.from("57fb808b247547db", "hex");

const readHandle = (cursor: Cursor): BlockHandle => ({ offset: cursor.varint(), length: cursor.varint() });

/** Whether every block of a table has its checksum, and the blocks and the footer are all that there is. */
function isSoundTable(table: Buffer): boolean {
  try {
    const footer = table.subarray(table.length - footerBytes);
    if (table.length < footerBytes || !footer.subarray(40).equals(tableMagic)) return false;
    const cursor = new Cursor(footer.subarray(0, 40));
    const metaIndex = readHandle(cursor);
    const index = readHandle(cursor);
    const handles = [metaIndex, index, ...handlesIn(blockAt(table, metaIndex)), ...handlesIn(blockAt(table, index))];
    let end = 0;
    for (const handle of handles.toSorted((a, b) => a.offset - b.offset)) {
      if (handle.offset !== end) return false;
      blockAt(table, handle);
      end = handle.offset + handle.length + trailerBytes;
    }
    return end === table.length - footerBytes;
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
}

/** A block's content. Throws when its checksum is wrong, or when it is compressed: ours are not. */
function blockAt(table: Buffer, { offset, length }: BlockHandle): Buffer {
  const end = offset + length;
  if (end + trailerBytes > table.length - footerBytes) throw new Malformed("block past the end");
  if (table[end] !== 0 || !isMaskedCrc(table.subarray(offset, end + 1), table.readUInt32LE(end + 1)))
    throw new Malformed("block");
  return table.subarray(offset, end);
}

/** The values of an index block, which are handles. */
function handlesIn(block: Buffer): BlockHandle[] {
  if (block.length < 4) throw new Malformed("index block");
  const restartsCount = block.readUInt32LE(block.length - 4);
  const end = block.length - 4 - restartsCount * 4;
  if (end < 0) throw new Malformed("restarts");
  const cursor = new Cursor(block.subarray(0, end));
  const handles: BlockHandle[] = [];
  while (!cursor.isAtEnd) {
    cursor.varint();
    const keyBytes = cursor.varint();
    const valueBytes = cursor.varint();
    cursor.take(keyBytes);
    handles.push(readHandle(new Cursor(cursor.take(valueBytes))));
  }
  return handles;
}

const logBlockBytes = 32 * 1024;
const logHeaderBytes = 7;
const fragment = { full: 1, first: 2, middle: 3, last: 4 } as const;

/** The records of one of Level's logs, up to a record that the end of the file cuts short. */
function* logRecords(log: Buffer): Generator<Buffer> {
  let parts: Buffer[] = [];
  for (let at = 0; at + logHeaderBytes <= log.length;) {
    const leftBytes = logBlockBytes - (at % logBlockBytes);
    if (leftBytes < logHeaderBytes) {
      at += leftBytes;
      continue;
    }
    const length = log.readUInt16LE(at + 4);
    const type = log[at + 6]!;
    const end = at + logHeaderBytes + length;
    if (type === 0 && length === 0) return;
    if (end > log.length) return;
    if (logHeaderBytes + length > leftBytes || !isMaskedCrc(log.subarray(at + 6, end), log.readUInt32LE(at)))
      throw new Malformed("log record");
    if (type === fragment.full || type === fragment.first) parts = [];
    parts.push(log.subarray(at + logHeaderBytes, end));
    if (type === fragment.full || type === fragment.last) yield Buffer.concat(parts);
    at = end;
  }
}

/** The live tables by their numbers, with their sizes, as a manifest has them. */
function tablesOf(manifest: Buffer): Map<number, number> {
  const tables = new Map<number, number>();
  for (const record of logRecords(manifest)) {
    const cursor = new Cursor(record);
    while (!cursor.isAtEnd) {
      const tag = cursor.varint();
      if (tag === 1) cursor.take(cursor.varint());
      else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) cursor.varint();
      else if (tag === 5) {
        cursor.varint();
        cursor.take(cursor.varint());
      } else if (tag === 6) {
        cursor.varint();
        tables.delete(cursor.varint());
      } else if (tag === 7) {
        cursor.varint();
        tables.set(cursor.varint(), cursor.varint());
        for (let key = 0; key < 2; key++) cursor.take(cursor.varint());
      } else throw new Malformed("tag");
    }
  }
  return tables;
}

/** Whether Level at `location` can be opened without harm. False too when there is none. */
export async function areSoundLevelFiles(location: string): Promise<boolean> {
  try {
    const name = (await readFile(join(location, "CURRENT"), "latin1")).trimEnd();
    if (!/^MANIFEST-\d+$/.test(name)) return false;
    for (const [number, sizeBytes] of tablesOf(await readFile(join(location, name)))) {
      const table = await readTable(location, number);
      if (table?.length !== sizeBytes || !isSoundTable(table)) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof Malformed || (error as NodeJS.ErrnoException).code !== undefined) return false;
    throw error;
  }
}

/** A table takes more than the log that it is made from, by checksums and indexes. */
const tableShare = 3 / 2;
/** New files of their own kind, and what a file system takes for them. */
const openingSlackBytes = 64 * 1024;

/** What opening Level at `location` may take of the disk: it writes a manifest anew, and what its logs hold into tables. */
export async function openingBytes(location: string): Promise<number> {
  let bytes = openingSlackBytes;
  for (const name of await readdir(location)) {
    const share = name.endsWith(".log") ? tableShare : name.startsWith("MANIFEST-") ? 1 : 0;
    if (share > 0) bytes += share * ((await stat(join(location, name)).catch(() => undefined))?.size ?? 0);
  }
  return bytes;
}

async function readTable(location: string, number: number): Promise<Buffer | undefined> {
  const digits = String(number).padStart(6, "0");
  for (const path of [join(location, `${digits}.ldb`), join(location, `${digits}.sst`)]) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile()) return readFile(path);
  }
  return undefined;
}
