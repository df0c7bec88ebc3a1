/**
 * Goal: with a new kit a site is the same site, opens all that it opened, and has nothing of the former kit or the new one on its disk. Method:
 * replaced once and twice, refused, and cut short between the steps.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { openLog } from "#ledger/entry.ts";
import { keepLog } from "#ledger/kept-ledger.ts";
import { ensureIdentity } from "#node/site/first-run.ts";
import { readFormerKeys } from "#node/site/former-keys.ts";
import { readIdentity, readSecrets, siteDirectoryOf } from "#node/site/identity.ts";
import { readKitCheck } from "#node/site/kit-check.ts";
import { replaceKit } from "#node/site/kit-replacement.ts";
import { finishReplacement } from "#node/site/replaced-directory.ts";
import { makeRootSealer } from "#node/site/root-sealer.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret, siteIdOf } from "#protocol/keys.ts";
import { type RecoveryKit, parseKit } from "#protocol/kit.ts";
import { limits } from "#protocol/limits.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("kit replacement");

const hasCode = (code: ErrorCode) => (error: unknown) => {
  assert.ok(isCostorError(error, code), String(error));
  return true;
};
const agent = parseAgentId("01890a5d-ac96-774b-bcce-b302099a8057");
const snapshot = parseSnapshotId("01890a5d-ac96-774b-bcce-b302099a8058");

async function makeSite(): Promise<{ data: string; site: string; kit: RecoveryKit; ledgerStore: MemoryLedgerStore }> {
  const data = await scratchDirectory("replacement");
  let text = "";
  await ensureIdentity(data, createMemoryStore(), {
    siteName: "Hill School",
    showKit: (shown) => void (text = shown),
    nowMs: 1,
  });
  return { data, site: siteDirectoryOf(data), kit: parseKit(text), ledgerStore: new MemoryLedgerStore() };
}

/** The new kit. */
async function replaced(data: string, ledgerStore: MemoryLedgerStore, former: RecoveryKit): Promise<RecoveryKit> {
  let text = "";
  const handOver = async (shown: string): Promise<void> => void (text = shown);
  // It is overwritten afterwards.
  await replaceKit(data, { ledgerStore }, { formerRoot: Uint8Array.from(former.kitRoot), handOver });
  return parseKit(text);
}

test("SiteId, log, scope secret and machine stay; recovery key and read key are the new kit's", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const [identity, secrets] = [await readIdentity(site), await readSecrets(site)];
  const next = await replaced(data, ledgerStore, kit);
  const [newIdentity, newSecrets] = [await readIdentity(site), await readSecrets(site)];
  assert.equal(next.siteId, kit.siteId);
  assert.notEqual(siteIdOf(deriveRecoveryKey(next.kitRoot).publicKey), kit.siteId);
  assert.deepEqual(Buffer.from(newIdentity.recoveryPublicKey), deriveRecoveryKey(next.kitRoot).publicKey);
  const [log, newLog] = [openLog(identity.epochCertificate), openLog(newIdentity.epochCertificate)];
  assert.equal(newLog.id, log.id);
  assert.deepEqual(newLog.certificate.chain[0]!.logs, [log.id]);
  const { readPrivateKey, readGeneration, formerReadKeys, ...others } = newSecrets;
  assert.deepEqual(Buffer.from(readPrivateKey), deriveReadKey(next.kitRoot, 2).privateKey);
  assert.deepEqual([readGeneration, formerReadKeys!.map(({ generation }) => generation)], [2, [1]]);
  assert.deepEqual(others, {
    scopeSecret: secrets.scopeSecret,
    peerSeed: secrets.peerSeed,
    caKey: secrets.caKey,
  });
  assert.equal((await readKitCheck(site)).confirmedMs, undefined);
  assert.deepEqual((await readdir(data)).toSorted(), ["site"]);
});

