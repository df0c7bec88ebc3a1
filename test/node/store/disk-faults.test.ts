/**
 * A disk that fails at any one call: nothing is acknowledged that is not durable, reads go on, and the store works again as the
 * kind of failure allows. After a failed sync the disk also forgets what the kernel calls clean.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { isCostorError } from "#protocol/errors.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { segmentHeaderBytes } from "#node/store/record.ts";
import { hasCode } from "#test/conformance/prime-store.ts";
import { count } from "#test/support/level.ts";
import { crashState, diskError, type FaultChoice, RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrime, samplePrimes } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store on a failing disk", { timeoutMs: count(60_000, 600_000) });
const agent = sampleAgent(1);
const segmentBytes = 12 * 1024;
const openOn = (directory: string, disk: RecordingDisk) =>
  SegmentStore.open({ directory, segmentBytes, reserveFileBytes: 0 }, { disk });

/** Fails the call number `at`, counted from now, of the types named. */
function failAt(
  disk: RecordingDisk,
  at: number,
  types: readonly string[],
  error: () => Error,
  isForGood: boolean,
): { count: () => number } {
  let seen = 0;
  const choose: FaultChoice = (call) => {
    if (!types.includes(call.type)) return undefined;
    const number = seen++;
    if (number !== at && !(isForGood && number > at)) return undefined;
    return { error: error(), writtenBytes: call.type === "write" ? Math.floor(call.bytes.length / 2) : 0 };
  };
  disk.chooseFault = choose;
  return { count: () => seen };
}

/** Returns the codes of what was refused. */
async function work(store: SegmentStore, oracle: StoreOracle): Promise<string[]> {
  const codes: string[] = [];
  const attempt = async (action: Promise<void>): Promise<void> => {
    await action.catch((error: unknown) => {
      assert.ok(isCostorError(error), String(error));
      codes.push(error.code);
    });
  };
  for (let round = 0; round < 6; round++) {
    await attempt(oracle.put(store, agent, samplePrimes(200 + round, 4, 700)));
    await attempt(oracle.setFact(store, `key ${round % 2}`, `value ${round}`));
  }
  return codes;
}

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

test("a segment that is missing or cut short is damage, named once, the rest is kept, and facts come back from the index", async () => {
  for (const damage of ["missing", "short", "first-missing", "last-missing"] as const) {
    for (const hasIndex of [true, false]) {
      // Without an index nothing tells that there was one segment more.
      if (damage === "last-missing" && !hasIndex) continue;
      const disk = new RecordingDisk();
      const directory = await scratchDirectory("faults");
      let store = await openOn(directory, disk);
      const oracle = new StoreOracle();
      await oracle.setFact(store, "removed", "early");
      await work(store, oracle);
      await oracle.setFact(store, "removed", undefined);
      await work(store, oracle);
      const generation = store.generation;
      await store[Symbol.asyncDispose]();
      const paths = [...disk.files.keys()].toSorted();
      assert.ok(paths.length > 2);
      const path = { "first-missing": paths[0]!, "last-missing": paths.at(-1)!, missing: paths[1]!, short: paths[1]! }[
        damage
      ];
      if (damage === "short") disk.files.set(path, disk.files.get(path)!.subarray(0, segmentHeaderBytes + 900));
      else disk.files.delete(path);
      const reopened = hasIndex ? directory : await scratchDirectory("faults");
      store = await openOn(reopened, disk);
      if (damage === "short" && hasIndex) await store.check();
      assert.notEqual(store.generation, generation, `${damage}, index ${hasIndex}`);
      const sent = await store.hasSent(agent, [...oracle.primes.keys()]);
      assert.ok(sent.includes(true) && sent.includes(false));
      for (const [index, [id, stored]] of [...oracle.primes].entries()) {
        const found = await store.get(id).catch((error: unknown) => {
          assert.ok(!sent[index] && (isCostorError(error, "prime-missing") || isCostorError(error, "prime-corrupt")));
          return stored;
        });
        assert.ok(found.equals(stored));
      }
      // The index still knows the facts, also one that was removed and whose removal is lost.
      if (hasIndex)
        await oracle
          .verify(store, { claims: [], facts: oracle.promises().facts })
          .catch((error: Error) => assert.fail(error));
      await work(store, oracle);
      await oracle.verify(store, oracle.promises());
      const now = store.generation;
      const dump = await store.dump();
      await store.rebuildIndex();
      assert.deepEqual(await store.dump(), dump);
      await store[Symbol.asyncDispose]();
      store = await openOn(reopened, disk);
      assert.equal(store.generation, now);
      await store[Symbol.asyncDispose]();
    }
  }
});

/** A store that lost power: its index is as it was before the last facts, which lie in segments of their own. */
async function makeLagging(): Promise<{ disk: RecordingDisk; oracle: StoreOracle; index: string; oldCount: number }> {
  const disk = new RecordingDisk();
  const oracle = new StoreOracle();
  const directory = await scratchDirectory("faults");
  let store = await openOn(directory, disk);
  for (const [key, value] of [
    ["changed", "early"],
    ["kept", "early"],
    ["removed", "early"],
    ["removed later", "early"],
  ] as const)
    await oracle.setFact(store, key, value);
  await work(store, oracle);
  await oracle.setFact(store, "removed", undefined);
  await store[Symbol.asyncDispose]();
  const index = await scratchDirectory("faults");
  await cp(join(directory, "index"), join(index, "index"), { recursive: true });
  const oldCount = disk.files.size;
  store = await openOn(directory, disk);
  await oracle.put(store, agent, samplePrimes(700, 4, 4000));
  await oracle.setFact(store, "changed", "late");
  await oracle.setFact(store, "removed later", undefined);
  await oracle.setFact(store, "new", "late");
  await store[Symbol.asyncDispose]();
  return { disk, oracle, index, oldCount };
}

