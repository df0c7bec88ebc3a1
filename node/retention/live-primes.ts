/**
 * The primes that live snapshots reach, in memory that does not grow: a filter that has every one of them, and of a hundred thousand others
 * two or three, which then stay until another collection draws other places.
 */
import type { PrimeId } from "#protocol/ids.ts";

/** Bits for a prime, of which it sets {@link PLACES_COUNT}. */
const BITS_COUNT = 32;
const PLACES_COUNT = 6;
/** With more than sixteen million primes more of others stay. */
const MOST_BITS_COUNT = 2 ** 30;
/** What of an id is looked at. */
const ID_BYTES = PLACES_COUNT * 4;

export class LivePrimes {
  readonly #bits: Uint32Array;
  readonly #mask: number;
  readonly #salts: readonly number[];
  /** The beginning of the id that is looked at. */
  readonly #id = Buffer.alloc(ID_BYTES);

  /** `random`: 24 bytes. */
  constructor({ primesCount, random }: { readonly primesCount: number; readonly random: Uint8Array }) {
    const wanted = Math.min(MOST_BITS_COUNT, Math.max(1024, primesCount * BITS_COUNT));
    const bitsCount = 2 ** Math.ceil(Math.log2(wanted));
    this.#bits = new Uint32Array(bitsCount / 32);
    this.#mask = bitsCount - 1;
    const view = new DataView(random.buffer, random.byteOffset, random.byteLength);
    this.#salts = Array.from({ length: PLACES_COUNT }, (_, at) => view.getUint32(at * 4));
  }

  add(id: PrimeId): void {
    this.#read(id);
    for (let at = 0; at < PLACES_COUNT; at++) {
      const place = this.#place(at);
      this.#bits[place >>> 5]! |= 1 << (place & 31);
    }
  }

  /** Surely true for what was added. */
  mayHave(id: PrimeId): boolean {
    this.#read(id);
    for (let at = 0; at < PLACES_COUNT; at++) {
      const place = this.#place(at);
      if ((this.#bits[place >>> 5]! & (1 << (place & 31))) === 0) return false;
    }
    return true;
  }

  #read(id: PrimeId): void {
    this.#id.write(id, 0, ID_BYTES, "hex");
  }

  /** An id is a hash, so its parts are as good as hashes of it. */
  #place(at: number): number {
    return ((this.#id.readUInt32BE(at * 4) ^ this.#salts[at]!) & this.#mask) >>> 0;
  }
}
