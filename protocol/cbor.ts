/**
 * Canonical DAG-CBOR, the subset that CoStor's formats use: integers of 64 bits, byte strings, UTF-8 text, arrays, maps
 * with text keys, booleans and null. No floats, no tags, no indefinite lengths, one encoding for each value.
 * Spec: docs/specs/cbor.md. Held equal to an independent implementation by test/protocol/cbor.test.ts.
 */
import { CostorError } from "./errors.ts";
import { limits } from "./limits.ts";

export type CborValue = number | bigint | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap;
export interface CborMap {
  readonly [key: string]: CborValue | undefined;
}

const MAJOR = { unsigned: 0x00, negative: 0x20, bytes: 0x40, text: 0x60, array: 0x80, map: 0xa0 } as const;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
const MAX_UINT64 = (1n << 64n) - 1n;

/** Up to here texts are mostly names, and calls into the engine cost more than looking at each byte. */
const SHORT_TEXT_BYTES = 32;

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) >= 0x80) return false;
  return true;
}

/** Bytes being written; grows by doubling. One writer serves all calls of {@link encodeCbor}: encoding is synchronous. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024);
let used = 0;
let writtenCount = 0;

function reserve(bytes: number): void {
  if (used + bytes <= scratch.length) return;
  const grown = Buffer.allocUnsafeSlow(Math.max(scratch.length * 2, used + bytes));
  scratch.copy(grown, 0, 0, used);
  scratch = grown;
}

function writeHead(major: number, value: number): void {
  reserve(9);
  if (value < 24) {
    scratch[used++] = major | value;
  } else if (value < 0x100) {
    scratch[used++] = major | 24;
    scratch[used++] = value;
  } else if (value < 0x10000) {
    scratch[used++] = major | 25;
    used = scratch.writeUInt16BE(value, used);
  } else if (value < 0x1_0000_0000) {
    scratch[used++] = major | 26;
    used = scratch.writeUInt32BE(value, used);
  } else {
    scratch[used++] = major | 27;
    used = scratch.writeUInt32BE(Math.floor(value / 0x1_0000_0000), used);
    used = scratch.writeUInt32BE(value % 0x1_0000_0000, used);
  }
}

function writeBigInteger(value: bigint): void {
  const magnitude = value < 0n ? -1n - value : value;
  if (magnitude > MAX_UINT64) throw new CostorError("bad-encoding", "an integer does not fit 64 bits");
  const major = value < 0n ? MAJOR.negative : MAJOR.unsigned;
  if (magnitude <= BigInt(Number.MAX_SAFE_INTEGER)) return writeHead(major, Number(magnitude));
  reserve(9);
  scratch[used++] = major | 27;
  used = scratch.writeBigUInt64BE(magnitude, used);
}

/** Canonical order of map keys: the shorter first, then by bytes. Keys of CoStor's formats are ASCII. */
function compareKeys(left: string, right: string): number {
  if (isAscii(left) && isAscii(right)) return left.length - right.length || (left < right ? -1 : Number(left > right));
  const difference = Buffer.byteLength(left) - Buffer.byteLength(right);
  return difference !== 0 ? difference : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function isSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (compareKeys(keys[i - 1]!, keys[i]!) >= 0) return false;
  return true;
}

function writeText(value: string): void {
  if (value.length <= SHORT_TEXT_BYTES && isAscii(value)) {
    writeHead(MAJOR.text, value.length);
    reserve(value.length);
    for (let at = 0; at < value.length; at++) scratch[used++] = value.charCodeAt(at);
    return;
  }
  if (!value.isWellFormed()) throw new CostorError("bad-encoding", "a text with half a surrogate pair has no UTF-8");
  const bytes = Buffer.byteLength(value);
  writeHead(MAJOR.text, bytes);
  reserve(bytes);
  used += scratch.write(value, used, "utf8");
}

function writeMap(value: CborMap, depth: number): void {
  let keys = Object.keys(value);
  if (keys.some((key) => value[key] === undefined)) keys = keys.filter((key) => value[key] !== undefined);
  if (!isSorted(keys)) keys.sort(compareKeys);
  writeHead(MAJOR.map, keys.length);
  for (const key of keys) {
    writeText(key);
    writeValue(value[key]!, depth);
  }
}

function writeValue(value: CborValue, depth: number): void {
  if (depth > limits.cborDepthCount)
    throw new CostorError("bad-encoding", "a value is nested too deep to be read back");
  if (++writtenCount > limits.cborItemsCount)
    throw new CostorError("bad-encoding", "a value holds too many values to be read back");
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new CostorError("bad-encoding", `${value} is not a safe integer`);
    writeHead(value < 0 ? MAJOR.negative : MAJOR.unsigned, value < 0 ? -1 - value : value);
  } else if (typeof value === "string") {
    writeText(value);
  } else if (value instanceof Uint8Array) {
    writeHead(MAJOR.bytes, value.length);
    reserve(value.length);
    scratch.set(value, used);
    used += value.length;
  } else if (typeof value === "bigint") {
    writeBigInteger(value);
  } else if (value === null || typeof value === "boolean") {
    reserve(1);
    scratch[used++] = value === null ? NULL : value ? TRUE : FALSE;
  } else if (Array.isArray(value)) {
    writeHead(MAJOR.array, value.length);
    for (const item of value as readonly CborValue[]) writeValue(item, depth + 1);
  } else {
    writeMap(value as CborMap, depth + 1);
  }
}

/**
 * The canonical encoding. Map entries that are `undefined` are left out. Throws `bad-encoding` for what has none, and for
 * what {@link decodeCbor} would refuse as too deep or too many.
 */
