import { hash } from "node:crypto";

/** Reproducible noise: SHA-256(seed text ‖ counter as u32 BE), end to end; the same as `stream` in test/vectors/reference.py. */
export function noise(seed: string, lengthBytes: number): Buffer {
  const prefix = Buffer.from(seed);
  const input = Buffer.concat([prefix, Buffer.alloc(4)]);
  const blocks = Array.from({ length: Math.ceil(lengthBytes / 32) }, (_, counter) => {
    input.writeUInt32BE(counter, prefix.length);
    return hash("sha256", input, "buffer");
  });
  return Buffer.concat(blocks).subarray(0, lengthBytes);
}
