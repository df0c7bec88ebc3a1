/** Goal: an invitation lets in one site, once, in time, here. Method: the real class on a store in memory and a clock by hand. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Invitations, type Newcomer } from "#node/federation/invitations.ts";
import { limits } from "#protocol/limits.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("invitations");
const rng = { bytes: (count: number) => randomBytes(count), fraction: () => 0.5 };
const newcomer = (name: string): Newcomer => ({
  site: parseSiteId(randomBytes(32).toString("hex")),
  name,
  certificate: randomBytes(100),
});

async function open() {
  const store = createMemoryStore();
  const clock = new ManualClock();
  const reopen = () => Invitations.open({ store, clock, rng });
  return { store, clock, reopen, invitations: await reopen() };
}

test("the first site that shows the secret is the one that is let in", async () => {
  const { invitations } = await open();
  const { secret } = await invitations.issue("School B");
  const first = newcomer("B");
  equal((await invitations.show(secret, first)).state, "bound");
  equal((await invitations.show(secret, first)).state, "bound");
  await rejects(invitations.show(secret, newcomer("Mallory")), { code: "invitation-invalid" });
  deepEqual(invitations.waiting(), [first]);
  await invitations.settle(first.site, "accepted");
  deepEqual(invitations.waiting(), []);
  equal((await invitations.show(secret, first)).state, "accepted");
  await rejects(invitations.settle(first.site, "refused"), { code: "member-unknown" });
});

test("after many wrong secrets within a minute only who has one that was given out is listened to", async () => {
  const { invitations, clock } = await open();
  const { secret } = await invitations.issue("School B");
  const guess = randomBytes(16);
  for (let at = 0; at < limits.strangersPerMinuteCount; at++) {
    equal(invitations.listens(guess), true);
    await rejects(invitations.show(guess, newcomer("Mallory")), { code: "invitation-invalid" });
  }
  deepEqual([invitations.listens(guess), invitations.listens(secret)], [false, true]);
  equal((await invitations.show(secret, newcomer("B"))).state, "bound");
  clock.pass(60_000);
  equal(invitations.listens(guess), true);
});

test("a secret that was never given out, or whose time is over, opens nothing", async () => {
  const { invitations, clock } = await open();
  const { secret, expiresMs } = await invitations.issue("School B", 60_000);
  await rejects(invitations.show(randomBytes(16), newcomer("B")), { code: "invitation-invalid" });
  equal(invitations.isAnyOpen, true);
  clock.pass(60_000);
  equal(clock.now(), expiresMs);
  equal(invitations.isAnyOpen, false);
  await rejects(invitations.show(secret, newcomer("B")), { code: "invitation-invalid" });
});

test("one that people refuse may knock for a while, and hears of it", async () => {
  const { invitations, clock } = await open();
  const { secret } = await invitations.issue("School B");
  const first = newcomer("B");
  await invitations.show(secret, first);
  await invitations.settle(first.site, "refused");
  clock.pass(limits.invitationRefusedMs - 1);
  equal(invitations.isAnyOpen, true);
  equal((await invitations.show(secret, first)).state, "refused");
  clock.pass(1);
  equal(invitations.isAnyOpen, false);
});

test("a clock that is set far back brings no old invitation to life", async () => {
  const { invitations, clock } = await open();
  const { secret } = await invitations.issue("School B");
  clock.jumpTo(Date.UTC(1970, 0, 2));
  await rejects(invitations.show(secret, newcomer("B")), { code: "invitation-invalid" });
});

test("what was bound, accepted or refused is so after a restart too", async () => {
  const { invitations, reopen } = await open();
  const [one, other] = [newcomer("B"), newcomer("C")];
  const first = await invitations.issue("School B");
  const second = await invitations.issue("School C");
  await invitations.show(first.secret, one);
  await invitations.show(second.secret, other);
  await invitations.settle(one.site, "refused");
  const again = await reopen();
  deepEqual(again.waiting(), [other]);
  equal((await again.show(first.secret, one)).state, "refused");
});

test("there are so many invitations at a time, for so long, and ended ones make room", async () => {
  const { invitations, clock, store } = await open();
  for (let count = 0; count < limits.invitationsCount; count++) await invitations.issue(`School ${count}`);
  await rejects(invitations.issue("one more"), { code: "too-many-requests" });
  await rejects(invitations.issue("too long", limits.invitationLongestLifeMs + 1), { code: "bad-usage" });
  clock.pass(limits.invitationLifeMs);
  await invitations.issue("School Z");
  const kept: string[] = [];
  for await (const { key } of store.facts("invitation")) kept.push(key);
  equal(kept.length, 1);
});

test("no fact holds a secret", async () => {
  const { invitations, store } = await open();
  const { secret } = await invitations.issue("School B");
  for (const { key, value } of store.appended)
    equal(Buffer.concat([Buffer.from(key), value!]).includes(secret) || key.includes(secret.toString("hex")), false);
});

test.run();
