/** Goal: a recovery key takes another's place only by a link that the former one has signed. Method: vectors, and each rule broken. */
import assert from "node:assert/strict";
import { encodeCbor } from "#protocol/cbor.ts";
import { parseEpochCertificate, signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { parseLogId } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { signEd25519 } from "#protocol/raw-keys.ts";
import { type RecoveryLinkFields, parseRecoveryChain, signRecoveryLink } from "#protocol/recovery-chain.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly siteId: string;
  readonly chain: readonly string[];
  readonly certificate?: string;
  readonly keys?: readonly string[];
  readonly logs?: readonly (readonly string[])[];
  readonly code?: ErrorCode;
}

const kits = Array.from({ length: 12 }, (_, index) => deriveRecoveryKey(Buffer.alloc(32, index + 1)));
const siteId = siteIdOf(kits[0]!.publicKey);
const log = (digit: number) => parseLogId(digit.toString(16).padStart(2, "0").repeat(32));
const link = (number: number, changes: Partial<RecoveryLinkFields> = {}, signer = number - 2) =>
  signRecoveryLink(
    { siteId, number, key: kits[number - 1]!.publicKey, logs: [log(number)], ...changes },
    kits[signer]!.seed,
  );
const hasCode = (code: ErrorCode) => (error: unknown) => {
  assert.ok(isCostorError(error, code), String(error));
  return true;
};

const test = suite("recovery chain");

for (const { comment, code, ...vector } of readVectors<Case>("recovery-chain")) {
  test(`vector: ${comment}`, () => {
    const chain = vector.chain.map(fromHex);
    const read = () => ({
      links: parseRecoveryChain(chain, vector.siteId as typeof siteId),
      certificate: vector.certificate === undefined ? undefined : parseEpochCertificate(fromHex(vector.certificate)),
    });
    if (code !== undefined) return void assert.throws(read, hasCode(code));
    const { links, certificate } = read();
    assert.deepEqual(
      links.map(({ key }) => Buffer.from(key).toString("hex")),
      vector.keys,
    );
    assert.deepEqual(
      links.map(({ logs }) => logs),
      vector.logs,
    );
    assert.equal(certificate!.siteId, vector.siteId);
    assert.equal(Buffer.from(certificate!.recoveryKey).toString("hex"), vector.keys!.at(-1));
  });
}

test("keys follow each other, each signed by the one before it", () => {
  const chain = [link(2), link(3), link(4, { logs: [] })];
  const links = parseRecoveryChain(chain, siteId);
  assert.deepEqual(
    links.map(({ number, logs }) => [number, logs]),
    [
      [2, [log(2)]],
      [3, [log(3)]],
      [4, []],
    ],
  );
  assert.deepEqual(parseRecoveryChain([], siteId), []);
});

test("a link of another site, in another place, or signed by another key is refused", () => {
  const other = siteIdOf(kits[5]!.publicKey);
  for (const [chain, why] of [
    [[link(3)], "the first is left out"],
    [[link(3), link(2)], "out of order"],
    [[link(2), link(2)], "twice"],
    [[link(2, { siteId: other })], "of another site"],
    [[link(2, {}, 4)], "signed by a stranger"],
    [[link(2), link(3, {}, 0)], "signed by the first key again"],
    [[link(2), link(3, {}, 4)], "signed by a stranger, later"],
  ] as const)
    assert.throws(() => parseRecoveryChain(chain, siteId), hasCode("signature-invalid"), why);
  assert.throws(() => parseRecoveryChain([link(2)], other), hasCode("signature-invalid"));
});

test("a new key by which anybody can sign is refused", () => {
  const key = Buffer.alloc(32);
  key[0] = 1;
  assert.throws(() => parseRecoveryChain([link(2, { key })], siteId), hasCode("signature-invalid"));
});

test("what is no link is refused, with any other field, order, or domain", () => {
  const body = encodeCbor({ site: fromHex(siteId), number: 2, key: kits[1]!.publicKey, logs: [] });
  const signed = (domain: string, bytes = body) =>
    encodeCbor({
      body: bytes,
      key: kits[0]!.publicKey,
      signature: signEd25519(kits[0]!.seed, Buffer.concat([Buffer.from(`${domain}\0`), bytes])),
    });
  const domain = "costor/v1/recovery-key";
  assert.equal(parseRecoveryChain([signed(domain)], siteId).length, 1);
  assert.throws(() => parseRecoveryChain([signed("costor/v1/roster")], siteId), hasCode("signature-invalid"));
  for (const wrong of [
    encodeCbor({ site: fromHex(siteId), number: 2, key: kits[1]!.publicKey }),
    encodeCbor({ site: fromHex(siteId), number: 2, key: kits[1]!.publicKey, logs: [], more: 1 }),
    encodeCbor({ site: fromHex(siteId), number: "2", key: kits[1]!.publicKey, logs: [] }),
    encodeCbor({ site: fromHex(siteId), number: 2, key: Buffer.alloc(31), logs: [] }),
    encodeCbor({ site: fromHex(siteId), number: 2, key: kits[1]!.publicKey, logs: [log(2), log(1)].map(fromHex) }),
    encodeCbor([1]),
    encodeCbor(null),
  ])
    assert.throws(() => parseRecoveryChain([signed(domain, wrong)], siteId), hasCode("bad-encoding"));
  assert.throws(() => parseRecoveryChain([Buffer.from("xx")], siteId), hasCode("bad-encoding"));
});

test("a site has no more keys and a link no more logs than the limits say", () => {
  const logs = Array.from({ length: limits.recoveryLinkLogsCount + 1 }, (_, index) => log(index));
  assert.throws(() => link(2, { logs }), hasCode("limit-exceeded"));
  assert.equal(parseRecoveryChain([link(2, { logs: logs.slice(1) })], siteId).length, 1);
  const chain = Array.from({ length: limits.recoveryKeysCount - 1 }, (_, index) => link(index + 2));
  assert.equal(parseRecoveryChain(chain, siteId).length, chain.length);
  assert.throws(() => link(limits.recoveryKeysCount + 1), hasCode("limit-exceeded"));
  assert.throws(() => parseRecoveryChain([...chain, chain[0]!], siteId), hasCode("limit-exceeded"));
});

test("a certificate of a later key carries the chain to it, and is refused without it or with another", () => {
  const certificate = { siteId, peerPublicKey: kits[9]!.publicKey, epoch: 3, previousHead: null };
  const chain = [link(2), link(3)];
  const bytes = signEpochCertificate(certificate, kits[2]!.seed, chain);
  const read = parseEpochCertificate(bytes);
  assert.deepEqual([read.siteId, read.epoch, read.chain.length], [siteId, 3, 2]);
  assert.deepEqual(Buffer.from(read.recoveryKey), kits[2]!.publicKey);
  assert.ok(bytes.length < limits.epochCertificateBytes);
  for (const wrong of [
    signEpochCertificate(certificate, kits[2]!.seed),
    signEpochCertificate(certificate, kits[2]!.seed, [chain[0]!]),
    signEpochCertificate(certificate, kits[1]!.seed, chain),
    signEpochCertificate(certificate, kits[0]!.seed, chain),
    signEpochCertificate({ ...certificate, siteId: siteIdOf(kits[2]!.publicKey) }, kits[2]!.seed, chain),
  ])
    assert.throws(() => parseEpochCertificate(wrong), hasCode("signature-invalid"));
});

test.run();
