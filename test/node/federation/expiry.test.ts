/**
 * Goal: what no rule keeps any more leaves in its order, and nothing sooner: the owner's list, its disk, after the lock the holders' disks, and then
 * the ledger of everybody; what is wanted stays everywhere. Method: three whole sites in virtual time, of which one has retention, for a quarter.
 */
import assert from "node:assert/strict";
import { deletionDoubt } from "#node/federation/deletion-doubt.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { RetainedSite } from "#test/node/retention/retained-site.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { DAY_MS, FederationWorld } from "./federation-world.ts";

const test = suite("expiry in a federation", { timeoutMs: 600_000 });

async function retained() {
  const world = await FederationWorld.of(3);
  const [owner, ...holders] = world.sites as [FederationSite, FederationSite, FederationSite];
  const { federation, store, identity } = owner;
  const { own, siteStatements } = federation.parts;
  const clock = new ManualClock(world.time.clock.now());
  const site = await RetainedSite.open({
    ...{ store, clock, home: identity.siteId },
    doubt: (known) => deletionDoubt(federation, known),
    withdraw: (keys) => siteStatements.withdrawSnapshots(keys),
  });
  site.changes.onChange((change) => {
    if (change.kind === "collected") return own.collected();
    if (change.kind !== "snapshot") return;
    own.received(change.receivedMs);
    void federation.siteChanged(change.kind, change.key);
  });
  const days = async (count: number): Promise<void> => {
    for (let day = 0; day < count; day++) {
      await world.run(DAY_MS);
      clock.pass(DAY_MS);
      await site.retention.turn();
    }
  };
  const keptBy = async (one: FederationSite): Promise<PrimeId[]> =>
    (await Array.fromAsync(one.store.kept(identity.siteId))).flat().toSorted();
  const statedBy = (one: FederationSite): string[] =>
    one.federation.parts.ledger
      .statements(identity.siteId, "snapshot")
      .map(({ statement }) => statement.snapshot)
      .toSorted();
  return { owner, holders, site, days, keptBy, statedBy, all: [owner, ...holders] };
}

test("an expired snapshot leaves the owner, after the lock the holders, and then the ledger; the other one stays everywhere", async () => {
  const { owner, holders, site, days, keptBy, statedBy, all } = await retained();
  const agent = site.enrol();
  await site.retention.decide({}, { last: 1 });
  const first = await site.backUp(agent, ["always", "first"]);
  await days(1);
  const second = await site.backUp(agent, ["always", "second"]);
  await days(2);
  const before = await keptBy(owner);
  for (const holder of holders) assert.deepEqual(await keptBy(holder), before);
  for (const one of all) assert.deepEqual(statedBy(one), [first, second].toSorted());
  // Thirty days it is young, and seven are the grace.
  await days(45);
  const wanted = await keptBy(owner);
  assert.ok(wanted.length < before.length, "the owner has given it up");
  assert.equal(await site.snapshots.completed(agent, first), undefined);
  for (const holder of holders) assert.deepEqual(await keptBy(holder), before, "not before the lock is over");
  for (const one of all) assert.deepEqual(statedBy(one), [first, second].toSorted());
  await days(50);
  for (const one of all) {
    assert.deepEqual(await keptBy(one), wanted);
    assert.deepEqual(statedBy(one), [second]);
  }
  await site.verify();
  assert.deepEqual(await site.listed(agent), [second]);
  assert.ok(owner.federation.parts.copies.safeReceivedMs() > 0);
});

test.run();
