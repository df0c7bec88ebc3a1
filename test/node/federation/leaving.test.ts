/** Goal: who leaves takes nobody's second copy along. Method: whole sites in memory, in virtual time. */
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld, HOUR_MS } from "./federation-world.ts";

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

test.run();
