/**
 * Chunking written a second time, plainly and without WebAssembly, windows or batches, straight from
 * docs/specs/chunking.md. The tests hold the fast one equal to it.
 */
import { createCipheriv } from "node:crypto";
import { gearTable } from "#protocol/gear.ts";

const KIB = 1024;

/** All candidates of `bytes`, ascending. */
export function candidatesOf(bytes: Uint8Array): number[] {
  const found: number[] = [];
  let hash = 0;
  for (let at = 0; at < bytes.length; at++) {
    hash = ((hash << 1) + gearTable[bytes[at]!]!) | 0;
    if (at >= 31 && hash >>> 22 === 0) found.push(at + 1);
  }
  return found;
}

/** Lengths of all chunks of `bytes`. */
export function chunkLengthsOf(bytes: Uint8Array, chunkingKey: Uint8Array): number[] {
  const candidates = candidatesOf(bytes);
  const lengths: number[] = [];
  for (let start = 0; start < bytes.length; start += lengths.at(-1)!) {
    const isCut = (position: number): boolean => {
      const cipher = createCipheriv("aes-256-ecb", chunkingKey, null).setAutoPadding(false);
      const draw = cipher.update(bytes.subarray(position - 16, position)).readUInt32BE(0);
      return draw < (position - start < 832 * KIB ? 2 ** 20 : 2 ** 24);
    };
    const end = Math.min(bytes.length, start + 4096 * KIB);
    lengths.push(
      (candidates.find((position) => position - start >= 256 * KIB && position < end && isCut(position)) ?? end) -
        start,
    );
  }
  return lengths;
}
