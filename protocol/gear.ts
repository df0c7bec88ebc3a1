import { createHash } from "node:crypto";

/** A gear hash depends on exactly this many bytes: each shifts one bit further until it is gone. */
export const GEAR_WINDOW_BYTES = 32;

/** The public table: entry b is the first 4 bytes, big-endian, of SHA-256("costor/v1/gear" ‖ b). */
export const gearTable = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash("sha256").update("costor/v1/gear").update(Uint8Array.of(byte)).digest().readInt32BE(0),
);

/**
 * Writes the candidates in (from, to] to `found`, ascending, and returns their count. A position p is a candidate when the top
 * 10 bits of the gear hash of the 32 bytes before it are zero. `from` must be at least 32.
 */
export function findCandidates(bytes: Uint8Array, from: number, to: number, found: Int32Array): number {
  let hash = 0;
  for (let at = from - GEAR_WINDOW_BYTES + 1; at < from; at++) hash = ((hash << 1) + gearTable[bytes[at]!]!) | 0;
  let count = 0;
  for (let at = from; at < to; at++) {
    hash = ((hash << 1) + gearTable[bytes[at]!]!) | 0;
    if (hash >>> 22 === 0) found[count++] = at + 1;
  }
  return count;
}
