/**
 * Candidates for cuts: positions where the top 10 bits of a public, rolling 32-bit hash are zero, one in 1,024.
 * docs/specs/chunking.md
 */
import { createHash } from "node:crypto";
import { assembleGearModule, gearBlockBytes, gearMemory, gearScanMaxBytes } from "./gear-module.ts";

/** A gear hash depends on exactly this many bytes: each is shifted one bit further until it is gone. */
const gearWindowBytes = 32;

/** The public table: entry b is the first 4 bytes, big-endian, of SHA-256("costor/v1/gear" ‖ b). */
export const gearTable = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash("sha256").update("costor/v1/gear").update(Uint8Array.of(byte)).digest().readInt32BE(0),
);

export interface Candidates {
  readonly count: number;
  /** The 16 bytes before each candidate, end to end. Valid until the next scan in this thread. */
  readonly blocks: Uint8Array;
  /** Position of a candidate; ascending. Valid until the next scan in this thread. */
  position(index: number): number;
}

const { memory, scan } = assembleGearModule();
const bytesOfMemory = new Uint8Array(memory);
const positions = new Int32Array(memory, gearMemory.positions, gearScanMaxBytes);
new Int32Array(memory, gearMemory.table, 256).set(gearTable);
const dataStart = gearMemory.data + gearBlockBytes;

/**
 * The candidates in (from, to], a range of at most 64 KiB. A position's hash is that of the 32 bytes before it, so `from` is
 * at least 31.
 */
export function findCandidates(bytes: Uint8Array, from: number, to: number): Candidates {
  let hash = 0;
  for (let at = from - gearWindowBytes + 1; at < from; at++) hash = ((hash << 1) + gearTable[bytes[at]!]!) | 0;
  bytesOfMemory.set(bytes.subarray(from - gearBlockBytes, to), gearMemory.data);
  const dataEnd = dataStart + to - from;
  let count = (scan(dataStart, dataEnd, hash) - gearMemory.positions) / 4;
  // The scan runs on to a whole number of steps, over what was there before.
  while (count > 0 && positions[count - 1]! > dataEnd) count--;
  return {
    count,
    blocks: bytesOfMemory.subarray(gearMemory.blocks, gearMemory.blocks + count * gearBlockBytes),
    position: (index) => positions[index]! - dataStart + from,
  };
}
