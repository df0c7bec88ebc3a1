/**
 * Chance that grows from a seed. A fork depends on its label and on its parent's origin, not on what the parent has given out:
 * who draws more or less changes nothing for others.
 */
import { createHash } from "node:crypto";
import type { Rng } from "#ledger/rng.ts";

export class SeededRng implements Rng {
  readonly #origin: string;
  // The state of sfc32.
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(origin: string | number) {
    this.#origin = `${origin}`;
    const digest = createHash("sha256").update(this.#origin).digest();
    this.#a = digest.readInt32LE(0);
    this.#b = digest.readInt32LE(4);
    this.#c = digest.readInt32LE(8);
  }

  fork(label: string): SeededRng {
    return new SeededRng(`${this.#origin}/${label}`);
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    for (let at = 0; at < count; at += 4) {
      const word = this.#word();
      for (let place = 0; place < 4 && at + place < count; place++) bytes[at + place] = word >>> (8 * place);
    }
    return bytes;
  }

  fraction(): number {
    return ((this.#word() >>> 5) * 0x400_0000 + (this.#word() >>> 6)) / 2 ** 53;
  }

  /** A whole number from 0 and below `end`. */
  below(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  between(least: number, most: number): number {
    return least + this.fraction() * (most - least);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  happens(ratio: number): boolean {
    return this.fraction() < ratio;
  }

  /** So many of a list, or all, in an order of chance. */
  sample<T>(list: readonly T[], count = list.length): T[] {
    const rest = [...list];
    for (let at = 0; at < Math.min(count, rest.length); at++) {
      const other = at + this.below(rest.length - at);
      [rest[at], rest[other]] = [rest[other]!, rest[at]!];
    }
    return rest.slice(0, count);
  }

  /** The time until the next of events that come once in `meanMs` and know nothing of each other. */
  waitMs(meanMs: number): number {
    return Math.ceil(-Math.log(1 - this.fraction()) * meanMs);
  }

  #word(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum;
  }
}
