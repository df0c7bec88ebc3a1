/**
 * Goal: a guest goes when its inviter's people or its own wish it, nobody loses a copy by it, and no guest is let in that would not count. Method: whole sites
 * in memory, in virtual time, told what people tell them.
 */
import assert from "node:assert/strict";
import { signEraseOrder } from "#protocol/erase-order.ts";
import { limits } from "#protocol/limits.ts";
import { makeIdentity } from "#test/simulation/sim-identity.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";
import { peopleOf } from "./people.ts";

const test = suite("guests", { timeoutMs: 120_000 });

const MINUTE_MS = HOUR_MS / 60;
const roleAt = ({ federation }: FederationSite, { identity }: FederationSite): string =>
  federation.parts.membership.roleOf(identity.siteId).role;
const safeOf = ({ federation }: FederationSite): number => federation.parts.copies.safeReceivedMs();
const keptAt = async (site: FederationSite, owner: FederationSite): Promise<number> =>
  (await Array.fromAsync(site.store.kept(owner.identity.siteId))).flat().length;

const letIn = ({ federation }: FederationSite, { identity }: Pick<FederationSite, "identity">): Promise<unknown> =>
  federation.parts.entries.write({
    kind: "guest",
    site: identity.siteId,
    name: "heath",
    certificate: Buffer.from(identity.log.bytes),
  });

/** Three members and a guest of the first; each holds for others. */
async function withGuest() {
  const world = await FederationWorld.of(3);
  const [inviter, other, third] = world.sites as [FederationSite, FederationSite, FederationSite];
  const members = [inviter, other, third];
  const guest = await world.start(makeIdentity("guest", 1));
  await world.run(MINUTE_MS);
  await letIn(inviter, guest);
  await world.run(5 * MINUTE_MS);
  for (const site of [...members, guest]) await site.backUp("first", 40);
  await world.run(6 * HOUR_MS);
  for (const site of [...members, guest]) {
    assert.equal(roleAt(site, guest), "guest");
    assert.equal(safeOf(site), 1);
  }
  assert.ok((await Promise.all(members.map((owner) => keptAt(guest, owner)))).some((count) => count > 0));
  return { world, members, inviter, other, guest };
}

async function assertOut(members: readonly FederationSite[], guest: FederationSite): Promise<void> {
  for (const site of [...members, guest]) assert.equal(roleAt(site, guest), "none");
  for (const { federation } of members) {
    assert.equal(federation.parts.membership.peerMayConnect(guest.identity.peerKey), false);
    assert.ok(!federation.parts.transport.connected().includes(guest.identity.peerKey));
  }
}

test("its inviter expels a guest at once: its copies are replaced, and what it has elsewhere is kept for the lock", async () => {
  const { world, members, inviter, guest } = await withGuest();
  const had = await Promise.all(members.map((site) => keptAt(site, guest)));
  const { siteId } = guest.identity;
  await peopleOf(inviter, world).wish("admit", siteId);
  const wished = await peopleOf(inviter, world).wish("remove", siteId);
  assert.deepEqual(wished, { site: siteId, isDone: true });
  assert.equal(inviter.federation.parts.wishes.of(siteId), undefined);
  assert.ok(
    peopleOf(inviter, world)
      .members()
      .every(({ site }) => site !== siteId),
  );
  await world.run(6 * HOUR_MS);
  await assertOut(members, guest);
  for (const site of members) assert.equal(safeOf(site), 1);
  await world.run(44 * DAY_MS);
  assert.deepEqual(await Promise.all(members.map((site) => keptAt(site, guest))), had);
  await world.run(3 * DAY_MS);
  assert.deepEqual(await Promise.all(members.map((site) => keptAt(site, guest))), [0, 0, 0]);
  assert.equal(await keptAt(guest, guest), 40);
});

test("a guest that was expelled by mistake is told so; members admit it, and its copies count again", async () => {
  const { world, members, inviter, other, guest } = await withGuest();
  const isTold = async () => (await guest.federation.alarms()).some(({ code }) => code === "taken-out");
  assert.equal(await isTold(), false);
  await peopleOf(inviter, world).wish("remove", guest.identity.siteId);
  await world.run(HOUR_MS);
  await assertOut(members, guest);
  assert.equal(await isTold(), true);
  const { signal } = new AbortController();
  const isOut = {
    code: "not-in-federation",
    message: /in the federation no more, or not yet, until its members admit it/,
  };
  await assert.rejects(peopleOf(guest, world).audit(signal), isOut);
  await assert.rejects(peopleOf(guest, world).leave("stay"), isOut);
  for (const site of [inviter, other])
    assert.equal((await peopleOf(site, world).wish("admit", guest.identity.siteId.slice(0, 16))).isDone, false);
  await world.run(6 * HOUR_MS);
  for (const site of [...members, guest]) assert.equal(roleAt(site, guest), "member");
  assert.equal(safeOf(guest), 1);
  assert.equal(await isTold(), false);
});

test("elsewhere a guest is not expelled, and people hear who can", async () => {
  const { world, members, inviter, other, guest } = await withGuest();
  const { siteId } = guest.identity;
  await assert.rejects(peopleOf(other, world).wish("remove", siteId), {
    code: "bad-usage",
    message: new RegExp(`guest of ${inviter.identity.siteId.slice(0, 8)}.*federation expel ${siteId.slice(0, 16)}\\)`),
  });
  assert.equal(other.federation.parts.wishes.of(siteId), undefined);
  await world.run(HOUR_MS);
  for (const site of [...members, guest]) assert.equal(roleAt(site, guest), "guest");
});

