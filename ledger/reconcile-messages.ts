/**
 * Questions and answers of a comparison of two sets, byte for byte as docs/specs/replication.md has them: what there may be thousands of
 * is concatenated in byte strings.
 */
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PrimeId, primeIdFromBytes, primeIdToBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Fingerprint, Tag } from "./prime-fingerprints.ts";

/** A question for the id that has a tag. */
export interface TagBelow {
  readonly prefix: string;
  readonly tag: Tag;
}

export interface Question {
  /** For the fingerprints of these prefixes themselves. */
  readonly sums: readonly string[];
  /** For what is below these. */
  readonly below: readonly string[];
  readonly finds: readonly TagBelow[];
}

/** What is below a prefix: the fingerprints of its sixteen children, or the tags of its ids. */
export type Below = { readonly children: readonly Fingerprint[] } | { readonly tags: readonly Tag[] };

/** The id that has a tag; or what is below the prefix, where none has it. */
export type Found = { readonly id: PrimeId } | { readonly below: Below };

/** One entry for each thing asked for, in that order. */
export interface Answer {
  readonly sums: readonly Fingerprint[];
  readonly below: readonly Below[];
  readonly finds: readonly Found[];
}

/** A prefix with more ids is answered with its children. */
export const mostTagsCount = 32;
/** Nobody can make so many ids that begin with the same 64 bits that their tags were too many. */
const longestPrefixDigits = 16;

export function encodeQuestion({ sums, below, finds }: Question): Buffer {
  const parts: Record<string, Buffer> = {};
  if (sums.length > 0) parts["s"] = Buffer.concat(sums.map(prefixBytes));
  if (below.length > 0) parts["b"] = Buffer.concat(below.map(prefixBytes));
  if (finds.length > 0)
    parts["f"] = Buffer.concat(finds.flatMap(({ prefix, tag }) => [prefixBytes(prefix), tagBytes(tag)]));
  return encodeCbor(parts);
}

/** Throws `bad-encoding`, `limit-exceeded`. */
export function decodeQuestion(bytes: Uint8Array): Question {
  const parts = readersOf(bytes);
  const sums = parts("s").all((reader) => reader.prefix());
  const below = parts("b").all((reader) => reader.prefix());
  const finds = parts("f").all((reader) => ({ prefix: reader.prefix(), tag: reader.tag() }));
  return { sums, below, finds };
}

export function encodeAnswer({ sums, below, finds }: Answer): Buffer {
  const parts: Record<string, Buffer> = {};
  if (sums.length > 0) parts["s"] = Buffer.concat(sums.map(fingerprintBytes));
  if (below.length > 0) parts["b"] = Buffer.concat(below.map(belowBytes));
  if (finds.length > 0)
    parts["f"] = Buffer.concat(
      finds.flatMap((found) =>
        "id" in found ? [Buffer.of(1), primeIdToBytes(found.id)] : [Buffer.of(0), belowBytes(found.below)],
      ),
    );
  return encodeCbor(parts);
}

/** The answer to `question`. Throws `bad-encoding` for any other. */
export function decodeAnswer(bytes: Uint8Array, question: Question): Answer {
  const parts = readersOf(bytes);
  const sums = parts("s").each(question.sums, (reader) => reader.fingerprint());
  const below = parts("b").each(question.below, (reader, prefix) => reader.below(prefix));
  const finds = parts("f").each(question.finds, (reader, { prefix }) => reader.found(prefix));
  return { sums, below, finds };
}

const prefixBytes = (prefix: string): Buffer =>
  Buffer.concat([Buffer.of(prefix.length), Buffer.from(prefix + "0".repeat(prefix.length % 2), "hex")]);

function tagBytes(tag: Tag): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(tag);
  return bytes;
}

/** The number of tags and one more, and the tags; or 0, and the children. */
function belowBytes(below: Below): Buffer {
  if ("children" in below) return Buffer.concat([countBytes(0), ...below.children.map(fingerprintBytes)]);
  return Buffer.concat([countBytes(below.tags.length + 1), ...below.tags.map(tagBytes)]);
}

