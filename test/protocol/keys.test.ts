/** Goal: keys and certificates are those of docs/specs/keys.md. Method: vectors made in Python, RFC 9180's own, and damage. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { parseEpochCertificate, signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { isCostorError } from "#protocol/errors.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret, siteIdOf } from "#protocol/keys.ts";
import { signEd25519, verifyEd25519 } from "#protocol/raw-keys.ts";
import { deriveScope } from "#protocol/scope.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly kitRoot: string;
  readonly recoverySeed: string;
  readonly recoveryPublicKey: string;
  readonly siteId: string;
  readonly read: Readonly<Record<string, { readonly private: string; readonly public: string }>>;
  readonly scopeSecret: string;
  readonly scope: { readonly convergence: string; readonly chunking: string; readonly content: string };
  readonly peerPublicKey: string;
  readonly head: string;
  readonly firstCertificate: string;
  readonly laterCertificate: string;
}

const vectors = readVectors<Case>("keys");
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const hasCode = (code: "bad-encoding" | "signature-invalid" | "bad-request" | "bad-id") => (error: unknown) =>
  isCostorError(error, code);

const test = suite("keys");

for (const vector of vectors) {
  test(`vector: ${vector.comment}`, () => {
    const root = fromHex(vector.kitRoot);
    const recovery = deriveRecoveryKey(root);
    assert.deepEqual([hex(recovery.seed), hex(recovery.publicKey)], [vector.recoverySeed, vector.recoveryPublicKey]);
    assert.equal(siteIdOf(recovery.publicKey), vector.siteId);
    for (const [generation, expected] of Object.entries(vector.read)) {
      const { privateKey, publicKey } = deriveReadKey(root, Number(generation));
      assert.deepEqual({ private: hex(privateKey), public: hex(publicKey) }, expected);
    }
    assert.equal(hex(deriveSiteScopeSecret(root)), vector.scopeSecret);
    const scope = deriveScope(fromHex(vector.scopeSecret));
    assert.deepEqual(
      {
        convergence: hex(scope.convergence.export()),
        chunking: hex(scope.chunking),
        bundling: hex(scope.bundling),
        content: hex(scope.content.export()),
      },
      vector.scope,
    );
  });

  test(`vector: epoch certificates of ${vector.comment}`, () => {
    const common = {
      siteId: siteIdOf(fromHex(vector.recoveryPublicKey)),
      peerPublicKey: fromHex(vector.peerPublicKey),
    };
    const first = { ...common, epoch: 1, previousHead: null };
    const later = { ...common, epoch: 2 ** 40, previousHead: fromHex(vector.head) };
    for (const [certificate, expected] of [
      [first, vector.firstCertificate],
      [later, vector.laterCertificate],
    ] as const) {
      assert.equal(hex(signEpochCertificate(certificate, fromHex(vector.recoverySeed))), expected);
      assert.deepEqual(parseEpochCertificate(fromHex(expected)), {
        ...certificate,
        recoveryKey: fromHex(vector.recoveryPublicKey),
        chain: [],
      });
    }
  });
}

test("roots and secrets of another length, and generations below 1, are refused", () => {
  assert.throws(() => deriveRecoveryKey(randomBytes(31)), hasCode("bad-request"));
  assert.throws(() => deriveScope(randomBytes(33)), hasCode("bad-request"));
  for (const generation of [0, -1, 1.5, Number.NaN])
    assert.throws(() => deriveReadKey(randomBytes(32), generation), hasCode("bad-request"));
  assert.throws(() => siteIdOf(randomBytes(31)), hasCode("bad-id"));
});

test("every flipped bit of an epoch certificate is noticed", () => {
  const certificate = fromHex(vectors[0]!.laterCertificate);
  for (let bit = 0; bit < certificate.length * 8; bit++) {
    const damaged = Buffer.from(certificate);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(
      () => parseEpochCertificate(damaged),
      (error) =>
        isCostorError(error, "bad-encoding") ||
        isCostorError(error, "signature-invalid") ||
        isCostorError(error, "limit-exceeded"),
    );
  }
});

test("a certificate that another site's recovery key has signed is refused", () => {
  const { siteId, publicKey } = {
    ...deriveRecoveryKey(randomBytes(32)),
    siteId: siteIdOf(fromHex(vectors[0]!.recoveryPublicKey)),
  };
  const forged = signEpochCertificate(
    { siteId, peerPublicKey: publicKey, epoch: 2, previousHead: null },
    randomBytes(32),
  );
  assert.throws(() => parseEpochCertificate(forged), hasCode("signature-invalid"));
});

test("a signature of the same body without the domain separator is no certificate", () => {
  const { recoverySeed, firstCertificate } = vectors[0]!;
  const map = decodeCbor(fromHex(firstCertificate)) as CborMap & { body: Uint8Array };
  const forged = encodeCbor({ ...map, signature: signEd25519(fromHex(recoverySeed), map.body) });
  assert.throws(() => parseEpochCertificate(forged), hasCode("signature-invalid"));
});

test("a certificate with more, fewer or other fields is refused", () => {
  const { recoverySeed, recoveryPublicKey, siteId, peerPublicKey, firstCertificate } = vectors[0]!;
  const body = { site: fromHex(siteId), peer: fromHex(peerPublicKey), epoch: 1, head: null };
  const wrap = (inner: CborMap): Buffer => {
    const bytes = encodeCbor(inner);
    return encodeCbor({
      key: fromHex(recoveryPublicKey),
      body: bytes,
      signature: signEd25519(
        fromHex(recoverySeed),
        Buffer.concat([Buffer.from("costor/v1/epoch-certificate\0"), bytes]),
      ),
    });
  };
  assert.deepEqual(wrap(body), fromHex(firstCertificate));
  const bad: CborMap[] = [
    { ...body, more: 1 },
    { site: body.site, peer: body.peer, epoch: 1 },
    { ...body, epoch: 0 },
    { ...body, epoch: -1 },
    { ...body, epoch: "1" },
    { ...body, epoch: 2n ** 60n },
    { ...body, peer: Buffer.alloc(31) },
    { ...body, head: Buffer.alloc(31) },
    { ...body, site: siteId },
  ];
  for (const inner of bad) assert.throws(() => parseEpochCertificate(wrap(inner)), hasCode("bad-encoding"));
  assert.throws(() => parseEpochCertificate(encodeCbor([1])), hasCode("bad-encoding"));
});

test("verifying takes keys and signatures of any length and says no", () => {
  const seed = randomBytes(32);
  const { publicKey } = { publicKey: deriveRecoveryKey(seed).publicKey };
  for (const key of [publicKey.subarray(1), Buffer.alloc(0), Buffer.alloc(33)])
    assert.equal(verifyEd25519(key, seed, randomBytes(64)), false);
  for (const lengthBytes of [0, 63, 65]) assert.equal(verifyEd25519(publicKey, seed, randomBytes(lengthBytes)), false);
  assert.equal(verifyEd25519(Buffer.alloc(32, 0xff), seed, randomBytes(64)), false);
});

test("an epoch certificate for a key by which anybody can sign is refused", () => {
  const { publicKey, seed } = deriveRecoveryKey(Buffer.alloc(32, 1));
  for (const hex of [`01${"00".repeat(31)}`, `01${"00".repeat(30)}80`, "00".repeat(32), `ec${"ff".repeat(30)}7f`]) {
    const fields = {
      siteId: siteIdOf(publicKey),
      peerPublicKey: Buffer.from(hex, "hex"),
      epoch: 1,
      previousHead: null,
    };
    assert.throws(() => parseEpochCertificate(signEpochCertificate(fields, seed)), { code: "signature-invalid" }, hex);
  }
});

test.run();
