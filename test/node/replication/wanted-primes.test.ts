/** Goal: what somebody wants to read waits while other sites are still being found, and later nobody waits for what nobody has. Method: holders that are reached late, in virtual time. */
import assert from "node:assert/strict";
import { CostorError, isCostorError } from "#protocol/errors.ts";
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

test("what the first holder does not have is waited for while others still come", async () => {
  const { world, site, others, ids } = await lostAtOne();
  const lost = ids.slice(0, 3);
  const [first, late] = others as [FederationSite, FederationSite];
  for (const one of [site, first]) await one.store.remove(lost);
  const again = await world.start(site.identity, site.store);
  let isDone = false;
  const fetching = again.federation.parts.replication.wanted.fetch(lost).then(() => (isDone = true));
  await world.run(50_000);
  await world.start(first.identity, first.store);
  await world.run(50_000);
  assert.equal(isDone, false);
  await world.start(late.identity, late.store);
  await world.run(20_000);
  await fetching;
  assert.deepEqual(await again.store.has(lost), [true, true, true]);
});

test("a site that is alone waits for nobody", async () => {
  const world = await FederationWorld.of(1);
  const [site] = world.sites as [FederationSite];
  const lost = (await site.backUp("first", 20)).slice(0, 1);
  await world.run(HOUR_MS);
  world.crash(site);
  await site.store.remove(lost);
  const again = await world.start(site.identity, site.store);
  let isDone = false;
  void again.federation.parts.replication.wanted.fetch(lost).then(() => (isDone = true));
  await world.run(1000);
  assert.equal(isDone, true);
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

test("what could not be kept when it came is asked for again as soon as it can", async () => {
  const { world, site, others, ids } = await lostAtOne();
  for (const other of others) await world.start(other.identity, other.store);
  const again = await world.start(site.identity, site.store);
  await world.run(HOUR_MS);
  const lost = ids.slice(0, 1);
  await again.store.remove(lost);
  const { putFor } = again.store;
  again.store.putFor = () => Promise.reject(new CostorError("store-full", "as the test wants it"));
  const { wanted } = again.federation.parts.replication;
  const isRefused = assert.rejects(wanted.fetch(lost), (error) => isCostorError(error, "store-full"));
  await world.run(1000);
  await isRefused;
  again.store.putFor = putFor;
  const fetching = wanted.fetch(lost);
  await world.run(1000);
  await fetching;
  assert.deepEqual(await again.store.has(lost), [true]);
});

test("what nobody had is there for whoever wants it, and comes back by itself, as soon as a holder comes, however late", async () => {
  const { world, site, others, ids } = await lostAtOne();
  const [wanted, ...rest] = ids.slice(0, 3);
  // The holder that is there from the start has lost the same.
  const [first, late] = others as [FederationSite, FederationSite];
  for (const one of [site, first]) await one.store.remove([wanted!, ...rest]);
  await world.start(first.identity, first.store);
  const again = await world.start(site.identity, site.store);
  // Long after the start, and some time before its next turn of healing.
  await world.run(HOUR_MS + 100_000);
  const fetch = () => again.federation.parts.replication.wanted.fetch([wanted!]);
  await fetch();
  assert.deepEqual(await again.store.has([wanted!]), [false]);
  await world.start(late.identity, late.store);
  await world.run(5_000);
  await fetch();
  assert.deepEqual(await again.store.has([wanted!]), [true]);
  await world.run(60_000);
  assert.deepEqual(await again.store.has(rest), [true, true]);
});

test.run();
