/** Goal: what is sealed to a read key opens with it in its place, and nowhere else. Method: RFC 9180's vector, vectors made in Python, damage. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { isCostorError } from "#protocol/errors.ts";
import { parseAgentId, parseSiteId, parseSnapshotId } from "#protocol/ids.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { openWithReadKey, sealToReadKey, snapshotContext } from "#protocol/read-sealing.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly rfc?: Readonly<Record<"info" | "skRm" | "enc" | "pt" | "aad" | "ct", string>>;
  readonly readPrivateKey: string;
  readonly siteId: string;
  readonly agentId: string;
  readonly snapshotId: string;
  readonly plain: string;
  readonly sealed: string;
}

const buffer = (text: string): ArrayBuffer => Uint8Array.from(fromHex(text)).buffer;
const isBroken = (error: unknown): boolean => isCostorError(error, "seal-broken");

const test = suite("sealing to a read key");

for (const vector of readVectors<Case>("hpke")) {
  test(`vector: ${vector.comment}`, async () => {
    if (vector.rfc !== undefined) {
      const { info, skRm, enc, pt, aad, ct } = vector.rfc;
      const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
      const recipientKey = await suite.kem.importKey("raw", buffer(skRm), false);
      assert.deepEqual(
        Buffer.from(await suite.open({ recipientKey, enc: buffer(enc), info: buffer(info) }, buffer(ct), buffer(aad))),
        fromHex(pt),
      );
      return;
    }
    const context = snapshotContext(
      parseSiteId(vector.siteId),
      parseAgentId(vector.agentId),
      parseSnapshotId(vector.snapshotId),
    );
    assert.deepEqual(
      await openWithReadKey(fromHex(vector.sealed), fromHex(vector.readPrivateKey), context),
      fromHex(vector.plain),
    );
  });
}

test("what was sealed opens, and looks different each time", async () => {
  const { privateKey, publicKey } = deriveReadKey(randomBytes(32), 1);
  for (const lengthBytes of [0, 1, 1000, 100_000]) {
    const plain = randomBytes(lengthBytes);
    const context = randomBytes(64);
    const sealed = await sealToReadKey(plain, publicKey, context);
    assert.equal(sealed.length, plain.length + 49);
    assert.ok((await openWithReadKey(sealed, privateKey, context)).equals(plain));
    assert.notDeepEqual(await sealToReadKey(plain, publicKey, context), sealed);
  }
});

test("a record moved to another place, or offered to another generation's key, does not open", async () => {
  const root = randomBytes(32);
  const { privateKey, publicKey } = deriveReadKey(root, 1);
  const sealed = await sealToReadKey(Buffer.from("root"), publicKey, Buffer.from("here"));
  await assert.rejects(openWithReadKey(sealed, privateKey, Buffer.from("there")), isBroken);
  await assert.rejects(openWithReadKey(sealed, deriveReadKey(root, 2).privateKey, Buffer.from("here")), isBroken);
});

test("every flipped bit and every cut is noticed", async () => {
  const { privateKey, publicKey } = deriveReadKey(randomBytes(32), 1);
  const context = Buffer.from("here");
  const sealed = await sealToReadKey(Buffer.from("root"), publicKey, context);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    // X25519 ignores the highest bit of a public key (RFC 7748, 5), yet HPKE's context covers it.
    const damaged = Buffer.from(sealed);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    await assert.rejects(openWithReadKey(damaged, privateKey, context), isBroken);
  }
  for (let lengthBytes = 0; lengthBytes < sealed.length; lengthBytes++)
    await assert.rejects(openWithReadKey(sealed.subarray(0, lengthBytes), privateKey, context), isBroken);
});

test("an encapsulated key of small order is refused", async () => {
  const { privateKey } = deriveReadKey(randomBytes(32), 1);
  const sealed = Buffer.concat([Buffer.of(1), Buffer.alloc(32), randomBytes(40)]);
  await assert.rejects(openWithReadKey(sealed, privateKey, Buffer.alloc(0)), isBroken);
});

test.run();
