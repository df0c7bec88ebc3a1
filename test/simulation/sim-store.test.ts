/**
 * Goal: the simulated store keeps the contract of the real one, and a crash leaves what the contract allows, no less and no more.
 * Method: the conformance suite; crashes at each place of the queue; each fault of the disk alone.
 */
import assert from "node:assert/strict";
import { testCollectedPrimes } from "#test/conformance/collected-primes.ts";
import { testKeptPrimes } from "#test/conformance/kept-primes.ts";
import { type OpenStore, hasCode, testPrimeStore } from "#test/conformance/prime-store.ts";
import { idsOf, sampleAgent, samplePrime, samplePrimes } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { SeededRng } from "./seeded-rng.ts";
import { SimDisk } from "./sim-disk.ts";
import { SimStore } from "./sim-store.ts";
import { VirtualTime } from "./virtual-time.ts";

const test = suite("simulated store");
const agent = sampleAgent(1);
const makeDisk = (init: ConstructorParameters<typeof SimDisk>[1] = {}): SimDisk =>
  new SimDisk({ rng: new SeededRng("disk") }, init);

const disks = new Map<string, SimDisk>();
const open: OpenStore = async (directory) => {
  const disk = disks.get(directory) ?? makeDisk();
  disks.set(directory, disk);
  return new SimStore({ disk });
};
testPrimeStore(test, open);
testKeptPrimes(test, open);
testCollectedPrimes(test, open);

test("after a crash all that was answered is there, and of the rest a first part", async () => {
  const found = new Set<number>();
  for (let place = 0; place <= 20; place++) {
    const time = new VirtualTime();
    const disk = makeDisk({ writeMs: 10 });
    const store = new SimStore({ disk, clock: time.clock });
    const [kept, late] = [samplePrimes(1, 5, 40), samplePrimes(2, 10, 40)];
    let answersCount = 0;
    void store.put(agent, kept).then(() => answersCount++);
    await time.run(15);
    void store.put(agent, late.slice(0, 5)).then(() => answersCount++);
    void store.put(agent, late.slice(5)).then(() => answersCount++);
    await time.run(16);
    store.crash(place / 20);
    await time.run(1000);
    assert.equal(answersCount, 1);
    const again = new SimStore({ disk });
    assert.deepEqual(
      await again.hasSent(agent, idsOf(kept)),
      kept.map(() => true),
    );
    const lateFound = (await again.hasSent(agent, idsOf(late))).map(String).join("");
    assert.match(lateFound, /^(true)*(false)*$/);
    found.add(lateFound.split("true").length - 1);
  }
  assert.equal(found.size, 11);
});

test("a full disk refuses primes and leaves nothing of them, and takes what the site must write", async () => {
  const disk = makeDisk({ capacityBytes: 10_000 });
  const store = new SimStore({ disk });
  await store.put(agent, [samplePrime(1, 4000)]);
  await assert.rejects(store.put(agent, samplePrimes(2, 2, 2000)), hasCode("store-full"));
  assert.equal((await store.stats()).primesCount, 1);
  const fact = { kind: "a", key: "k", value: Buffer.alloc(3000) };
  await assert.rejects(store.appendFacts([fact], "agent"), hasCode("store-full"));
  await store.appendFacts([fact]);
});

test("a rotten prime is corrupt when it is read, then lost, and heals when it is put again", async () => {
  const disk = makeDisk();
  const store = new SimStore({ disk });
  const prime = samplePrime(1, 40);
  const { generation } = store;
  await store.put(agent, [prime]);
  disk.rotten.add(prime.id);
  assert.deepEqual(await store.hasSent(agent, [prime.id]), [true]);
  await assert.rejects(store.get(prime.id), hasCode("prime-corrupt"));
  assert.deepEqual(await store.hasSent(agent, [prime.id]), [false]);
  assert.notEqual(store.generation, generation);
  await store.put(agent, [prime]);
  assert.ok((await store.get(prime.id)).equals(prime.stored));
});

test("a check that reads the data finds what has rotted", async () => {
  const disk = makeDisk();
  const store = new SimStore({ disk });
  const primes = samplePrimes(1, 3, 40);
  await store.put(agent, primes);
  disk.rotten.add(primes[1]!.id);
  assert.deepEqual((await store.check()).findings, []);
  const { findings } = await store.check({ readData: true });
  assert.deepEqual(
    findings.map(({ id }) => id),
    [primes[1]!.id],
  );
});

test("after a write has failed the store takes no more until it is opened again", async () => {
  const time = new VirtualTime();
  const disk = makeDisk({ writeMs: 10 });
  const store = new SimStore({ disk, clock: time.clock });
  const refused = assert.rejects(store.put(agent, samplePrimes(1, 2, 40)), hasCode("store-failed"));
  await time.run(5);
  store.fail(0);
  await time.run(20);
  await refused;
  await assert.rejects(store.put(agent, samplePrimes(1, 2, 40)), hasCode("store-failed"));
  assert.equal((await store.stats()).isFailed, true);
  await store[Symbol.asyncDispose]();
  await new SimStore({ disk: makeDisk() }).put(agent, samplePrimes(1, 2, 40));
});

test.run();
