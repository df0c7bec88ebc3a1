/**
 * A disk that fails at any one call: nothing is acknowledged that is not durable, reads go on, and the store works again as the
 * kind of failure allows. After a failed sync the disk also forgets what the kernel calls clean.
 */
import assert from "node:assert/strict";
import { hasCode } from "#test/conformance/prime-store.ts";
import { count } from "#test/support/level.ts";
import { crashState, diskError, RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrime, samplePrimes } from "#test/support/store-samples.ts";
import { failAt, openOn, work } from "#test/support/store-work.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store on a failing disk", { timeoutMs: count(60_000, 600_000) });
const agent = sampleAgent(1);

/** How many calls of these types the work makes. */
async function countCalls(types: readonly string[]): Promise<number> {
  const disk = new RecordingDisk();
  const store = await openOn(await scratchDirectory("faults"), disk);
  const counter = failAt(disk, -1, types, () => diskError("EIO"), false);
  await work(store, new StoreOracle());
  await store[Symbol.asyncDispose]();
  return counter.count();
}

test("after a failed sync nothing more is acknowledged, and reopening makes durable what it then reports", async () => {
  const total = await countCalls(["sync", "sync-directory"]);
  assert.ok(total > 12);
  for (let at = 0; at < total; at++) {
    for (const isForGood of [false, true]) {
      const directory = await scratchDirectory("faults");
      const disk = new RecordingDisk();
      const oracle = new StoreOracle();
      let store = await openOn(directory, disk);
      failAt(disk, at, ["sync", "sync-directory"], () => diskError("EIO"), isForGood);
      const codes = await work(store, oracle);
      assert.deepEqual([...new Set(codes)], at < total - 1 ? ["store-failed"] : []);
      const promises = oracle.promises();
      await oracle.verify(store, promises);
      assert.equal((await store.stats()).isFailed, at < total - 1);
      await store[Symbol.asyncDispose]();

      // The process starts again: the kernel still shows everything.
      const second = new RecordingDisk(disk.files, disk.calls);
      store = await openOn(directory, second);
      await oracle.verify(store, promises);
      const held = [...oracle.primes.keys()];
      const reported = (await store.hasSent(agent, held)).flatMap((isHeld, index) =>
        isHeld ? [[agent, held[index]!] as const] : [],
      );
      await oracle.put(store, agent, samplePrimes(300, 1, 100));
      await store[Symbol.asyncDispose]();

      // The machine loses power: what was never written is gone. Nobody knows how old the index is.
      const random = seededRandom(at);
      const files = crashState(second.calls, second.calls.length, () => "lost", random);
      store = await openOn(await scratchDirectory("faults"), new RecordingDisk(files));
      await oracle.verify(store, { ...promises, claims: [...promises.claims, ...reported] });
      await store[Symbol.asyncDispose]();
    }
  }
});

test("a write that fails for another reason than space ends all writing, and loses nothing acknowledged", async () => {
  const types = ["write", "create"];
  const total = await countCalls(types);
  for (let at = 0; at < total; at++) {
    const directory = await scratchDirectory("faults");
    const disk = new RecordingDisk();
    const oracle = new StoreOracle();
    let store = await openOn(directory, disk);
    failAt(disk, at, types, () => diskError("EIO"), false);
    const codes = await work(store, oracle);
    assert.deepEqual([...new Set(codes)], at < total - 1 ? ["store-failed"] : []);
    await oracle.verify(store, oracle.promises());
    await store[Symbol.asyncDispose]();
    store = await openOn(
      directory,
      new RecordingDisk(crashState(disk.calls, disk.calls.length, () => "kept", Math.random)),
    );
    await oracle.verify(store, oracle.promises());
    assert.deepEqual((await store.check({ readData: true })).findings, []);
    await store[Symbol.asyncDispose]();
  }
});

