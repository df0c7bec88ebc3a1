/**
 * Segments that are missing, cut short or damaged, with an index that is up to date, lags, or is gone: the damage is named, what is
 * left is kept, and no fact or keep is lost or changed that the index or an intact segment still knows, whatever fails meanwhile.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { isCostorError } from "#protocol/errors.ts";
import { segmentHeaderBytes } from "#node/store/record.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { count } from "#test/support/level.ts";
import { diskError, type FaultChoice, RecordingDisk } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { failAt, openOn, work } from "#test/support/store-work.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("facts and keeps in damaged segments", { timeoutMs: count(60_000, 600_000) });
const agent = sampleAgent(1);
const ended = { site: sampleSite(3), ids: idsOf(samplePrimes(800, 3, 40)) };

const verifyWithoutPrimes = (store: SegmentStore, oracle: StoreOracle, promises = oracle.promises()): Promise<void> =>
  oracle.verify(store, { ...promises, claims: [] }, new Set(oracle.primes.keys()));

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
      await oracle.keep(store, ended.site, ended.ids);
      await work(store, oracle);
      await oracle.setFact(store, "removed", undefined);
      await oracle.release(store, ended.site, ended.ids);
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
      if (hasIndex) await verifyWithoutPrimes(store, oracle).catch((error: Error) => assert.fail(error));
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
  await oracle.keep(store, ended.site, ended.ids);
  await work(store, oracle);
  await oracle.setFact(store, "removed", undefined);
  await oracle.release(store, ended.site, ended.ids.slice(1));
  await store[Symbol.asyncDispose]();
  const index = await scratchDirectory("faults");
  await cp(join(directory, "index"), join(index, "index"), { recursive: true });
  const oldCount = disk.files.size;
  store = await openOn(directory, disk);
  await oracle.put(store, agent, samplePrimes(700, 4, 4000));
  await oracle.setFact(store, "changed", "late");
  await oracle.setFact(store, "removed later", undefined);
  await oracle.release(store, ended.site, ended.ids.slice(0, 1));
  await oracle.keep(store, ended.site, ended.ids.slice(2));
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
    await verifyWithoutPrimes(store, oracle);
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    await store[Symbol.asyncDispose]();
  }
});

test("what ended, and whose segments were emptied since, stays ended for an index that lags", async () => {
  const disk = new RecordingDisk();
  const oracle = new StoreOracle();
  const directory = await scratchDirectory("faults");
  const index = await scratchDirectory("faults");
  const filling = Array.from({ length: 6 }, (_, round) => samplePrimes(710 + round, 4, 2500));
  let store = await openOn(directory, disk);
  await oracle.setFact(store, "ended", "early");
  await oracle.keep(store, ended.site, ended.ids);
  for (const primes of filling.slice(0, 3)) await oracle.put(store, agent, primes);
  await oracle.setFact(store, "still there", "early");
  await store[Symbol.asyncDispose]();
  await cp(join(directory, "index"), join(index, "index"), { recursive: true });
  store = await openOn(directory, disk);
  await oracle.setFact(store, "ended", undefined);
  await oracle.release(store, ended.site, ended.ids);
  for (const primes of filling.slice(3)) await oracle.put(store, agent, primes);
  const { removedSegmentsCount } = await oracle.remove(store, idsOf(filling.flat()));
  assert.ok(removedSegmentsCount > 4);
  await store[Symbol.asyncDispose]();
  store = await openOn(index, disk);
  await oracle.verify(store, oracle.promises());
  await store[Symbol.asyncDispose]();
});

test("a segment that is missing beyond a lagging index is damage too", async () => {
  const { disk, oracle, index, oldCount } = await makeLagging();
  const paths = [...disk.files.keys()].toSorted();
  assert.ok(paths.length > oldCount + 1);
  disk.files.delete(paths[oldCount]!);
  let generation: string | undefined;
  for (let opening = 0; opening < 2; opening++) {
    const store = await openOn(index, disk);
    generation ??= store.generation;
    assert.equal(store.generation, generation, "it is named once");
    assert.equal((await store.stats()).quarantinedCount, 1);
    assert.ok((await store.hasSent(agent, [...oracle.primes.keys()])).includes(false));
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    await store[Symbol.asyncDispose]();
  }
});

test("a disk that fails or is full anywhere in a recovery loses no fact that the index still knew", async () => {
  const facts = async (disk: RecordingDisk, directory: string, oracle: StoreOracle): Promise<void> => {
    const store = await openOn(directory, disk);
    await verifyWithoutPrimes(store, oracle);
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
  await oracle.keep(store, ended.site, ended.ids);
  await work(store, oracle);
  await oracle.setFact(store, "removed", undefined);
  await oracle.release(store, ended.site, ended.ids);
  await work(store, oracle);
  const generation = store.generation;
  const promises = oracle.promises();
  disk.files.delete([...disk.files.keys()].toSorted()[1]!);
  const isLonger = (call: Parameters<FaultChoice>[0]): boolean =>
    call.type === "create" ||
    (call.type === "write" && call.offset + call.bytes.length > disk.files.get(call.path)!.length);
  disk.chooseFault = (call) => (isLonger(call) ? { error: diskError("ENOSPC") } : undefined);
  await store.check();
  assert.notEqual(store.generation, generation);
  await verifyWithoutPrimes(store, oracle, promises);
  disk.chooseFault = () => undefined;
  await oracle.setFact(store, "late", "1");
  await verifyWithoutPrimes(store, oracle);
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

test("a segment that is missing with more facts than a call takes arguments keeps no store from opening", async () => {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("faults");
  const factsCount = 130_000;
  const open = () => SegmentStore.open({ directory, segmentBytes: 16 * 1024 * 1024, reserveFileBytes: 0 }, { disk });
  const first = await open();
  for (let at = 0; at < factsCount; at += 10_000) {
    const facts = Array.from({ length: 10_000 }, (_, n) => ({ kind: "ledger", key: `${at + n}`, value: Buffer.of(1) }));
    await first.appendFacts(facts);
  }
  for (const seed of [1, 2, 3]) await first.put(agent, samplePrimes(seed, 1, 4_000_000));
  await first[Symbol.asyncDispose]();
  disk.files.delete("segments/00000001.seg");
  await using store = await open();
  for (const key of ["0", `${factsCount - 10_000}`]) assert.ok((await store.fact("ledger", key))?.equals(Buffer.of(1)));
});

test.run();