/** Takes an old segment of a lagging store away, or the end of the one that its index reaches into. */
function damageOld(disk: RecordingDisk, segment: number, oldCount: number): void {
  const path = `segments/0000000${segment}.seg`;
  if (segment < oldCount) disk.files.delete(path);
  else disk.files.set(path, disk.files.get(path)!.subarray(0, segmentHeaderBytes + 100));
}

test("facts newer than a lagging index stay when older segments are damaged", async () => {
  const { oldCount } = await makeLagging();
  assert.ok(oldCount > 2);
  for (let segment = 1; segment <= oldCount; segment++) {
    const { disk, oracle, index } = await makeLagging();
    damageOld(disk, segment, oldCount);
    const store = await openOn(index, disk);
    await oracle.verify(store, { claims: [], facts: oracle.promises().facts });
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    await store[Symbol.asyncDispose]();
  }
});

test("a disk that fails or is full anywhere in a recovery loses no fact that the index still knew", async () => {
  const facts = async (disk: RecordingDisk, directory: string, oracle: StoreOracle): Promise<void> => {
    const store = await openOn(directory, disk);
    await oracle.verify(store, { claims: [], facts: oracle.promises().facts });
    await store[Symbol.asyncDispose]();
  };
  const { disk, oracle, index, oldCount } = await makeLagging();
  for (const segment of [1, oldCount]) {
    for (const code of ["EIO", "ENOSPC"]) {
      for (let at = 0, seen = Infinity; at < seen; at++) {
        const directory = await scratchDirectory("faults");
        await cp(join(index, "index"), join(directory, "index"), { recursive: true });
        const copy = new RecordingDisk(new Map([...disk.files].map(([path, bytes]) => [path, Buffer.from(bytes)])));
        damageOld(copy, segment, oldCount);
        const counter = failAt(copy, at, ["create", "write", "sync"], () => diskError(code), true);
        await (await openOn(directory, copy).catch(() => undefined))?.[Symbol.asyncDispose]();
        seen = counter.count();
        copy.chooseFault = () => undefined;
        await facts(copy, directory, oracle);
      }
    }
  }
});

test("damage that a check finds on a full disk is recorded, and the index made anew, once there is room", async () => {
  const disk = new RecordingDisk();
  const store = await openOn(await scratchDirectory("faults"), disk);
  const oracle = new StoreOracle();
  await oracle.setFact(store, "removed", "early");
  await work(store, oracle);
  await oracle.setFact(store, "removed", undefined);
  await work(store, oracle);
  const generation = store.generation;
  const facts = { claims: [], facts: oracle.promises().facts };
  disk.files.delete([...disk.files.keys()].toSorted()[1]!);
  const isLonger = (call: Parameters<FaultChoice>[0]): boolean =>
    call.type === "create" ||
    (call.type === "write" && call.offset + call.bytes.length > disk.files.get(call.path)!.length);
  disk.chooseFault = (call) => (isLonger(call) ? { error: diskError("ENOSPC") } : undefined);
  await store.check();
  assert.notEqual(store.generation, generation);
  await oracle.verify(store, facts);
  disk.chooseFault = () => undefined;
  await oracle.setFact(store, "late", "1");
  await oracle.verify(store, { claims: [], facts: oracle.promises().facts });
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
  await store[Symbol.asyncDispose]();
});

test("damage that an opening met but could not put on record is met again by the next", async () => {
  for (const hasIndex of [true, false]) {
    const disk = new RecordingDisk();
    const directory = await scratchDirectory("faults");
    const oracle = new StoreOracle();
    const first = await openOn(directory, disk);
    const indexes = await scratchDirectory("faults");
    await cp(join(directory, "index"), join(indexes, "index"), { recursive: true });
    await work(first, oracle);
    const generation = first.generation;
    await first[Symbol.asyncDispose]();
    const path = [...disk.files.keys()].toSorted()[1]!;
    disk.files.get(path)![segmentHeaderBytes + 100]! ^= 1;

    const place = hasIndex ? indexes : await scratchDirectory("faults");
    disk.chooseFault = (call) => (call.type === "read" ? undefined : { error: diskError("EIO") });
    const failing = await openOn(place, disk).catch(() => undefined);
    if (failing !== undefined) assert.notEqual(failing.generation, generation);
    await failing?.[Symbol.asyncDispose]();
    disk.chooseFault = () => undefined;
    for (let opening = 0; opening < 2; opening++) {
      const store = await openOn(place, disk);
      assert.notEqual(store.generation, generation);
      assert.ok((await store.stats()).quarantinedCount > 0);
      await store[Symbol.asyncDispose]();
    }
  }
});

test.run();