test("what was sealed before opens, also with the new kit alone, and not with the former one what is sealed now", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const identity = await readIdentity(site);
  const before = await makeRootSealer(identity, await readSecrets(site)).seal(Buffer.from("root"), agent, snapshot);
  const second = await replaced(data, ledgerStore, kit);
  const third = await replaced(data, ledgerStore, second);
  const sealer = makeRootSealer(identity, await readSecrets(site));
  assert.equal(String(await sealer.open(before, agent, snapshot)), "root");
  const now = await sealer.seal(Buffer.from("new"), agent, snapshot);
  const keysOf = (of: RecoveryKit) => [1, 2, 3].map((generation) => deriveReadKey(of.kitRoot, generation).privateKey);
  const former = (await readFormerKeys(site, kit.siteId, keysOf(third)))!;
  assert.deepEqual(Buffer.from(former.scopeSecret), deriveSiteScopeSecret(kit.kitRoot));
  assert.deepEqual(
    former.readKeys.map(({ generation, privateKey }) => [generation, Buffer.from(privateKey)]),
    [
      [2, deriveReadKey(second.kitRoot, 2).privateKey],
      [1, deriveReadKey(kit.kitRoot, 1).privateKey],
    ],
  );
  for (const past of [kit, second]) {
    assert.equal(await readFormerKeys(site, kit.siteId, keysOf(past)), undefined);
    for (const readPrivateKey of keysOf(past))
      await assert.rejects(
        makeRootSealer(identity, { readPrivateKey, formerReadKeys: undefined }).open(now, agent, snapshot),
        hasCode("seal-broken"),
      );
  }
});

test("neither root is in any file", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const next = await replaced(data, ledgerStore, kit);
  for (const name of await readdir(site)) {
    const bytes = await readFile(join(site, name));
    for (const { kitRoot } of [kit, next])
      for (const secret of [kitRoot, deriveRecoveryKey(kitRoot).seed]) assert.equal(bytes.indexOf(secret), -1, name);
  }
});

test("another site's kit, and the former kit after it was replaced, replace nothing", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const before = await readFile(join(site, "identity"));
  await assert.rejects(
    replaced(data, ledgerStore, { ...kit, kitRoot: randomBytes(32) }),
    hasCode("kit-of-another-site"),
  );
  assert.deepEqual(await readFile(join(site, "identity")), before);
  await replaced(data, ledgerStore, kit);
  await assert.rejects(replaced(data, ledgerStore, kit), hasCode("kit-of-another-site"));
});

test("the link names the earlier machines' logs, and a newer epoch elsewhere is no moment for it", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const { certificate } = openLog((await readIdentity(site)).epochCertificate);
  const { seed } = deriveRecoveryKey(kit.kitRoot);
  const other = openLog(signEpochCertificate({ ...certificate, previousHead: Buffer.alloc(32) }, seed));
  const { key, value } = keepLog(other);
  await ledgerStore.write([{ key, value }]);
  await replaced(data, ledgerStore, kit);
  const [link] = openLog((await readIdentity(site)).epochCertificate).certificate.chain;
  assert.ok(link!.logs.includes(other.id) && link!.logs.length === 2);
  const newer = await makeSite();
  const newerKey = deriveRecoveryKey(newer.kit.kitRoot);
  const own = openLog((await readIdentity(newer.site)).epochCertificate).certificate;
  await newer.ledgerStore.write([keepLog(openLog(signEpochCertificate({ ...own, epoch: 2 }, newerKey.seed)))]);
  await assert.rejects(replaced(newer.data, newer.ledgerStore, newer.kit), hasCode("ledger-refused"));
});

test("a kit is replaced as often as the limits say", async () => {
  const { data, ledgerStore, ...made } = await makeSite();
  let { kit } = made;
  for (let number = 2; number <= limits.recoveryKeysCount; number++) kit = await replaced(data, ledgerStore, kit);
  await assert.rejects(replaced(data, ledgerStore, kit), hasCode("limit-exceeded"));
});

test("when nobody takes the new kit, the former one stays", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const before = await readFile(join(site, "identity"));
  const handOver = (): Promise<void> => Promise.reject(new Error("no paper"));
  await assert.rejects(
    replaceKit(data, { ledgerStore }, { formerRoot: Uint8Array.from(kit.kitRoot), handOver }),
    /no paper/,
  );
  assert.deepEqual(await readFile(join(site, "identity")), before);
  await replaced(data, ledgerStore, kit);
});

test("a replacement that was cut short between the renames is ended by the next start, as often as it is tried", async () => {
  const { data, site, kit, ledgerStore } = await makeSite();
  const next = await replaced(data, ledgerStore, kit);
  await rename(site, join(data, "site.new"));
  await mkdir(join(data, "site.old"));
  for (let time = 0; time < 2; time++) await finishReplacement(data);
  assert.deepEqual(await readdir(data), ["site"]);
  assert.equal((await readIdentity(site)).siteId, next.siteId);
  await mkdir(join(data, "site.old"));
  await ensureIdentity(data, createMemoryStore(), { siteName: "x", showKit: () => assert.fail("a new kit"), nowMs: 1 });
  assert.deepEqual(await readdir(data), ["site"]);
});

test.run();
