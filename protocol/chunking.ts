/**
 * Content-defined chunking: filter, then PRF. docs/specs/chunking.md
 *
 * Whether a chunk ends at a position depends only on the 32 bytes before it, the scope, and the distance from the chunk's
 * start. A cut therefore comes out the same however a file is fed, and a reader that starts anywhere in a file is on the
 * same cuts as one from the start as soon as the two share one cut.
 */
import { createCipheriv, type Cipheriv } from "node:crypto";
import { findCandidates } from "./gear.ts";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";

const BLOCK_BYTES = 16;
/** Candidates are judged a window at a time; little is scanned behind a cut, and one cipher call judges some 64. */
const WINDOW_BYTES = 64 * 1024;
/** Bounds on the first 32 bits of a candidate's encrypted block: 1/4096 and 1/256 of their range. */
const EARLY_BOUND = 2 ** 32 / 4096;
const LATE_BOUND = 2 ** 32 / 256;

const candidates = new Int32Array(WINDOW_BYTES);
const blocks = Buffer.alloc(WINDOW_BYTES * BLOCK_BYTES);
const ciphers = new WeakMap<Scope, Cipheriv>();

/**
 * Length of the chunk that starts at `start` of `buffer`, whose bytes end at `end`; 0 when it needs more bytes to tell, which
 * happens only before the file's end (`isLast` false) and with less than a maximal chunk.
 */
export function cutChunk(buffer: Uint8Array, start: number, end: number, isLast: boolean, scope: Scope): number {
  const limit = Math.min(end, start + limits.chunkMaxBytes);
  for (let from = start + limits.chunkMinBytes - 1; from < limit; from += WINDOW_BYTES) {
    const cut = firstCut(buffer, start, from, Math.min(from + WINDOW_BYTES, limit), scope);
    if (cut > 0) return cut - start;
  }
  return isLast || limit - start === limits.chunkMaxBytes ? limit - start : 0;
}

/** The first cut in (from, to] for a chunk that starts at `start`; 0 when there is none. */
function firstCut(buffer: Uint8Array, start: number, from: number, to: number, scope: Scope): number {
  const count = findCandidates(buffer, from, to, candidates);
  if (count === 0) return 0;
  for (let index = 0; index < count; index++) {
    const position = candidates[index]!;
    blocks.set(buffer.subarray(position - BLOCK_BYTES, position), index * BLOCK_BYTES);
  }
  const judged = cipherOf(scope).update(blocks.subarray(0, count * BLOCK_BYTES));
  for (let index = 0; index < count; index++) {
    const position = candidates[index]!;
    const bound = position - start < limits.chunkNormalBytes ? EARLY_BOUND : LATE_BOUND;
    if (judged.readUInt32BE(index * BLOCK_BYTES) < bound) return position;
  }
  return 0;
}

/** One cipher a scope and thread: ECB keeps no state between blocks. */
function cipherOf(scope: Scope): Cipheriv {
  let cipher = ciphers.get(scope);
  if (cipher === undefined) {
    cipher = createCipheriv("aes-256-ecb", scope.chunking, null).setAutoPadding(false);
    ciphers.set(scope, cipher);
  }
  return cipher;
}