export function encodeCbor(value: CborValue): Buffer {
  used = 0;
  writtenCount = 0;
  writeValue(value, 0);
  const encoded = Buffer.allocUnsafeSlow(used);
  scratch.copy(encoded, 0, 0, used);
  return encoded;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Names that were read last, each at the place that its bytes give it: the same few come again and again. */
const recentNames: string[] = Array.from({ length: 1024 }, () => "");

/** Maps as they are read: they have no names but those of their keys, and are as fast as objects of a class. */
const ReadMap = function () {} as unknown as new () => Record<string, CborValue>;
ReadMap.prototype = Object.freeze(Object.create(null));

class CborReader {
  readonly bytes: Buffer;
  at = 0;
  private readCount = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  fail(reason: string): never {
    throw new CostorError("bad-encoding", `CBOR, byte ${this.at}: ${reason}`);
  }

  need(bytes: number): void {
    if (this.at + bytes > this.bytes.length) this.fail("ends too early");
  }

  /** The argument of a head whose additional information is `info`: a number while safe, else a bigint. */
  argument(info: number): number | bigint {
    if (info < 24) return info;
    if (info > 27) this.fail("an indefinite or reserved length");
    const size = 1 << (info - 24);
    this.need(size);
    const value = size === 8 ? this.bytes.readBigUInt64BE(this.at) : this.bytes.readUIntBE(this.at, size);
    this.at += size;
    const least = size === 1 ? 24 : 2 ** (size * 4);
    if (value < least) this.fail("a length or integer that is not in its shortest form");
    return typeof value === "bigint" && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }

  length(info: number): number {
    const value = this.argument(info);
    if (typeof value === "bigint" || value > this.bytes.length - this.at) this.fail("a length beyond the end");
    return value as number;
  }

  text(length: number): string {
    const start = this.at;
    this.at = start + length;
    const name = length <= SHORT_TEXT_BYTES ? this.name(start, length) : undefined;
    if (name !== undefined) return name;
    try {
      return strictUtf8.decode(this.bytes.subarray(start, this.at));
    } catch {
      return this.fail("text that is not UTF-8");
    }
  }

  /** A short text; undefined when it is not ASCII. */
  name(start: number, length: number): string | undefined {
    const { bytes } = this;
    let place = length;
    for (let at = start; at < start + length; at++) {
      if (bytes[at]! >= 0x80) return undefined;
      place = (place * 31 + bytes[at]!) & 1023;
    }
    const recent = recentNames[place]!;
    let same = recent.length === length ? 0 : -1;
    while (same >= 0 && same < length && recent.charCodeAt(same) === bytes[start + same]) same++;
    return same === length ? recent : (recentNames[place] = bytes.toString("latin1", start, start + length));
  }

  /** Whether the key that ends here comes after one before: the shorter first, then by bytes. */
  isOrdered(previousStart: number, previousEnd: number, start: number): boolean {
    const { bytes } = this;
    const length = this.at - start;
    const difference = previousEnd - previousStart - length;
    if (difference !== 0) return difference < 0;
    let same = 0;
    while (same < length && bytes[previousStart + same] === bytes[start + same]) same++;
    return same < length && bytes[previousStart + same]! < bytes[start + same]!;
  }

  map(info: number, depth: number): CborMap {
    const count = this.length(info);
    const map = new ReadMap();
    let [previousStart, previousEnd] = [0, -1];
    for (let i = 0; i < count; i++) {
      this.need(1);
      const head = this.bytes[this.at++]!;
      if ((head & 0xe0) !== MAJOR.text) this.fail("a map key that is not text");
      const keyLength = this.length(head & 0x1f);
      const start = this.at;
      const key = this.text(keyLength);
      if (previousEnd >= 0 && !this.isOrdered(previousStart, previousEnd, start))
        this.fail("map keys out of order or twice");
      [previousStart, previousEnd] = [start, this.at];
      map[key] = this.value(depth);
    }
    return map;
  }

  value(depth: number): CborValue {
    if (depth > limits.cborDepthCount) this.fail("nested too deep");
    if (++this.readCount > limits.cborItemsCount) this.fail(`more than ${limits.cborItemsCount} values`);
    this.need(1);
    const head = this.bytes[this.at++]!;
    const info = head & 0x1f;
    switch (head & 0xe0) {
      case MAJOR.unsigned:
        return this.argument(info);
      case MAJOR.negative: {
        const value = this.argument(info);
        return typeof value === "bigint" || value === Number.MAX_SAFE_INTEGER ? -1n - BigInt(value) : -1 - value;
      }
      case MAJOR.bytes: {
        const length = this.length(info);
        this.at += length;
        return this.bytes.subarray(this.at - length, this.at);
      }
      case MAJOR.text:
        return this.text(this.length(info));
      case MAJOR.array: {
        const count = this.length(info);
        const items: CborValue[] = [];
        for (let i = 0; i < count; i++) items.push(this.value(depth + 1));
        return items;
      }
      case MAJOR.map:
        return this.map(info, depth + 1);
      default:
        if (head === FALSE || head === TRUE) return head === TRUE;
        if (head === NULL) return null;
        return this.fail("a float, a tag or another type that CoStor does not use");
    }
  }
}

/**
 * The value of exactly these bytes. Byte strings are views of `bytes`, maps have no names but their keys'.
 * Throws `bad-encoding` for anything but one canonical value, nested at most `limits.cborDepthCount` deep, that holds at
 * most `limits.cborItemsCount` values.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = new CborReader(bytes);
  const value = reader.value(0);
  if (reader.at !== reader.bytes.length) reader.fail("bytes after the value");
  return value;
}
