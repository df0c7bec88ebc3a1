// Goal: ready keys change nothing of what Noise sends. Method: Noise's own ciphers on either side of the size from which Node is used.
import assert from "node:assert/strict";
import { defaultCrypto } from "@chainsafe/libp2p-noise/crypto";
import { noiseCrypto } from "#node/peers/noise-crypto.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("noise crypto");
const [nonce, ad] = [Buffer.from(noise("nonce", 12)), Buffer.from(noise("ad", 32))];
const sizes = [0, 1, 1199, 1200, 65_519] as const;

test("messages are those of Noise, with one key and with another", () => {
  for (const name of ["one key", "another key"]) {
    const key = Buffer.from(noise(name, 32));
    for (const sizeBytes of sizes) {
      const plain = Buffer.from(noise("plain", sizeBytes));
      const sealed = noiseCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, key).subarray();
      assert.deepEqual(sealed, defaultCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, key).subarray());
      const opened = defaultCrypto.chaCha20Poly1305Decrypt(Buffer.from(sealed), nonce, ad, key).subarray();
      assert.ok(plain.equals(opened));
      assert.ok(plain.equals(noiseCrypto.chaCha20Poly1305Decrypt(sealed, nonce, ad, key).subarray()));
    }
  }
});

test("a changed message is refused", () => {
  const key = Buffer.from(noise("one key", 32));
  for (const sizeBytes of sizes) {
    const sealed = Buffer.from(noiseCrypto.chaCha20Poly1305Encrypt(Buffer.alloc(sizeBytes), nonce, ad, key).subarray());
    sealed[0]! ^= 1;
    assert.throws(() => noiseCrypto.chaCha20Poly1305Decrypt(sealed, nonce, ad, key));
  }
});

test.run();
