/** A content slice as the agent's database keeps it: id 32 ‖ key 32 ‖ prime length u32 ‖ offset u32 ‖ length u32. */
import { primeIdFromBytes, primeIdToBytes } from "#protocol/ids.ts";
import type { ContentSlice } from "#protocol/tree.ts";

const SLICE_BYTES = 76;

export function encodeSlice(slice: ContentSlice): Buffer {
  const bytes = Buffer.allocUnsafe(SLICE_BYTES);
  primeIdToBytes(slice.prime.id).copy(bytes);
  bytes.set(slice.prime.key, 32);
  bytes.writeUInt32LE(slice.prime.lengthBytes, 64);
  bytes.writeUInt32LE(slice.offsetBytes, 68);
  bytes.writeUInt32LE(slice.lengthBytes, 72);
  return bytes;
}

export function decodeSlice(bytes: Buffer): ContentSlice {
  return {
    prime: {
      id: primeIdFromBytes(bytes.subarray(0, 32)),
      key: bytes.subarray(32, 64),
      lengthBytes: bytes.readUInt32LE(64),
    },
    offsetBytes: bytes.readUInt32LE(68),
    lengthBytes: bytes.readUInt32LE(72),
  };
}
