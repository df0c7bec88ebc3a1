/**
 * Goal: a machine writes as its site only when it has asked those that may know what it has forgotten. Method: sites on a network in
 * memory, one of which begins again.
 */
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import { FederationWorld } from "./federation-world.ts";

const test = suite("ledger sync");

async function restarted(cutsCount: number) {
  const world = await FederationWorld.of(4);
  await world.run(60_000);
  const [first, ...others] = world.sites;
  world.crash(first!);
  const [self, ...peers] = world.members;
  for (const peer of peers.slice(0, cutsCount))
    for (const [from, to] of [
      [self!, peer],
      [peer, self!],
    ] as const)
      world.network.cut(from.peerKey, to.peerKey);
  const again = await world.start(self!, first!.store);
  return { world, others, ownLog: again.federation.parts.ownLog };
}

test("who has asked all others may write at once", async () => {
  const { world, ownLog } = await restarted(0);
  assert.ok(!ownLog.isReady);
  await world.run(1000);
  assert.ok(ownLog.isReady);
});

test("who reaches some of the others gives the rest ten seconds", async () => {
  const { world, ownLog } = await restarted(2);
  await world.run(9_000);
  assert.ok(!ownLog.isReady);
  await world.run(10_000);
  assert.ok(ownLog.isReady);
});

test("who reaches nobody does not write, however long", async () => {
  const { world, ownLog } = await restarted(3);
  await world.run(3 * 3_600_000);
  assert.ok(!ownLog.isReady);
});

test.run();
