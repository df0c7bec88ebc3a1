/** Goal: what is damaged or not here yet is read all the same when somebody has it, and an agent reads nothing that is another's but while it is not known whose what is. */
import assert from "node:assert/strict";
import { SitePrimes } from "#node/site/site-primes.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { sampleAgent, samplePrimes, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("site primes");
const [agent, other] = [sampleAgent(1), sampleAgent(2)];
const [home, elsewhere] = [sampleSite(1), sampleSite(2)];
const [mine, theirs, away, foreign] = samplePrimes(5, 4, 100);

async function make(isReturning: boolean) {
  const store = createMemoryStore();
  const asked: PrimeId[][] = [];
  const primes = new SitePrimes({ store, isReturning: () => isReturning }, { siteId: home });
  await store.put(agent, [mine!]);
  await store.keep(home, [mine!.id]);
  await store.put(other, [theirs!]);
  await store.keep(home, [theirs!.id]);
  await store.putFor(elsewhere, wireBatch([foreign!]));
  const fetch = async (ids: readonly PrimeId[]): Promise<void> => {
    asked.push([...ids]);
    if (ids.includes(away!.id)) await store.putFor(home, wireBatch([away!]));
  };
  return { store, primes, asked, fetch };
}

test("what is here is read here; what is not is fetched once somebody can be asked, and missing when nobody has it", async () => {
  const { primes, asked, fetch } = await make(false);
  assert.ok((await primes.get(mine!.id)).equals(mine!.stored));
  const isMissing = (error: unknown): boolean => isCostorError(error, "prime-missing");
  await assert.rejects(primes.get(away!.id), isMissing);
  primes.fetchBy(fetch);
  assert.ok((await primes.get(away!.id)).equals(away!.stored));
  await assert.rejects(primes.get(samplePrimes(9, 1, 10)[0]!.id), isMissing);
  assert.equal(asked.length, 2);
});

test("a prime that is damaged here is fetched, and other failures are not covered up", async () => {
  const { store, primes, asked, fetch } = await make(false);
  primes.fetchBy(fetch);
  const { get } = store;
  const fails = (code: "prime-corrupt" | "store-failed") => () =>
    Promise.reject(new CostorError(code, "as the test wants it"));
  store.get = fails("store-failed");
  await assert.rejects(primes.get(mine!.id), (error) => isCostorError(error, "store-failed"));
  assert.deepEqual(asked, []);
  let isFirst = true;
  store.get = (id) => (isFirst ? ((isFirst = false), fails("prime-corrupt")()) : get(id));
  assert.ok((await primes.get(mine!.id)).equals(mine!.stored));
  assert.deepEqual(asked, [[mine!.id]]);
});

test("an agent reads what it has sent; while snapshots come back all of the site's own, and never another site's", async () => {
  const ids = [mine!.id, theirs!.id, away!.id, foreign!.id];
  const usual = await make(false);
  usual.primes.fetchBy(usual.fetch);
  assert.deepEqual(await usual.primes.areReadable(agent, ids), [true, false, false, false]);
  assert.deepEqual(usual.asked, []);
  const returning = await make(true);
  assert.deepEqual(await returning.primes.areReadable(agent, ids), [true, true, false, false]);
  returning.primes.fetchBy(returning.fetch);
  assert.deepEqual(await returning.primes.areReadable(agent, ids), [true, true, true, false]);
});

test("what an agent has sent and is lost here is its own all the same, and no other agent's; what is let go is nobody's", async () => {
  const { store, primes, asked, fetch } = await make(false);
  primes.fetchBy(fetch);
  await store.claim(agent, [away!.id, foreign!.id]);
  await store.keep(home, [away!.id]);
  const gone = samplePrimes(9, 1, 10)[0]!.id;
  await store.claim(agent, [gone]);
  assert.deepEqual(await primes.areReadable(agent, [mine!.id, away!.id, gone]), [true, true, false]);
  assert.deepEqual(await primes.areReadable(other, [theirs!.id, away!.id]), [true, false]);
  assert.deepEqual(asked, []);
  assert.ok((await primes.get(away!.id)).equals(away!.stored));
});

test("an agent that asks when the last snapshot comes back is not told that its own is not there", async () => {
  let isReturning = true;
  const store = createMemoryStore();
  const primes = new SitePrimes({ store, isReturning: () => isReturning }, { siteId: home });
  await store.keep(home, [away!.id]);
  const { hasSent } = store;
  store.hasSent = async (sender, ids) => {
    const sent = await hasSent(sender, ids);
    isReturning = false;
    return sent;
  };
  assert.deepEqual(await primes.areReadable(agent, [away!.id]), [true]);
});

test.run();
