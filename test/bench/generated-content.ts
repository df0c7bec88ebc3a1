/**
 * Content made from a seed, the same on every machine: what the bench writes into its corpora.
 * The bytes come from AES-128-CTR key streams, which are fast, and which no program under test can compress.
 */
import { createCipheriv, createHash } from "node:crypto";

/** Bytes in one block of a generated large file. Blocks differ in kind, so that some compress and some repeat. */
export const blockBytes = 65_536;
/** Blocks of one kind in a row. */
const rowBlocks = 16;

const zeroes = Buffer.alloc(16 * blockBytes);

/** `lengthBytes` (at most sixteen blocks) of the key stream that `label` names. */
export function keyStream(label: string, lengthBytes: number): Buffer {
  const digest = createHash("sha256").update(label).digest();
  const cipher = createCipheriv("aes-128-ctr", digest.subarray(0, 16), digest.subarray(16));
  return cipher.update(zeroes.subarray(0, lengthBytes));
}

/** A generator of numbers in [0, 1) that depends on `label` alone (splitmix32 over a hashed seed). */
export function seededFractions(label: string): () => number {
  let state = createHash("sha256").update(label).digest().readUInt32LE(0);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}

/** A seeded Fisher-Yates shuffle, in place. */
export function shuffle<T>(items: T[], fraction: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(fraction() * (last + 1));
    [items[last], items[other]] = [items[other]!, items[last]!];
  }
  return items;
}

/** Log-like lines: about a quarter of each line is unpredictable, the rest repeats. */
function logLines(label: string): Buffer {
  const hex = keyStream(label, blockBytes / 4).toString("hex");
  let text = "";
  for (let at = 0; text.length < blockBytes; at += 16) {
    text += `level=info module=storage msg="request completed" trace=${hex.slice(at, at + 16)} status=200\n`;
  }
  return Buffer.from(text.slice(0, blockBytes), "latin1");
}

/**
 * Block `index` of the generated file of `seed`. Sixteen blocks in a row are of one kind, chosen by the seed: of a hundred
 * rows about 45 are random, 20 hexadecimal digits, 25 log lines, 3 zeroes, and 7 repeat a row of random blocks from
 * before (a duplicate that chunking may find).
 */
export function fileBlock(seed: string, index: number): Buffer {
  const row = Math.floor(index / rowBlocks);
  const choice = seededFractions(`${seed}/row/${row}`);
  const kind = choice();
  if (kind < 0.2) return Buffer.from(keyStream(`${seed}/${index}`, blockBytes / 2).toString("hex"), "latin1");
  if (kind < 0.45) return logLines(`${seed}/${index}`);
  if (kind < 0.48) return Buffer.alloc(blockBytes);
  const sourceRow = kind < 0.55 ? Math.floor(choice() * row) : row;
  return keyStream(`${seed}/${sourceRow * rowBlocks + (index % rowBlocks)}`, blockBytes);
}
