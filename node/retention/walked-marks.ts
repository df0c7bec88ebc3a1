/** The marks of slices that were walked (node/site/closure.ts): a set of 16 bytes each, in memory of its own that nothing else is in. */
import type { WalkedSlices } from "#node/site/closure.ts";

const WORDS_COUNT = 4;
const FIRST_SLOTS_COUNT = 4096;
/** Above this share it grows. */
const MOST_FILLED_RATIO = 0.6;

/** What is taken for equal is so but for a chance of 2⁻¹²⁸ a pair: a mark is a hash, and its first 16 bytes are all that is kept. */
export class WalkedMarks implements WalkedSlices {
  #slots = new Uint32Array(FIRST_SLOTS_COUNT * WORDS_COUNT);
  #count = 0;

  has(mark: string): boolean {
    const words = wordsOf(mark);
    return this.#isAt(this.#find(this.#slots, words), words);
  }

  add(mark: string): void {
    const words = wordsOf(mark);
    const at = this.#find(this.#slots, words);
    if (this.#isAt(at, words)) return;
    this.#slots.set(words, at);
    this.#count++;
    if (this.#count * WORDS_COUNT > this.#slots.length * MOST_FILLED_RATIO) this.#grow();
  }

  /** Where it is, or the empty slot where it would be. */
  #find(slots: Uint32Array, words: Uint32Array): number {
    const mask = slots.length / WORDS_COUNT - 1;
    for (let slot = words[0]! & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS_COUNT;
      const isEmpty = (slots[at]! | slots[at + 1]! | slots[at + 2]! | slots[at + 3]!) === 0;
      if (isEmpty || isEqual(slots, at, words)) return at;
    }
  }

  #isAt(at: number, words: Uint32Array): boolean {
    return isEqual(this.#slots, at, words);
  }

  #grow(): void {
    const former = this.#slots;
    const slots = new Uint32Array(former.length * 2);
    for (let at = 0; at < former.length; at += WORDS_COUNT) {
      const words = former.subarray(at, at + WORDS_COUNT);
      if (words.some((word) => word !== 0)) slots.set(words, this.#find(slots, words));
    }
    this.#slots = slots;
  }
}

const isEqual = (slots: Uint32Array, at: number, words: Uint32Array): boolean =>
  slots[at] === words[0] && slots[at + 1] === words[1] && slots[at + 2] === words[2] && slots[at + 3] === words[3];

function wordsOf(mark: string): Uint32Array {
  const bytes = Buffer.from(mark, "base64url");
  return Uint32Array.from({ length: WORDS_COUNT }, (_, at) => bytes.readUInt32LE(at * 4));
}