const fingerprintBytes = ({ high, low, count }: Fingerprint): Buffer =>
  Buffer.concat([tagBytes((BigInt(high) << 32n) | BigInt(low)), countBytes(count)]);

/** LEB128. */
function countBytes(count: number): Buffer {
  const bytes: number[] = [];
  for (let rest = count; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

type Parts = (name: string) => Reader;

/** Throws `bad-encoding` for anything but a map of byte strings with the names of the parts. */
function readersOf(bytes: Uint8Array): Parts {
  const value = decodeCbor(bytes);
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
  if (!isMap) throw new CostorError("bad-encoding", "a comparison is a map");
  const map = value as CborMap;
  if (Object.keys(map).some((name) => !partNames.includes(name)))
    throw new CostorError("bad-encoding", "a comparison has no such part");
  return (name) => {
    const part = map[name] ?? new Uint8Array();
    if (!(part instanceof Uint8Array)) throw new CostorError("bad-encoding", "the parts of a comparison are bytes");
    return new Reader(part);
  };
}

const partNames = ["s", "b", "f"];

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Everything there is. Throws `limit-exceeded` above what may be asked at once. */
  all<T>(read: (reader: Reader) => T): T[] {
    const items: T[] = [];
    while (this.#at < this.#bytes.length) {
      if (items.length === limits.reconcileAskedCount)
        throw new CostorError("limit-exceeded", `at most ${limits.reconcileAskedCount} things are asked at once`);
      items.push(read(this));
    }
    return items;
  }

  /** One thing for each that was asked, and no more. */
  each<A, T>(asked: readonly A[], read: (reader: Reader, item: A) => T): T[] {
    const items = asked.map((item) => read(this, item));
    if (this.#at !== this.#bytes.length) throw new CostorError("bad-encoding", "an answer is too long");
    return items;
  }

  prefix(): string {
    const digits = this.#take(1)[0]!;
    if (digits > longestPrefixDigits)
      throw new CostorError("bad-encoding", `a prefix has at most ${longestPrefixDigits} digits`);
    const text = this.#take(Math.ceil(digits / 2)).toString("hex");
    if (text.length > digits && !text.endsWith("0"))
      throw new CostorError("bad-encoding", "a prefix is padded with zeros");
    return text.slice(0, digits);
  }

  tag(): Tag {
    return this.#take(8).readBigUInt64BE();
  }

  fingerprint(): Fingerprint {
    const halves = this.#take(8);
    return { high: halves.readUInt32BE(0), low: halves.readUInt32BE(4), count: this.#count() };
  }

  below(prefix: string): Below {
    const count = this.#count();
    if (count > mostTagsCount + 1) throw new CostorError("bad-encoding", `too many tags below ${prefix}`);
    if (count > 0) return { tags: Array.from({ length: count - 1 }, () => this.tag()) };
    if (prefix.length === longestPrefixDigits)
      throw new CostorError("bad-encoding", "nothing is below a longest prefix");
    return { children: Array.from({ length: 16 }, () => this.fingerprint()) };
  }

  found(prefix: string): Found {
    const flag = this.#take(1)[0]!;
    if (flag === 0) return { below: this.below(prefix) };
    const id = primeIdFromBytes(this.#take(32));
    if (flag !== 1 || !id.startsWith(prefix)) throw new CostorError("bad-encoding", "an id that was not asked for");
    return { id };
  }

  #count(): number {
    let count = 0;
    for (let unit = 1; unit < 2 ** 32; unit *= 128) {
      const byte = this.#take(1)[0]!;
      count += (byte & 0x7f) * unit;
      if (byte < 0x80) {
        if (count > 0xffffffff || (byte === 0 && unit > 1)) break;
        return count;
      }
    }
    throw new CostorError("bad-encoding", "no count");
  }

  #take(count: number): Buffer {
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    if (bytes.length < count) throw new CostorError("bad-encoding", "a comparison is cut short");
    this.#at += count;
    return bytes;
  }
}
