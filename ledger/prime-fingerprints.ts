/**
 * Fingerprints of a set of PrimeIds under a key, for all prefixes of up to three hex digits: docs/specs/replication.md, "Reconciling".
 * Takes 3.3 kB for each first digit that occurs, whatever the size of the set. Which ids the set has is not known here: whoever adds and removes answers for each id being
 * added once, and removed only if it was added.
 */
import { encryptBlocks } from "#protocol/block-prf.ts";
import { assertInvariant } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";

/** The XOR of the tags of a set's ids, as two halves, and how many they are. */
export interface Fingerprint {
  readonly high: number;
  readonly low: number;
  readonly count: number;
}

/** An id's fingerprint: 8 bytes, as big endian. */
export type Tag = bigint;

export const emptyFingerprint: Fingerprint = { high: 0, low: 0, count: 0 };

export const areEqual = (left: Fingerprint, right: Fingerprint): boolean =>
  left.high === right.high && left.low === right.low && left.count === right.count;

/** What the two differ by: the tag of the only id that one has and the other has not, if there is one. */
export const differenceOf = (left: Fingerprint, right: Fingerprint): Tag =>
  (BigInt((left.high ^ right.high) >>> 0) << 32n) | BigInt((left.low ^ right.low) >>> 0);

export const withTag = ({ high, low, count }: Fingerprint, tag: Tag): Fingerprint => ({
  high: (high ^ Number(tag >> 32n)) >>> 0,
  low: (low ^ Number(tag & 0xffffffffn)) >>> 0,
  count: count + 1,
});

export const fingerprintOf = (tags: readonly Tag[]): Fingerprint => tags.reduce(withTag, emptyFingerprint);

const blockBytes = 16;
const blockDigits = blockBytes * 2;
/** Ids in one call of the cipher: half a mebibyte. */
const idsAtOnceCount = 32_768;

/** The blocks whose first halves are the tags. */
function encrypted(key: Uint8Array, ids: readonly PrimeId[]): Buffer {
  const digits = ids.map((id) => id.slice(0, blockDigits)).join("");
  return encryptBlocks(key, Buffer.from(digits, "hex"));
}

export function tagsOf(key: Uint8Array, ids: readonly PrimeId[]): Tag[] {
  const blocks = encrypted(key, ids);
  return ids.map((_, at) => blocks.readBigUInt64BE(at * blockBytes));
}

/** Digits of the longest prefixes that are held in memory. */
export const heldDigits = 3;
const slicesCount = 16;
/** Where the nodes of a slice start by the length of their prefixes after its digit: 1, 16 and 256 of them. */
const starts = [0, 1, 17] as const;
const nodesCount = 273;

/** Of the prefixes that start with one digit. */
class SliceFingerprints {
  readonly high = new Uint32Array(nodesCount);
  readonly low = new Uint32Array(nodesCount);
  readonly counts = new Uint32Array(nodesCount);

  of(node: number): Fingerprint {
    return { high: this.high[node]!, low: this.low[node]!, count: this.counts[node]! };
  }
}

export class PrimeFingerprints {
  readonly key: Uint8Array;
  /** By first digit; undefined where nothing was added: most sets that are compared are slices. */
  readonly #slices: (SliceFingerprints | undefined)[] = Array.from({ length: slicesCount });

  /** `key`: 32 bytes that nobody who chooses ids knows. */
  constructor(init: { readonly key: Uint8Array }) {
    this.key = init.key;
  }

  add(ids: readonly PrimeId[]): void {
    this.#change(ids, 1);
  }

  remove(ids: readonly PrimeId[]): void {
    this.#change(ids, -1);
  }

  /** Of the ids that start with `prefix`, at most {@link heldDigits} hex digits. */
  of(prefix: string): Fingerprint {
    assertInvariant(prefix.length <= heldDigits, "only short prefixes are held", { prefix });
    if (prefix === "") return this.#slices.map((slice) => slice?.of(0) ?? emptyFingerprint).reduce(together);
    const slice = this.#slices[Number.parseInt(prefix[0]!, 16)];
    const rest = prefix.slice(1);
    return slice?.of(starts[rest.length]! + (rest === "" ? 0 : Number.parseInt(rest, 16))) ?? emptyFingerprint;
  }

  #change(ids: readonly PrimeId[], sign: 1 | -1): void {
    for (let at = 0; at < ids.length; at += idsAtOnceCount) {
      const part = ids.slice(at, at + idsAtOnceCount);
      const blocks = encrypted(this.key, part);
      for (const [index, id] of part.entries()) {
        const tagHigh = blocks.readUInt32BE(index * blockBytes);
        const tagLow = blocks.readUInt32BE(index * blockBytes + 4);
        const leaf = Number.parseInt(id.slice(0, heldDigits), 16);
        const { high, low, counts } = (this.#slices[leaf >>> 8] ??= new SliceFingerprints());
        for (const node of [0, starts[1] + ((leaf >>> 4) & 0xf), starts[2] + (leaf & 0xff)]) {
          high[node]! ^= tagHigh;
          low[node]! ^= tagLow;
          counts[node]! += sign;
        }
      }
    }
  }
}

const together = (one: Fingerprint, other: Fingerprint): Fingerprint => ({
  high: (one.high ^ other.high) >>> 0,
  low: (one.low ^ other.low) >>> 0,
  count: one.count + other.count,
});
