/**
 * The keyed hash by which an agent finds content that it has sent before: AES-256-GMAC, 16 bytes, under a key that is
 * random for each database and leaves it no more than the hashes do. docs/decisions/content-hash.md
 *
 * For whoever does not know the key, any two contents that he makes have one hash with a chance of less than 2⁻¹⁰⁸. The
 * nonce is always the same, which GMAC allows only while nobody sees hashes: they are no part of any format.
 */
import { createCipheriv, createSecretKey, type KeyObject } from "node:crypto";

export const CONTENT_HASH_BYTES = 16;
export const CONTENT_KEY_BYTES = 32;
const NONCE = Buffer.alloc(12);

/** A key that a database keeps, as it is used. */
export const contentKeyFrom = (bytes: Uint8Array): KeyObject => createSecretKey(bytes);

export function contentHash(key: KeyObject, plain: Uint8Array): Buffer {
  const mac = createCipheriv("aes-256-gcm", key, NONCE).setAAD(plain);
  mac.final();
  return mac.getAuthTag();
}

/** The hashes of several contents end to end; zeros where there is no content. */
export function contentHashes(key: KeyObject, plains: readonly Uint8Array[]): Buffer {
  const hashes = Buffer.alloc(plains.length * CONTENT_HASH_BYTES);
  plains.forEach((plain, index) => {
    if (plain.length > 0) contentHash(key, plain).copy(hashes, index * CONTENT_HASH_BYTES);
  });
  return hashes;
}
