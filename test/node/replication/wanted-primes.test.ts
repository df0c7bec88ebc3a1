/** Goal: what somebody wants to read right after a start waits until other sites are found, and later nobody waits for what nobody has. Method: a holder that is reached late, in virtual time. */
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "../federation/federation-site.ts";
import { FederationWorld, HOUR_MS } from "../federation/federation-world.ts";

const test = suite("wanted primes", { timeoutMs: 120_000 });

async function lostAtOne() {
  const world = await FederationWorld.of(3);
  const [site, ...others] = world.sites as [FederationSite, FederationSite, FederationSite];
  const ids = await site.backUp("first", 20);
  await world.run(6 * HOUR_MS);
  for (const one of world.sites) world.crash(one);
  return { world, site, others, ids };
}

test("what is lost and wanted at once comes when the first holder is found", async () => {
  const { world, site, others, ids } = await lostAtOne();
  const lost = ids.slice(0, 3);
  await site.store.remove(lost);
  const again = await world.start(site.identity, site.store);
  let isDone = false;
  const fetching = again.federation.parts.replication.wanted.fetch(lost).then(() => (isDone = true));
  await world.run(10_000);
  assert.equal(isDone, false);
  for (const other of others) await world.start(other.identity, other.store);
  await world.run(40_000);
  await fetching;
  assert.equal((await again.store.getMany(lost)).length, 3);
});

test("an hour after the start nobody waits for what nobody has", async () => {
  const { world, site, ids } = await lostAtOne();
  const again = await world.start(site.identity, site.store);
  await world.run(HOUR_MS);
  await site.store.remove(ids.slice(0, 1));
  let isDone = false;
  void again.federation.parts.replication.wanted.fetch(ids.slice(0, 1)).then(() => (isDone = true));
  await world.run(1000);
  assert.equal(isDone, true);
});

test.run();
