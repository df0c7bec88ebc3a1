/**
 * Goal: a new recovery key comes about only after the lock, counted by this site's own clock from when enough members had approved, and never after an objection.
 * Method: replicas whose clock a test turns, restarted between; then whole sites in virtual time.
 */
import assert from "node:assert/strict";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { KitRequests } from "#node/federation/kit-requests.ts";
import { kitAlarms } from "#node/federation/kit-alarms.ts";
import { signKitObjection } from "#protocol/kit-objection.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { majorityLink, parseMajorityLink } from "#protocol/recovery-chain.ts";
import { federationOf, rosterAfter, settle, withMember } from "#test/support/federation.ts";
import { LedgerAuthor, recoveryKeyOf } from "#test/support/ledger-author.ts";
import { approve, ask, linkOf, newKit } from "#test/support/lost-kit.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { type Replica, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, FederationWorld } from "./federation-world.ts";

const test = suite("kit requests over time", { timeoutMs: 240_000 });

type Three = [Replica, Replica, Replica];

/** What one site notes, by a clock that the test turns. */
async function watched(replica: Replica) {
  const store = createMemoryStore();
  const clock = { nowMs: 1_000, isSuspect: false };
  const heldClock = {
    get state() {
      return { ...clock };
    },
    note: () => ({ nowMs: clock.nowMs, fact: { kind: "clock", key: "held", value: encodeCbor({}) } }),
  };
  const { ledger, membership, siteId } = replica;
  const open = () => KitRequests.open({ store, ledger, membership, heldClock }, { self: siteId });
  return { clock, open, requests: await open() };
}

async function standing(): Promise<{ three: Three; link: ReturnType<typeof linkOf> }> {
  const three = (await federationOf(3)) as Three;
  const [lost, one, other] = three;
  const link = linkOf(lost);
  await ask(lost, link);
  for (const approver of [one, other]) await approve(approver, link);
  await settle(three);
  return { three, link };
}

test("it is wished by those who approve, and who asks, when the lock is over, and not a millisecond before", async () => {
  const { three, link } = await standing();
  for (const replica of three) {
    const { clock, requests } = await watched(replica);
    assert.equal(requests.list()[0]!.leftMs, undefined, "nothing is noted yet");
    await requests.look();
    clock.nowMs += LOCK_MS - 1;
    assert.equal(requests.list()[0]!.leftMs, 1);
    assert.deepEqual(requests.wishes(), []);
    clock.nowMs += 1;
    assert.deepEqual(
      requests.wishes().map((wish) => wish.action === "rekey" && wish.link.hash),
      [link.hash],
    );
    clock.isSuspect = true;
    assert.deepEqual(requests.wishes(), [], "who doubts its own clock waits");
  }
});

test("a roster that another one takes the place of is wished again at once", async () => {
  const { three, link } = await standing();
  const [lost, one, other] = three;
  const { clock, requests } = await watched(one);
  await requests.look();
  clock.nowMs += LOCK_MS;
  await one.membership.offer([signedRoster(rosterAfter(one, { rekey: link }), [one.author, other.author])]);
  await requests.look();
  assert.deepEqual(requests.wishes(), []);
  for (let at = 0; one.membership.agreedLinks(lost.siteId).length > 0; at++) {
    const members = withMember(other, new LedgerAuthor(`guest ${at}`));
    await one.membership.offer([
      signedRoster(rosterAfter(other, { members }), [one.author, other.author, lost.author]),
    ]);
  }
  await requests.look();
  assert.equal(requests.wishes().length, 1);
});

test("who has not approved signs nothing, though the others' lock is over", async () => {
  const four = (await federationOf(4)) as [...Three, Replica];
  const link = linkOf(four[0]);
  await ask(four[0], link);
  for (const approver of four.slice(1, 3)) await approve(approver, link);
  await settle(four);
  const { clock, requests } = await watched(four[3]);
  await requests.look();
  clock.nowMs += LOCK_MS;
  assert.equal(requests.list()[0]!.leftMs, 0);
  assert.deepEqual(requests.wishes(), []);
});