test("a full disk refuses the primes, keeps reading, and takes them when there is room again", async () => {
  const types = ["write", "create"];
  const total = await countCalls(types);
  for (let at = 0; at < total - 1; at++) {
    const disk = new RecordingDisk();
    const oracle = new StoreOracle();
    const directory = await scratchDirectory("faults");
    let store = await openOn(directory, disk);
    failAt(disk, at, types, () => diskError(at % 2 === 0 ? "ENOSPC" : "EDQUOT"), true);
    const codes = await work(store, oracle);
    assert.deepEqual([...new Set(codes)], ["store-full"]);
    await oracle.verify(store, oracle.promises());
    disk.chooseFault = () => undefined;
    assert.deepEqual(await work(store, oracle), []);
    await oracle.verify(store, oracle.promises());
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    assert.deepEqual((await store.check({ readData: true })).findings, []);
    await store[Symbol.asyncDispose]();
    store = await openOn(
      directory,
      new RecordingDisk(crashState(disk.calls, disk.calls.length, () => "lost", Math.random)),
    );
    await oracle.verify(store, oracle.promises());
    await store[Symbol.asyncDispose]();
  }
});

test("primes are refused in the reserve, facts and removal are not", async () => {
  const disk = new RecordingDisk();
  const store = await openOn(await scratchDirectory("faults"), disk);
  const prime = samplePrime(1, 5000);
  await store.put(agent, [prime]);
  disk.totalBytes = 1_000_000;
  disk.freeBytes = 30_000;
  await assert.rejects(store.put(agent, [samplePrime(2, 5000)]), hasCode("store-full"));
  await store.put(agent, [prime]);
  await store.put(sampleAgent(2), [prime]);
  await store.appendFacts([{ kind: "a", key: "k", value: Buffer.from("v") }]);
  assert.ok((await store.get(prime.id)).equals(prime.stored));
  await store.remove([prime.id]);
  disk.freeBytes = 900_000;
  await store.put(agent, [samplePrime(2, 5000)]);
  await store[Symbol.asyncDispose]();
});

test("an error that passes is read over, one that stays is reported for that prime only", async () => {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("faults");
  let store = await openOn(directory, disk);
  const primes = samplePrimes(5, 3, 1000);
  await store.put(agent, primes);
  let readsCount = 0;
  disk.chooseFault = (call) => (call.type === "read" && readsCount++ === 0 ? { error: diskError("EIO") } : undefined);
  assert.deepEqual(
    await store.getMany(idsOf(primes)),
    primes.map(({ stored }) => stored),
  );

  const generation = store.generation;
  const badFrom = disk.files.get("segments/00000001.seg")!.indexOf(primes[1]!.stored.subarray(0, 64));
  disk.chooseFault = (call) =>
    call.type === "read" && call.offset <= badFrom && call.offset > badFrom - 900
      ? { error: diskError("EIO") }
      : undefined;
  await assert.rejects(store.get(primes[1]!.id), hasCode("prime-corrupt"));
  assert.ok((await store.get(primes[2]!.id)).equals(primes[2]!.stored));
  assert.equal(store.generation, generation);
  await store[Symbol.asyncDispose]();
  disk.chooseFault = () => undefined;
  store = await openOn(directory, disk);
  assert.ok((await store.get(primes[1]!.id)).equals(primes[1]!.stored));
  await store[Symbol.asyncDispose]();
});

test("damage found by a read is quarantined, changes the generation, and heals when the prime is sent again", async () => {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("faults");
  let store = await openOn(directory, disk);
  const primes = samplePrimes(6, 3, 1000);
  await store.put(agent, primes);
  await store.markClosed(["tree"]);
  const generation = store.generation;
  const bytes = disk.files.get("segments/00000001.seg")!;
  bytes[bytes.indexOf(primes[0]!.stored) + 17]! ^= 1;
  await assert.rejects(store.get(primes[0]!.id), hasCode("prime-corrupt"));
  await assert.rejects(store.get(primes[0]!.id), hasCode("prime-corrupt"));
  assert.notEqual(store.generation, generation);
  assert.deepEqual(await store.areClosed(["tree"]), [false]);
  assert.deepEqual(await store.hasSent(agent, idsOf(primes)), [false, true, true]);
  assert.equal((await store.stats()).quarantinedCount, 1);
  assert.ok((await store.get(primes[1]!.id)).equals(primes[1]!.stored));
  await store.put(agent, [primes[0]!]);
  assert.ok((await store.get(primes[0]!.id)).equals(primes[0]!.stored));
  assert.equal((await store.stats()).quarantinedCount, 0);
  const healed = store.generation;
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
  await store[Symbol.asyncDispose]();
  store = await openOn(directory, disk);
  assert.equal(store.generation, healed);
  assert.deepEqual((await store.check({ readData: true })).quarantined, []);
  await store[Symbol.asyncDispose]();
});

test.run();
