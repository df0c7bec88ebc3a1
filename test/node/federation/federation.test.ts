/**
 * Goal: a federation that only runs writes next to nothing, forgets what was withdrawn long ago, and gets back what a disk that was
 * set back has lost. Method: whole sites in memory, days and weeks of virtual time.
 */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import { keepLog } from "#ledger/kept-ledger.ts";
import type { LedgerChange } from "#ledger/ledger-store.ts";
import { InviterAddress } from "#node/federation/inviter-address.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { makeGenesis } from "#test/simulation/genesis.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import type { SimIdentity } from "#test/simulation/sim-identity.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("federation", { timeoutMs: 120_000 });

/** How many entries of each kind a site has, in force or not. */
async function kindsOf({ store }: FederationSite): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const { key, value } of new LedgerFacts({ store }).all()) {
    if (!key.startsWith("entry/")) continue;
    const { kind } = parseEntry(value);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

const faultsOf = (sites: readonly FederationSite[]) =>
  sites.flatMap(({ events }) => events.filter(({ event }) => event === "fault" || event === "put-off"));

const safeCountOf = ({ federation }: FederationSite): number => federation.parts.copies.safeReceivedMs();

test("an idle federation writes the results of audits once a week, and nothing else", async () => {
  const world = await FederationWorld.of(3);
  for (const site of world.sites) await site.backUp("first", 10);
  await world.run(12 * HOUR_MS);
  for (const site of world.sites) assert.equal(safeCountOf(site), 1);
  const [site] = world.sites as [FederationSite];
  const before = await kindsOf(site);
  const appendedBefore = site.store.appended.length;
  await world.run(7 * DAY_MS);
  const after = await kindsOf(site);
  // Each owner has two holders. The first audits are told at once.
  const [auditsBefore, audits] = [before["audit"] ?? 0, after["audit"] ?? 0];
  assert.ok(audits >= 6 && audits - auditsBefore <= 12, `${audits - auditsBefore} audits`);
  assert.deepEqual({ ...after, audit: 0 }, { ...before, audit: 0 });
  // What else a site notes of its own, such as how time passes, is little.
  const notedCount = site.store.appended.length - appendedBefore - (audits - auditsBefore);
  assert.ok(notedCount <= 7 * 24 * 3, `${notedCount} facts`);
  assert.deepEqual(faultsOf(world.sites), []);
});

test("a site that was ended while it joined knows its inviter from the next start on", async () => {
  const world = await FederationWorld.of(2);
  const [self, inviter] = world.members as [SimIdentity, SimIdentity];
  const [running] = world.sites as [FederationSite];
  world.crash(running);
  const store = createMemoryStore();
  const isInviters = ({ key }: LedgerChange): boolean => key === keepLog(inviter.log).key;
  const entered = makeGenesis(new SeededRng("genesis"), world.members).filter((change) => !isInviters(change));
  await new LedgerFacts({ store }).write(entered);
  const strange = await world.start(self, store);
  assert.ok(!strange.federation.parts.membership.peerMayConnect(inviter.peerKey), "it has forgotten");
  world.crash(strange);
  const inviterAddress = await InviterAddress.open(store);
  await inviterAddress.keep({ peer: inviter.peerKey, addresses: [], certificate: Buffer.from(inviter.log.bytes) });
  const again = await world.start(self, store);
  assert.ok(again.federation.parts.membership.peerMayConnect(inviter.peerKey));
  await world.run(HOUR_MS);
  assert.ok(again.federation.parts.ownLog.isReady, "they meet");
});

test("a member of a federation that is too small for two copies is told so", async () => {
  for (const [count, codes] of [
    [2, ["too-few-sites"]],
    [3, []],
  ] as const) {
    const world = await FederationWorld.of(count);
    await world.run(HOUR_MS);
    for (const { federation } of world.sites)
      assert.deepEqual(
        (await federation.alarms()).map(({ code }) => code),
        codes,
      );
  }
});

test("what was withdrawn is forgotten after the lock", async () => {
  const world = await FederationWorld.of(1);
  const [site] = world.sites as [FederationSite];
  const { entries } = site.federation.parts;
  await world.run(HOUR_MS);
  await entries.write({ kind: "placement", slice: 1, holders: [] });
  await entries.withdraw("placement", "1");
  await world.run(44 * DAY_MS);
  assert.equal((await kindsOf(site))["placement"], 1);
  await world.run(3 * DAY_MS);
  assert.equal((await kindsOf(site))["placement"], undefined);
  assert.deepEqual(faultsOf(world.sites), []);
});

test("a site whose disk was emptied signs nothing until it has all back, and then what is new too", async () => {
  const world = await FederationWorld.of(3);
  const [site, ...others] = world.sites as [FederationSite, FederationSite, FederationSite];
  const first = await site.backUp("first", 30);
  await world.run(2 * HOUR_MS);
  assert.equal(safeCountOf(site), 1);
  world.crash(site);
  for (const other of others) world.crash(other);
  // The same machine with an empty disk, while nobody else runs.
  const emptied = await world.start(site.identity);
  const second = await emptied.backUp("second", 10);
  await world.run(HOUR_MS);
  assert.deepEqual(emptied.federation.blocking(), ["no other site was reached since the start"]);
  for (const other of others) await world.start(other.identity, other.store);
  await world.run(3 * HOUR_MS);
  assert.deepEqual(emptied.federation.blocking(), []);
  const kept = (await Array.fromAsync(emptied.store.kept(site.identity.siteId))).flat();
  assert.deepEqual(kept, [...first, ...second].toSorted());
  assert.equal((await emptied.store.getMany(first)).length, first.length);
  for (const { store } of others) {
    const omitted = await Array.fromAsync(store.facts("omitted", site.identity.siteId));
    assert.deepEqual(omitted, []);
    const held = (await Array.fromAsync(store.kept(site.identity.siteId))).flat();
    assert.deepEqual(held, kept);
  }
});

test("a site that has not all back says which others it waits for, until they come", async () => {
  const world = await FederationWorld.of(4);
  const [site, here, ...away] = world.sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  await site.backUp("first", 60);
  await world.run(2 * HOUR_MS);
  assert.equal(safeCountOf(site), 1);
  for (const each of [site, ...away]) world.crash(each);
  const emptied = await world.start(site.identity);
  await world.run(3 * HOUR_MS);
  const { profiles } = emptied.federation.parts;
  const names = away.map(({ identity }) => profiles.nameOf(identity.siteId));
  const [text = ""] = emptied.federation.blocking();
  for (const name of names) assert.ok(text.includes(name), text);
  assert.ok(!text.includes(profiles.nameOf(here.identity.siteId)), text);
  for (const other of away) await world.start(other.identity, other.store);
  await world.run(3 * HOUR_MS);
  assert.deepEqual(emptied.federation.blocking(), []);
});

test("a site signs nothing while what its snapshots reach that came back is not kept", async () => {
  const world = await FederationWorld.of(3);
  const [site] = world.sites as [FederationSite];
  await site.backUp("first", 10);
  await world.run(2 * HOUR_MS);
  site.regained.isAny = true;
  await site.backUp("second", 10);
  await world.run(DAY_MS);
  assert.equal(safeCountOf(site), 1);
  assert.match(site.federation.blocking().join(), /still being looked through/);
  site.regained.isAny = false;
  site.federation.parts.replication.soon();
  await world.run(HOUR_MS);
  assert.equal(safeCountOf(site), 2);
});

test("an owner is told who has read its backups by its recovery kit", async () => {
  const world = await FederationWorld.of(3);
  const [owner, helper] = world.sites as [FederationSite, FederationSite];
  await world.run(HOUR_MS);
  const helped = { owner: owner.identity.siteId, sinceMs: 1, untilMs: 2, primesCount: 3, bytes: 4 };
  const helpedAlarms = async (site: FederationSite) =>
    (await site.federation.alarms()).filter(({ code }) => code === "helped");
  await helper.federation.parts.entries.write({
    kind: "helped",
    ticket: Buffer.alloc(16, 1),
    readGeneration: 1,
    ...helped,
  });
  await world.run(HOUR_MS);
  assert.equal((await helpedAlarms(owner)).length, 1);
  assert.equal((await helpedAlarms(helper)).length, 0);
  await helper.federation.parts.entries.withdraw("helped", `${helped.owner}/${"01".repeat(16)}`);
  await world.run(HOUR_MS);
  assert.equal((await helpedAlarms(owner)).length, 0);
});

test("what people say was one of them is no alarm any more, and stays known over a restart", async () => {
  const world = await FederationWorld.of(3);
  const [owner, helper] = world.sites as [FederationSite, FederationSite];
  await world.run(HOUR_MS);
  for (const [first, second] of [
    [1, 1],
    [1, 2],
  ]) {
    const ticket = Buffer.concat([Buffer.alloc(8, first), Buffer.alloc(8, second)]);
    const said = { owner: owner.identity.siteId, sinceMs: second!, untilMs: 9, primesCount: 3, bytes: 4, ticket };
    await helper.federation.parts.entries.write({ kind: "helped", readGeneration: 1, ...said });
  }
  await world.run(HOUR_MS);
  const { helpedRestores } = owner.federation.parts;
  const known = () => helpedRestores.list().map(({ sinceMs, isKnown }) => [sinceMs, isKnown]);
  assert.deepEqual(known(), [
    [2, false],
    [1, false],
  ]);
  const [one, other] = ["01", "02"].map((end) => `${"01".repeat(8)}${end}`) as [string, string];
  await assert.rejects(helpedRestores.settle([other, "ffffffff"]), { code: "not-found" });
  await assert.rejects(helpedRestores.settle([other, "01010101"]), { code: "bad-usage" });
  assert.ok(known().every(([, isKnown]) => !isKnown));
  const [settled] = await helpedRestores.settle([other]);
  assert.deepEqual([settled!.sinceMs, settled!.isKnown, settled!.helper], [2, true, helper.identity.siteId]);
  world.crash(owner);
  const again = await world.start(owner.identity, owner.store);
  await world.run(HOUR_MS);
  assert.deepEqual(
    again.federation.parts.helpedRestores.list().map(({ isKnown }) => isKnown),
    [true, false],
  );
  const alarms = (await again.federation.alarms()).filter(({ code }) => code === "helped");
  assert.deepEqual(alarms.length, 1);
  assert.match(alarms[0]!.text, /--known 01010101;/);
  const both = await again.federation.parts.helpedRestores.settle([one.toUpperCase(), other]);
  assert.deepEqual(
    both.map(({ sinceMs, isKnown }) => [sinceMs, isKnown]),
    [
      [1, true],
      [2, true],
    ],
  );
  assert.ok((await again.federation.alarms()).every(({ code }) => code !== "helped"));
});

test.run();