test("what was noted outlives a restart, and a request that does not stand meanwhile waits from the start again", async () => {
  const { three, link } = await standing();
  const { clock, open, requests } = await watched(three[2]);
  await requests.look();
  clock.nowMs += LOCK_MS;
  const again = await open();
  await again.look();
  assert.equal(again.wishes().length, 1);
  const [, one] = three;
  const said = one.ledger.statement(one.siteId, "kit-approval", link.siteId)!;
  await one.own.withdrawIdle({ also: [said], leastCount: 1 });
  await settle(three);
  assert.deepEqual(again.wishes(), []);
  await again.look();
  await approve(one, link);
  await settle(three);
  await again.look();
  assert.equal(again.list()[0]!.leftMs, LOCK_MS);
});

test("a request that is taken back and made again, as to be seen by nobody, waits from the start again", async () => {
  const { three, link } = await standing();
  const [lost] = three;
  const { clock, requests } = await watched(three[1]);
  await requests.look();
  const said = lost.ledger.statement(lost.siteId, "kit-request", "")!;
  await lost.own.withdrawIdle({ also: [said], leastCount: 1 });
  await settle(three);
  await requests.look();
  clock.nowMs += LOCK_MS;
  await ask(lost, link);
  await settle(three);
  await requests.look();
  assert.equal(requests.list()[0]!.leftMs, LOCK_MS);
});

test("an objection of the kit ends it for good, also when it is withdrawn, and another key may be asked for", async () => {
  const { three, link } = await standing();
  const [lost, one] = three;
  const { clock, open, requests } = await watched(three[2]);
  await requests.look();
  const objection = signKitObjection(link.hash, recoveryKeyOf("site 0").seed);
  const said = { site: lost.siteId, link: Buffer.from(link.hash, "hex") };
  await one.own.write({ kind: "kit-objection", ...said, ...signKitObjection(link.hash, newKit(1).seed) });
  await settle(three);
  await requests.look();
  assert.ok(!requests.list()[0]!.isObjected, "by the key that is asked for");
  await one.own.write({ kind: "kit-objection", ...said, ...objection });
  await settle(three);
  await requests.look();
  const told = one.ledger.statement(one.siteId, "kit-objection", `${lost.siteId}/${link.hash}`)!;
  await one.own.withdrawIdle({ also: [told], leastCount: 1 });
  await settle(three);
  clock.nowMs += 2 * LOCK_MS;
  for (const each of [requests, await open()]) {
    await each.look();
    assert.ok(each.list()[0]!.isObjected);
    assert.deepEqual(each.wishes(), []);
    assert.deepEqual(kitAlarms(each.list(), { nowMs: 0, nameOf: () => "Hill" }), []);
  }
  await ask(lost, linkOf(lost, 2));
  await settle(three);
  await requests.look();
  assert.ok(!requests.list()[0]!.isObjected);
});

test("people see who asks, how many approve, and from which day on it counts", async () => {
  const { three } = await standing();
  const { requests } = await watched(three[1]);
  const textOf = () => kitAlarms(requests.list(), { nowMs: 0, nameOf: () => "Hill" })[0]!.text;
  assert.match(textOf(), /^Hill says that its recovery kit is lost.*2 of the 2/);
  await requests.look();
  assert.match(textOf(), /counts from 1970-02-15 on/);
});

test("whole sites: after the lock all have the new key, and not on the day before", async () => {
  const world = await FederationWorld.of(3);
  await world.run(DAY_MS / 4);
  const [lost, one, other] = world.sites as [(typeof world.sites)[0], (typeof world.sites)[0], (typeof world.sites)[0]];
  const { siteId, log } = lost.identity;
  const link = parseMajorityLink(majorityLink({ siteId, number: 2, key: newKit(1).publicKey, logs: [log.id] }));
  await lost.federation.parts.entries.write({ kind: "kit-request", link: Buffer.from(link.bytes) });
  for (const { federation } of [one, other])
    await federation.parts.entries.write({ kind: "kit-approval", site: siteId, link: Buffer.from(link.hash, "hex") });
  await world.run(44 * DAY_MS);
  for (const { federation } of world.sites) {
    assert.equal(federation.parts.ledger.recoveryKeys.chainOf(siteId).length, 0);
    assert.ok((await federation.alarms()).some(({ code }) => code === "kit-asked-for"));
  }
  await world.run(2 * DAY_MS);
  for (const { federation } of world.sites) {
    assert.ok(federation.parts.ledger.recoveryKeys.isNewest(siteId, newKit(1).publicKey));
    assert.ok(!(await federation.alarms()).some(({ code }) => code === "kit-asked-for"));
  }
  assert.ok((await lost.federation.alarms()).some(({ code }) => code === "kit-agreed"));
});

test.run();
