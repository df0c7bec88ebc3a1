/**
 * Goal: who leaves takes nobody's second copy along, loses nothing of its own, and gets signed that its copies are erased when its kit orders it, and not by
 * anything less. Method: whole sites in memory, in virtual time; thieves with the running site's keys.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { openLog, parseEntry, verifyEntry } from "#ledger/entry.ts";
import { encodeRoster, encodeRosterBody, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { type RosterChange, applyChange } from "#ledger/roster-chain.ts";
import { signEraseOrder } from "#protocol/erase-order.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { makeIdentity } from "#test/simulation/sim-identity.ts";
import { suite } from "#test/support/suite.ts";
import { type FederationSite, nextMachineOf } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";
import { peopleOf } from "./people.ts";

const test = suite("leaving", { timeoutMs: 120_000 });

const safeOf = ({ federation }: FederationSite): number => federation.parts.copies.safeReceivedMs();
const roleAt = ({ federation }: FederationSite, { identity }: FederationSite): string =>
  federation.parts.membership.roleOf(identity.siteId).role;

test("what a leaving site holds is placed elsewhere before it goes, and nobody is unsafe meanwhile", async () => {
  const world = await FederationWorld.of(4);
  const [leaver, ...others] = world.sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  for (const site of world.sites) await site.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  for (const site of world.sites) assert.equal(safeOf(site), 1);
  await leaver.federation.leaving.begin();
  assert.ok(leaver.federation.leaving.status()!.neededBy.length > 0);
  for (let hour = 0; hour < 48 && roleAt(others[0], leaver) === "member"; hour++) {
    await world.run(HOUR_MS);
    for (const site of others) assert.equal(safeOf(site), 1, `after ${hour} hours`);
  }
  assert.equal(roleAt(others[0], leaver), "expelled");
  await world.run(DAY_MS);
  for (const site of others) {
    assert.equal(safeOf(site), 1);
    const { copies } = site.federation.parts;
    const holders = copies.slices().flatMap((slice) => slice.copies.map(({ holder }) => holder));
    assert.ok(!holders.includes(leaver.identity.siteId));
    // What it left is kept for the lock.
    const kept = (await Array.fromAsync(site.store.kept(leaver.identity.siteId))).flat();
    const has = leaver.federation.parts.copies
      .slices()
      .some((slice) => slice.copies.some((copy) => copy.holder === site.identity.siteId));
    assert.ok(!has || kept.length > 0);
  }
  assert.equal((await Array.fromAsync(leaver.store.kept(leaver.identity.siteId))).flat().length, 40);
});

test("with nobody else to take it over a site stays, says for whom, and changes its mind", async () => {
  const world = await FederationWorld.of(3);
  const [leaver, other] = world.sites as [FederationSite, FederationSite];
  for (const site of world.sites) await site.backUp("first", 20);
  await world.run(6 * HOUR_MS);
  await leaver.federation.leaving.begin();
  await world.run(2 * DAY_MS);
  assert.equal(leaver.federation.leaving.status()!.neededBy.length, 2);
  assert.equal(roleAt(other, leaver), "member");
  assert.equal(safeOf(other), 1);
  await leaver.federation.leaving.cancel();
  assert.equal(leaver.federation.leaving.status(), undefined);
  await other.backUp("second", 20);
  await world.run(6 * HOUR_MS);
  assert.equal(safeOf(other), 2);
});

test("a site that stays after all takes back what it has signed, and is not taken out later", async () => {
  const world = await FederationWorld.of(3);
  const [leaver, other, third] = world.sites as [FederationSite, FederationSite, FederationSite];
  await world.run(HOUR_MS);
  for (const site of [other, third]) world.crash(site);
  await peopleOf(leaver, world).leave("now");
  await world.run(HOUR_MS);
  assert.equal(
    peopleOf(leaver, world)
      .members()
      .find(({ isThisSite }) => isThisSite)!.wish,
    "remove",
  );
  await peopleOf(leaver, world).leave("stay");
  assert.equal(
    peopleOf(leaver, world)
      .members()
      .find(({ isThisSite }) => isThisSite)!.wish,
    undefined,
  );
  await world.run(HOUR_MS);
  for (const site of [other, third]) await world.start(site.identity, site.store);
  await world.run(6 * HOUR_MS);
  assert.equal(roleAt(leaver, leaver), "member");
});

test("a site that has left and is admitted again stays, whether it runs meanwhile or hears of all at once", async () => {
  for (const runs of [true, false]) {
    const world = await FederationWorld.of(4);
    const [leaver, ...others] = world.sites as [FederationSite, FederationSite, FederationSite, FederationSite];
    for (const site of world.sites) await site.backUp("first", 10);
    await world.run(6 * HOUR_MS);
    await peopleOf(leaver, world).leave("placed-elsewhere");
    const { wishes } = leaver.federation.parts;
    for (let minute = 0; minute < 48 * 60 && wishes.of(leaver.identity.siteId) === undefined; minute++)
      await world.run(HOUR_MS / 60);
    if (!runs) world.crash(leaver);
    await world.run(HOUR_MS);
    for (const site of others) assert.equal(roleAt(site, leaver), "expelled");
    for (const site of others) await peopleOf(site, world).wish("admit", leaver.identity.siteId);
    await world.run(HOUR_MS);
    const back = runs ? leaver : await world.start(leaver.identity, leaver.store);
    await world.run(DAY_MS);
    for (const site of [back, ...others]) assert.equal(roleAt(site, leaver), "member");
    assert.equal(back.federation.leaving.status(), undefined);
    if (!runs) continue;
    await peopleOf(back, world).leave("placed-elsewhere");
    assert.ok(back.federation.leaving.status() !== undefined, "and may leave again");
    await untilGone(world, others[0], back);
  }
});

test("a site whose people have admitted it though it is in leaves all the same", async () => {
  const world = await FederationWorld.of(4);
  const [leaver, other] = world.sites as [FederationSite, FederationSite];
  await world.run(HOUR_MS);
  await peopleOf(leaver, world).wish("admit", leaver.identity.siteId);
  await world.run(HOUR_MS);
  await peopleOf(leaver, world).leave("placed-elsewhere");
  await untilGone(world, other, leaver);
});

const signed = (body: Uint8Array, sites: readonly FederationSite[]): Buffer =>
  encodeRoster(
    body,
    sites
      .map(({ identity }) => identity)
      .toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1))
      .map(({ log, peerSeed }) => ({ certificate: log.bytes, signature: signRosterBody(body, peerSeed) })),
  );

test("a site goes on leaving where the roster by which it was out gives way to another one", async () => {
  const world = await FederationWorld.of(4);
  const [leaver, ...others] = world.sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  for (const site of world.sites) await site.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  await peopleOf(leaver, world).leave("placed-elsewhere");
  await world.run(HOUR_MS / 60);
  const { siteId } = leaver.identity;
  const { membership } = leaver.federation.parts;
  const bodyOf = (change: RosterChange): Buffer => encodeRosterBody(applyChange(membership.roster!, change)!);
  const removal = bodyOf({ action: "remove", siteId, heads: leaver.federation.rosterUpkeep.headsOf(siteId) });
  const preferred = Array.from({ length: 100 }, (_, at) => makeIdentity(`newcomer ${at}`, 1).siteId)
    .map((newcomer) => bodyOf({ action: "admit", siteId: newcomer, inviter: null }))
    .find((body) => parseRosterBody(body).hash < parseRosterBody(removal).hash)!;
  for (const [body, role] of [
    [removal, "expelled"],
    [preferred, "member"],
  ] as const) {
    await membership.offer([signed(body, others)]);
    await world.run(HOUR_MS / 60);
    assert.equal(roleAt(leaver, leaver), role);
  }
  assert.ok(leaver.federation.leaving.status() !== undefined);
  await untilGone(world, others[0], leaver);
});

const orderBy = ({ identity }: FederationSite, seed: Uint8Array = identity.recoverySeed): Buffer =>
  signEraseOrder({ id: "07".repeat(16), siteId: identity.siteId, logId: identity.log.id }, seed);
const keptAt = async (site: FederationSite, owner: FederationSite): Promise<string[]> =>
  (await Array.fromAsync(site.store.kept(owner.identity.siteId))).flat();

async function backedUp(count: number): Promise<{ world: FederationWorld; sites: readonly FederationSite[] }> {
  const world = await FederationWorld.of(count);
  for (const site of world.sites) await site.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  for (const site of world.sites) assert.equal(safeOf(site), 1);
  return { world, sites: world.sites };
}

async function untilGone(world: FederationWorld, other: FederationSite, leaver: FederationSite): Promise<void> {
  for (let hour = 0; hour < 48 && roleAt(other, leaver) === "member"; hour++) await world.run(HOUR_MS);
  assert.equal(roleAt(other, leaver), "expelled");
}

test("with an order of its kit a leaving site gets signed by each holder what it has erased, and loses no snapshot", async () => {
  const { world, sites } = await backedUp(4);
  const [leaver, ...others] = sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  const had = await Promise.all(others.map((site) => keptAt(site, leaver)));
  assert.ok(had.flat().length >= 80);
  await leaver.federation.leaving.begin(orderBy(leaver));
  await untilGone(world, others[0], leaver);
  const receipts = await leaver.federation.parts.erasures.list();
  for (const [at, site] of others.entries()) {
    assert.deepEqual(await keptAt(site, leaver), []);
    assert.equal(safeOf(site), 1, "nobody is unsafe by it");
    const receipt = receipts.find(({ holder }) => holder === site.identity.siteId);
    assert.equal(receipt?.count ?? 0, had[at]!.length);
    if (receipt === undefined) continue;
    const hash = createHash("sha256");
    for (const id of had[at]!.toSorted()) hash.update(id, "hex");
    assert.equal(receipt.hash, hash.digest("hex"));
    verifyEntry(parseEntry(receipt.entry), openLog(receipt.certificate));
    assert.equal(openLog(receipt.certificate).certificate.siteId, receipt.holder);
  }
  assert.equal((await keptAt(leaver, leaver)).length, 40);
  for (const id of await keptAt(leaver, leaver)) assert.ok((await leaver.store.get(id as PrimeId)).length > 0);
  assert.deepEqual(leaver.federation.parts.erasures.waitingFor(), []);
});

test("a site that leaves at once is out though others need it, and what it has ordered to be erased is", async () => {
  const { world, sites } = await backedUp(3);
  const [leaver, ...others] = sites as [FederationSite, FederationSite, FederationSite];
  const people = peopleOf(leaver, world);
  await people.leave("placed-elsewhere", orderBy(leaver));
  await world.run(2 * HOUR_MS);
  assert.equal(roleAt(others[0], leaver), "member", "others need it");
  await assert.rejects(people.wish("remove", leaver.identity.siteId), {
    code: "bad-usage",
    message: /federation leave/,
  });
  await people.leave("now");
  await world.run(6 * HOUR_MS);
  for (const site of others) {
    assert.equal(roleAt(site, leaver), "expelled");
    assert.deepEqual(await keptAt(site, leaver), []);
  }
  assert.equal((await keptAt(leaver, leaver)).length, 40);
  assert.ok((await leaver.federation.alarms()).some(({ code }) => code === "taken-out"));
  await assert.rejects(people.wish("admit", leaver.identity.siteId), { message: /in the federation no more/ });
});

test("a site that is out is told so, and how it comes back, whatever it is asked to tell others", async () => {
  const { world, sites } = await backedUp(3);
  const [out, ...others] = sites as [FederationSite, FederationSite, FederationSite];
  const people = peopleOf(out, world);
  await people.leave("placed-elsewhere");
  for (const site of others) await peopleOf(site, world).wish("remove", out.identity.siteId);
  await world.run(6 * HOUR_MS);
  assert.equal(roleAt(out, out), "expelled");
  const { signal } = new AbortController();
  const isOut = { code: "not-in-federation", message: /in the federation no more, until its members admit it again/ };
  await assert.rejects(people.leave("stay"), isOut);
  await assert.rejects(people.leave("placed-elsewhere"), isOut);
  await assert.rejects(people.audit(signal), isOut);
  await assert.rejects(people.checkpoint({ signal, wait: false, onProgress: () => {} }), isOut);
  await assert.rejects(people.invite("another"), isOut);
  assert.throws(() => people.send(), isOut);
  await assert.rejects(people.create("another"), { code: "federation-exists", message: /until its members admit it/ });
  await assert.rejects(out.federation.parts.entries.withdraw("leaving", ""), {
    code: "ledger-refused",
    message: /in the federation no more.*its members can take it back in: costor federation admit$/,
  });
});

test("nothing is erased while others need the site, nor by an order of anything but its kit for this machine", async () => {
  const { world, sites } = await backedUp(3);
  const [leaver, other, third] = sites as [FederationSite, FederationSite, FederationSite];
  const { identity, federation } = leaver;
  const wrong = [
    orderBy(leaver, identity.peerSeed),
    orderBy(leaver, other.identity.recoverySeed),
    orderBy(other),
    signEraseOrder(
      { id: "07".repeat(16), siteId: identity.siteId, logId: other.identity.log.id },
      identity.recoverySeed,
    ),
  ];
  for (const order of wrong) {
    await assert.rejects(federation.leaving.begin(order), { code: "kit-of-another-site" });
    // A thief of the running site needs no program of ours.
    await federation.parts.entries.write({ kind: "erase", order });
    await world.run(2 * HOUR_MS);
    for (const site of [other, third]) assert.equal((await keptAt(site, leaver)).length, 40);
  }
  await federation.parts.entries.withdraw("erase", "");
  await leaver.backUp("second", 20);
  await world.run(6 * HOUR_MS);
  assert.equal(safeOf(leaver), 2, "wrong orders stop nothing here either");
  await federation.leaving.begin(orderBy(leaver));
  await world.run(DAY_MS);
  assert.equal(federation.leaving.status()!.neededBy.length, 2, "there is nobody else to hold it");
  assert.equal(federation.leaving.status()!.heldBy, undefined);
  for (const site of [other, third]) assert.equal((await keptAt(site, leaver)).length, 60);
});

test("another member cannot order it, and an order ends with its machine", async () => {
  const { world, sites } = await backedUp(3);
  const [leaver, other, third] = sites as [FederationSite, FederationSite, FederationSite];
  await other.federation.parts.entries.write({ kind: "erase", order: orderBy(leaver) });
  await world.run(2 * HOUR_MS);
  assert.equal((await keptAt(third, leaver)).length, 40);
  assert.equal((await keptAt(third, other)).length, 40);
  await other.federation.parts.entries.withdraw("erase", "");
  world.crash(other);
  world.crash(third);
  await leaver.federation.parts.entries.write({ kind: "erase", order: orderBy(leaver) });
  const next = await world.start(nextMachineOf(0));
  world.crash(leaver);
  const again = await world.start(third.identity, third.store);
  await world.run(DAY_MS);
  assert.equal((await keptAt(again, leaver)).length, 40, "the owner was recovered since");
  assert.ok(next.federation.parts.membership.roster !== undefined);
});

test("it waits for a holder that is away, who erases when it is back, and changes its mind meanwhile if it wants", async () => {
  const { world, sites } = await backedUp(4);
  const [leaver, one, ...rest] = sites as [FederationSite, FederationSite, FederationSite, FederationSite];
  world.crash(one);
  // What it holds for the one that is away stays needed: nobody else can be told.
  await leaver.federation.parts.entries.write({ kind: "erase", order: orderBy(leaver) });
  await world.run(4 * HOUR_MS);
  assert.deepEqual(leaver.federation.parts.erasures.waitingFor(), [one.identity.siteId]);
  for (const site of rest) assert.deepEqual(await keptAt(site, leaver), []);
  const back = await world.start(one.identity, one.store);
  await world.run(4 * HOUR_MS);
  assert.deepEqual(await keptAt(back, leaver), []);
  assert.deepEqual(leaver.federation.parts.erasures.waitingFor(), []);
  assert.deepEqual(await leaver.federation.leaving.cancel(), { hadOrder: true });
  assert.deepEqual(await leaver.federation.leaving.cancel(), { hadOrder: false });
  await world.run(12 * HOUR_MS);
  assert.equal(safeOf(leaver), 1, "its copies are made anew");
  assert.equal(roleAt(back, leaver), "member");
});

test.run();
