/** Hashes and marks of sets of primes. docs/specs/replication.md, Sets and Reconciling. */
import { createHash } from "node:crypto";
import { BLOCK_BYTES, encryptBlocks } from "#protocol/block-prf.ts";
import type { PrimeId } from "#protocol/ids.ts";

export const MARK_BYTES = 8;
const MARK_DIGITS = 2 * MARK_BYTES;

/** SHA-256 over ascending ids, 64 hex digits. */
export function hashOfSet(ids: readonly PrimeId[]): string {
  const hash = createHash("sha256");
  const AT_ONCE_COUNT = 4096;
  for (let at = 0; at < ids.length; at += AT_ONCE_COUNT) hash.update(ids.slice(at, at + AT_ONCE_COUNT).join(""), "hex");
  return hash.digest("hex");
}

/** Of each id its mark under a key, 16 hex digits, in order. */
export function marksOf(key: Uint8Array, ids: readonly PrimeId[]): string[] {
  const blocks = Buffer.from(ids.map((id) => id.slice(0, 2 * BLOCK_BYTES)).join(""), "hex");
  const encrypted = encryptBlocks(key, blocks).toString("hex");
  return ids.map((_, at) => encrypted.slice(at * 2 * BLOCK_BYTES, at * 2 * BLOCK_BYTES + MARK_DIGITS));
}

/** Those of `ids` whose marks are among `marks`, 8 bytes each, and the others. */
export function splitByMarks(
  key: Uint8Array,
  ids: readonly PrimeId[],
  marks: Uint8Array,
): { marked: Set<PrimeId>; others: PrimeId[] } {
  const digits = Buffer.from(marks.buffer, marks.byteOffset, marks.length).toString("hex");
  const wanted = new Set<string>();
  for (let at = 0; at < digits.length; at += MARK_DIGITS) wanted.add(digits.slice(at, at + MARK_DIGITS));
  const marked = new Set<PrimeId>();
  const others: PrimeId[] = [];
  const all = wanted.size === 0 ? [] : marksOf(key, ids);
  for (const [index, id] of ids.entries()) {
    if (all.length > 0 && wanted.has(all[index]!)) marked.add(id);
    else others.push(id);
  }
  return { marked, others };
}
