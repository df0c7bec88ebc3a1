/**
 * Words for paper: bytes as words of BIP39's English list, read back with the mistakes that people make. Any word of the list is
 * told from all others by its first four letters, so those are enough. docs/specs/keys.md
 */
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { hash } from "node:crypto";
import { kitInvalid as invalid } from "./kit-fields.ts";
import { kitRootBytes } from "./keys.ts";

export const kitWordsCount = 24;
const WORD_BITS = 11;
const CHECKSUM_BITS = 8n;
const CHECKSUM_MASK = 255n;
const PREFIX_LETTERS = 4;
const LONGEST_TYPED_LETTERS = 16;
const SUGGESTIONS_COUNT = 3;

export interface MistypedWord {
  /** From 1. */
  readonly position: number;
  readonly word: string;
  /** The nearest words of the list, at least one. */
  readonly suggestions: readonly string[];
}

/** The 24 words of a kit root. */
export const wordsOfKitRoot = (kitRoot: Uint8Array): string[] => entropyToMnemonic(kitRoot, wordlist).split(" ");

/** The word of the list that is meant: the word itself, or its first letters, four at least. Case does not matter. */
export function findWord(typed: string): string | undefined {
  const word = typed.toLowerCase();
  if (wordlist.includes(word)) return word;
  return word.length < PREFIX_LETTERS ? undefined : wordlist.find((candidate) => candidate.startsWith(word));
}

/** The words of the list that are the fewest letters away, three at most. */
export function nearestWords(typed: string): string[] {
  const word = typed.toLowerCase().slice(0, LONGEST_TYPED_LETTERS);
  let nearest: string[] = [];
  let leastCount = Infinity;
  for (const candidate of wordlist) {
    const count = changedLettersCount(word, candidate);
    if (count < leastCount) [nearest, leastCount] = [[], count];
    if (count === leastCount) nearest.push(candidate);
  }
  return nearest.slice(0, SUGGESTIONS_COUNT);
}

/**
 * Words as a person types them: in any case, with numbers between them or not, with four letters of each or all. Throws
 * `kit-invalid` that names each one that is no word of the list, with the nearest that are.
 */
export function readWords(text: string): string[] {
  const typed = text.split(/\s+/).filter((part) => !/^(\d+[.:)]?)?$/.test(part));
  const wrong: MistypedWord[] = [];
  const words = typed.map((word, index) => {
    const found = findWord(word);
    if (found === undefined) wrong.push({ position: index + 1, word, suggestions: nearestWords(word) });
    return found ?? word;
  });
  const [first] = wrong;
  if (first === undefined) return words;
  throw invalid(wrong.map(describeMistyped).join("; "), {
    position: first.position,
    word: first.word,
    suggestion: first.suggestions[0],
    wrong,
  });
}

/** Such as: word 7, "abandn", is not in the list; perhaps "abandon" is meant. */
export function describeMistyped({ position, word, suggestions }: MistypedWord): string {
  const meant = suggestions.map((suggestion) => `"${suggestion}"`).join(" or ");
  return `word ${position}, "${word}", is not in the list; perhaps ${meant} is meant`;
}

/**
 * The kit root of 24 words. `isRight` knows the key that they should make, as the kit's file or the site does: then a single word that is
 * wrong, and two that have changed places, are named by their numbers. Without it nothing can be said: some 190 other words would do.
 * Throws `kit-invalid`, see {@link readWords}.
 */
export function kitRootOfWords(text: string, isRight?: (kitRoot: Uint8Array) => boolean): Uint8Array {
  const words = readWords(text);
  if (words.length !== kitWordsCount)
    throw invalid(`${kitWordsCount} words are expected, not ${words.length}`, { count: words.length });
  try {
    return mnemonicToEntropy(words.join(" "), wordlist);
  } catch (cause) {
    const positions = isRight && wrongPositions(words, isRight);
    const found =
      positions?.length === 1
        ? `word ${positions[0]} is wrong`
        : `words ${positions?.join(" and ")} have changed places`;
    throw invalid(
      `each word is in the list, but together they are not a kit: ${positions ? found : "one is wrong, or two have changed places"}`,
      positions && { positions },
      cause,
    );
  }
}

/** Of the one word that is wrong, or of the two that have changed places; undefined when it is neither. */
function wrongPositions(words: readonly string[], isRight: (kitRoot: Uint8Array) => boolean): number[] | undefined {
  const numbers = words.map((word) => BigInt(wordlist.indexOf(word)));
  const shifts = words.map((_, index) => BigInt((words.length - 1 - index) * WORD_BITS));
  const all = numbers.reduce((sum, number, index) => sum | (number << shifts[index]!), 0n);
  const changed = (from: bigint, index: number, number: bigint): bigint =>
    from - (numbers[index]! << shifts[index]!) + (number << shifts[index]!);
  const makesIt = (bits: bigint): boolean => {
    const kitRoot = Buffer.from((bits >> CHECKSUM_BITS).toString(16).padStart(kitRootBytes * 2, "0"), "hex");
    return BigInt(hash("sha256", kitRoot, "buffer")[0]!) === (bits & CHECKSUM_MASK) && isRight(kitRoot);
  };
  for (const one of words.keys())
    for (let other = one + 1; other < words.length; other++)
      if (makesIt(changed(changed(all, one, numbers[other]!), other, numbers[one]!))) return [one + 1, other + 1];
  for (const index of words.keys())
    for (const number of wordlist.keys()) if (makesIt(changed(all, index, BigInt(number)))) return [index + 1];
  return undefined;
}

/** Bytes as words, 11 bits a word, most significant first; bits that are left over are zero. */
export function wordsOfBytes(bytes: Uint8Array): string[] {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const count = Math.ceil(bits.length / WORD_BITS);
  return (bits.padEnd(count * WORD_BITS, "0").match(/.{11}/g) ?? []).map((word) => wordlist[parseInt(word, 2)]!);
}

/** Undefined when a left over bit is not zero, or there are not enough words. */
export function bytesOfWords(words: readonly string[], lengthBytes: number): Buffer | undefined {
  const bits = words.map((word) => wordlist.indexOf(word).toString(2).padStart(WORD_BITS, "0")).join("");
  const bytes = bits.slice(0, lengthBytes * 8).match(/.{8}/g) ?? [];
  if (bytes.length < lengthBytes || bits.slice(lengthBytes * 8).includes("1")) return undefined;
  return Buffer.from(bytes.map((byte) => parseInt(byte, 2)));
}

/** Letters changed, added, left out, or exchanged with their neighbour. */
function changedLettersCount(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const isExchanged = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      row.push(
        Math.min(
          last[j]! + 1,
          row[j - 1]! + 1,
          last[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1),
          isExchanged ? beforeLast[j - 2]! + 1 : Infinity,
        ),
      );
    }
    [beforeLast, last] = [last, row];
  }
  return last[right.length]!;
}
