/**
 * Content-defined chunking: filter, then PRF. docs/specs/chunking.md
 *
 * Whether a chunk ends at a position depends only on the 32 bytes before it, the scope, and the distance from the chunk's
 * start. A cut therefore comes out the same however a file is fed, and a reader that starts anywhere in a file is on the
 * same cuts as one from the start as soon as the two share one cut.
 */
import { BLOCK_BYTES, encryptBlocks } from "./block-prf.ts";
import { gearScanMaxBytes } from "./gear-module.ts";
import { findCandidates } from "./gear.ts";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";

/** Bounds on the first 32 bits of a candidate's encrypted block: 1/4096 and 1/256 of their range. */
const EARLY_BOUND = 2 ** 32 / 4096;
const LATE_BOUND = 2 ** 32 / 256;

/**
 * Length of the chunk that starts at `start` of `buffer`, whose bytes end at `end`; 0 when it needs more bytes to tell, which
 * happens only before the file's end (`isLast` false) and with less than a maximal chunk. It keeps nothing between
 * calls: to scan each byte once, call it with a maximal chunk or the file's end in the buffer.
 */
export function cutChunk(buffer: Uint8Array, start: number, end: number, isLast: boolean, scope: Scope): number {
  const limit = Math.min(end, start + limits.chunkMaxBytes);
  for (let from = start + limits.chunkMinBytes - 1; from < limit; from += gearScanMaxBytes) {
    const cut = firstCut(buffer, start, from, Math.min(from + gearScanMaxBytes, limit), scope);
    if (cut > 0) return cut - start;
  }
  return isLast || limit - start === limits.chunkMaxBytes ? limit - start : 0;
}

/** The first cut in (from, to] for a chunk that starts at `start`; 0 when there is none. */
function firstCut(buffer: Uint8Array, start: number, from: number, to: number, scope: Scope): number {
  const candidates = findCandidates(buffer, from, to);
  if (candidates.count === 0) return 0;
  const judged = encryptBlocks(scope.chunking, candidates.blocks);
  for (let index = 0; index < candidates.count; index++) {
    const draw = judged.readUInt32BE(index * BLOCK_BYTES);
    if (draw >= LATE_BOUND) continue;
    const position = candidates.position(index);
    if (draw < EARLY_BOUND || position - start >= limits.chunkNormalBytes) return position;
  }
  return 0;
}
