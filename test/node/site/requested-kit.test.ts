/**
 * Goal: what a site will be with a kit that it has asked for lies ready beside it, takes its place only by a roster, and is whole at any stop. Method: data
 * directories, with the ledger of a federation in memory beside them.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openLog } from "#ledger/entry.ts";
import { encodeRosterBody, parseRosterBody } from "#ledger/roster.ts";
import { Membership } from "#ledger/membership.ts";
import { ensureIdentity } from "#node/site/first-run.ts";
import { parseFormerKeys } from "#node/site/former-keys.ts";
import { readIdentity, readSecrets, siteDirectoryOf } from "#node/site/identity.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { parseFederationId } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey } from "#protocol/keys.ts";
import { type RecoveryKit, parseKit } from "#protocol/kit.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { signedRoster } from "#test/support/replica.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("requested kit");

async function makeSite() {
  const data = await scratchDirectory("requested");
  const store = createMemoryStore();
  let text = "";
  const showKit = (shown: string): void => void (text = shown);
  await ensureIdentity(data, store, { siteName: "Hill School", showKit, nowMs: 1 });
  const identity = await readIdentity(siteDirectoryOf(data));
  const own = openLog(identity.epochCertificate);
  const files = new RequestedKitFiles({ dataDirectory: data });
  return { data, store, files, own, kit: parseKit(text), site: siteDirectoryOf(data) };
}

type Made = Awaited<ReturnType<typeof makeSite>>;

async function asked({ files, own }: Made): Promise<RecoveryKit> {
  let text = "";
  await files.make({ logs: [own.id], handOver: async (shown) => void (text = shown) });
  return parseKit(text);
}

/** A federation of this site and two others, who agree on the link. */
async function agreed({ store, files, own }: Made): Promise<void> {
  const [one, other] = [new LedgerAuthor("one"), new LedgerAuthor("other")];
  const membership = await Membership.open({ store: new LedgerFacts({ store }) }, own.certificate);
  const all = [own.certificate.siteId, one.siteId, other.siteId];
  const membersOf = (sites: readonly string[]) =>
    all
      .filter((site) => sites.includes(site))
      .sort()
      .map((siteId) => ({ siteId, inviter: null }));
  const fixed = { name: "Schools", salt: Buffer.alloc(16), expelled: [] };
  const first = encodeRosterBody({ ...fixed, number: 0, previous: null, members: membersOf([one.siteId]) });
  const second = encodeRosterBody({
    ...{ ...fixed, number: 1, previous: parseRosterBody(first).hash },
    members: membersOf([one.siteId, other.siteId]),
  });
  const third = encodeRosterBody({
    ...fixed,
    number: 2,
    previous: parseRosterBody(second).hash,
    members: membersOf(all),
  });
  const { link } = await files.read();
  const fourth = encodeRosterBody({
    ...{ ...fixed, number: 3, previous: parseRosterBody(third).hash, members: membersOf(all), rekey: link },
  });
  const both = [one, other];
  await membership.enter(
    [signedRoster(first, [one]), signedRoster(second, [one]), signedRoster(third, both), signedRoster(fourth, both)],
    parseFederationId(parseRosterBody(first).hash),
  );
}

test("what lies ready is the new kit's, and the root is in no file", async () => {
  const made = await makeSite();
  const next = await asked(made);
  assert.equal(next.siteId, made.kit.siteId);
  const { link, readPrivateKey, formerKeysState } = await made.files.read();
  const recovery = deriveRecoveryKey(next.kitRoot);
  assert.deepEqual(Buffer.from(link.key), recovery.publicKey);
  assert.deepEqual([link.number, link.isByMajority, link.logs], [2, true, [made.own.id]]);
  assert.deepEqual(Buffer.from(readPrivateKey), deriveReadKey(next.kitRoot, 2).privateKey);
  const former = parseFormerKeys(formerKeysState);
  const secrets = await readSecrets(made.site);
  assert.deepEqual(Buffer.from(former.scopeSecret), Buffer.from(secrets.scopeSecret));
  assert.deepEqual(Buffer.from(former.readKeys[0]!.privateKey), Buffer.from(secrets.readPrivateKey));
  const directory = join(made.data, "site.requested");
  for (const name of await readdir(directory)) {
    const bytes = await readFile(join(directory, name));
    for (const secret of [next.kitRoot, recovery.seed]) assert.equal(bytes.indexOf(secret), -1, name);
  }
});

test("it takes the site's place only when a roster has its link", async () => {
  const made = await makeSite();
  const next = await asked(made);
  assert.equal(await made.files.place(made), false);
  assert.deepEqual(
    Buffer.from((await readIdentity(made.site)).recoveryPublicKey),
    deriveRecoveryKey(made.kit.kitRoot).publicKey,
  );
  await agreed(made);
  assert.equal(await made.files.place(made), true);
  const identity = await readIdentity(made.site);
  assert.deepEqual(Buffer.from(identity.recoveryPublicKey), deriveRecoveryKey(next.kitRoot).publicKey);
  assert.equal(openLog(identity.epochCertificate).id, made.own.id);
  assert.equal((await readSecrets(made.site)).readGeneration, 2);
  assert.deepEqual(await readdir(made.data), ["site"]);
  assert.equal(await made.files.place(made), false, "once");
});

test("a roster that has another link of the site changes nothing", async () => {
  const made = await makeSite();
  await asked(made);
  await agreed(made);
  await asked(made);
  assert.equal(await made.files.place(made), false);
  assert.deepEqual(
    Buffer.from((await readIdentity(made.site)).recoveryPublicKey),
    deriveRecoveryKey(made.kit.kitRoot).publicKey,
  );
});

test("a stop while it takes the place is ended by the next start", async () => {
  const made = await makeSite();
  const next = await asked(made);
  await agreed(made);
  // As after the copy, and then after the first rename.
  await mkdir(join(made.data, "site.new"));
  await writeFile(join(made.data, "site.new", "identity"), "half of it");
  assert.equal(await made.files.place(made), true);
  const again = await makeSite();
  await asked(again);
  await agreed(again);
  await rename(join(again.data, "site.requested"), join(again.data, "site.new"));
  await rename(again.site, join(again.data, "site.old"));
  await ensureIdentity(again.data, again.store, { siteName: "x", showKit: () => assert.fail("a new site"), nowMs: 1 });
  assert.equal(await again.files.place(again), false);
  assert.equal((await readSecrets(again.site)).readGeneration, 2);
  assert.deepEqual(
    Buffer.from((await readIdentity(made.site)).recoveryPublicKey),
    deriveRecoveryKey(next.kitRoot).publicKey,
  );
});

test("what a stop has left half made, and what is another machine's by now, is thrown away", async () => {
  const made = await makeSite();
  await asked(made);
  await writeFile(join(made.data, "site.requested", "identity"), "half of it");
  assert.equal(await made.files.place(made), false);
  assert.ok(!existsSync(join(made.data, "site.requested")));
  const [one, other] = [await makeSite(), await makeSite()];
  await asked(other);
  await rename(join(other.data, "site.requested"), join(one.data, "site.requested"));
  assert.equal(await one.files.place(one), false);
  assert.ok(!existsSync(join(one.data, "site.requested")));
});

test("when nobody takes the new kit nothing is asked for", async () => {
  const made = await makeSite();
  const handOver = (): Promise<void> => Promise.reject(new Error("no paper"));
  await assert.rejects(made.files.make({ logs: [made.own.id], handOver }), /no paper/);
  await assert.rejects(made.files.read(), { code: "not-found" });
});

test.run();
