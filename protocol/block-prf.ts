import { createCipheriv, type Cipheriv } from "node:crypto";

export const BLOCK_BYTES = 16;

const ciphers = new WeakMap<Uint8Array, Cipheriv>();

/**
 * AES-256-ECB of `blocks`, 16 bytes each: a PRF of many short inputs in one call. One cipher a key and thread serves all calls,
 * since ECB keeps no state between blocks.
 */
export function encryptBlocks(key: Uint8Array, blocks: Uint8Array): Buffer {
  let cipher = ciphers.get(key);
  if (cipher === undefined) {
    cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    ciphers.set(key, cipher);
  }
  return cipher.update(blocks);
}