test("a guest of two inviters is out when both have expelled it", async () => {
  const { world, members, inviter, other, guest } = await withGuest();
  await letIn(other, guest);
  await world.run(HOUR_MS);
  await assert.rejects(peopleOf(inviter, world).wish("remove", guest.identity.siteId), { code: "bad-usage" });
  await world.run(HOUR_MS);
  assert.equal(roleAt(inviter, guest), "guest");
  assert.ok((await peopleOf(other, world).wish("remove", guest.identity.siteId)).isDone);
  await world.run(HOUR_MS);
  await assertOut(members, guest);
});

test("with as many guests as may be no newcomer is confirmed, and it waits until there is room", async () => {
  const world = await FederationWorld.of(1);
  const [inviter] = world.sites as [FederationSite];
  const identities = Array.from({ length: limits.guestsPerMemberCount + 1 }, (_, at) => makeIdentity(`guest ${at}`, 1));
  await world.run(HOUR_MS);
  const { invitations, membership } = inviter.federation.parts;
  const people = peopleOf(inviter, world);
  for (const [at, { siteId, log }] of identities.entries()) {
    const { secret } = await invitations.issue(`school ${at}`);
    await invitations.show(secret, { site: siteId, name: `school ${at}`, certificate: log.bytes });
  }
  const [first, ...others] = identities;
  for (const { siteId } of others) await people.confirm(siteId);
  const full = { code: "limit-exceeded", message: /8 guests.*admit.*expel/ };
  await assert.rejects(people.confirm(first!.siteId), full);
  assert.equal(membership.roleOf(first!.siteId).role, "none");
  assert.deepEqual(
    people.newcomers().map(({ site }) => site),
    [first!.siteId],
  );
  await people.wish("remove", others[0]!.siteId);
  await people.confirm(first!.siteId);
  assert.equal(membership.roleOf(first!.siteId).role, "guest");
  assert.equal(membership.sites().length, 1 + limits.guestsPerMemberCount);
});

test("who was a member is no guest: its confirmer hears that it has to be admitted, and then its invitation lets it in", async () => {
  const world = await FederationWorld.of(3);
  const [inviter, other, out] = world.sites as [FederationSite, FederationSite, FederationSite];
  const { siteId, log } = out.identity;
  await world.run(HOUR_MS);
  world.crash(out);
  for (const site of [inviter, other]) await peopleOf(site, world).wish("remove", siteId);
  await world.run(HOUR_MS);
  const { invitations } = inviter.federation.parts;
  const { secret } = await invitations.issue("heath");
  await invitations.show(secret, { site: siteId, name: "heath", certificate: log.bytes });
  const people = peopleOf(inviter, world);
  await assert.rejects(people.confirm(siteId), { code: "bad-usage", message: /federation admit/ });
  assert.equal(inviter.federation.parts.ledger.statement(inviter.identity.siteId, "guest", siteId), undefined);
  for (const site of [inviter, other]) await peopleOf(site, world).wish("admit", siteId);
  await world.run(HOUR_MS);
  assert.equal(roleAt(inviter, out), "member");
});

test("a guest that leaves is let out once others hold elsewhere what it has, and nobody is unsafe meanwhile", async () => {
  const { world, members, guest } = await withGuest();
  const people = peopleOf(guest, world);
  assert.ok((await people.leave("placed-elsewhere")).leaving!.neededBy.length > 0);
  for (let hour = 0; hour < 48 && roleAt(members[0]!, guest) === "guest"; hour++) {
    await world.run(HOUR_MS);
    for (const site of members) assert.equal(safeOf(site), 1, `after ${hour} hours`);
  }
  await assertOut(members, guest);
});

test("a guest that does not wait is let out at once, and stays when members admit it afterwards", async () => {
  const { world, members, guest } = await withGuest();
  await peopleOf(guest, world).leave("now");
  await world.run(10 * MINUTE_MS);
  await assertOut(members, guest);
  for (const site of members) await peopleOf(site, world).wish("admit", guest.identity.siteId);
  await world.run(2 * DAY_MS);
  for (const site of [...members, guest]) assert.equal(roleAt(site, guest), "member");
});

test("a guest that leaves while its inviter is away is let out when that is back, unless it stays after all", async () => {
  const { world, members, inviter, guest } = await withGuest();
  world.crash(inviter);
  const people = peopleOf(guest, world);
  await people.leave("now");
  await world.run(HOUR_MS);
  assert.equal(roleAt(members[1]!, guest), "guest");
  await people.leave("stay");
  const back = await world.start(inviter.identity, inviter.store);
  await world.run(2 * HOUR_MS);
  assert.equal(roleAt(back, guest), "guest");
  world.crash(back);
  await people.leave("now");
  const again = await world.start(inviter.identity, inviter.store);
  await world.run(3 * HOUR_MS);
  await assertOut([again, ...members.slice(1)], guest);
});

test("a guest that leaves with an order of its kit is let out only when all have erased what they had of it", async () => {
  const { world, members, guest } = await withGuest();
  const { siteId, log, recoverySeed } = guest.identity;
  await peopleOf(guest, world).leave(
    "placed-elsewhere",
    signEraseOrder({ id: "07".repeat(16), siteId, logId: log.id }, recoverySeed),
  );
  for (let hour = 0; hour < 48 && roleAt(members[0]!, guest) === "guest"; hour++) await world.run(HOUR_MS);
  await assertOut(members, guest);
  for (const site of members) assert.equal(await keptAt(site, guest), 0);
  const receipts = await guest.federation.parts.erasures.list();
  assert.equal(
    receipts.reduce((sum, { count }) => sum + count, 0),
    80,
  );
});

test.run();
