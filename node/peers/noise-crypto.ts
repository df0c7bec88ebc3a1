/**
 * Noise's own ciphers, with each key made ready once. As it comes, Noise hands Node the bytes of the key with each message, and
 * making a key of them takes a third of the time of a message.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import type { ICryptoInterface } from "@chainsafe/libp2p-noise";
import { defaultCrypto, nodeCrypto } from "@chainsafe/libp2p-noise/crypto";

/** Below, Noise ciphers without Node. */
const LARGE_BYTES = 1200;

/** The bytes of a key never change while a connection has it. */
const keys = new WeakMap<Uint8Array, KeyObject>();

/** Node takes it in the place of bytes; Noise only passes it on. */
function readyKey(bytes: Uint8Array): Uint8Array {
  let key = keys.get(bytes);
  if (key === undefined) keys.set(bytes, (key = createSecretKey(bytes)));
  return key as unknown as Uint8Array;
}

export const noiseCrypto: ICryptoInterface = {
  ...defaultCrypto,
  chaCha20Poly1305Encrypt: (plain, nonce, ad, key) =>
    plain.byteLength < LARGE_BYTES
      ? defaultCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, key)
      : nodeCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, readyKey(key)),
  chaCha20Poly1305Decrypt: (sealed, nonce, ad, key, into) =>
    sealed.byteLength < LARGE_BYTES
      ? defaultCrypto.chaCha20Poly1305Decrypt(sealed, nonce, ad, key, into)
      : nodeCrypto.chaCha20Poly1305Decrypt(sealed, nonce, ad, readyKey(key)),
};
