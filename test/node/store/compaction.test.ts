/**
 * Emptying a segment is bounded work in turns of the writer, also where one record names many primes, and nothing is lost by it. Method: segments on a disk in memory
 * whose records of keeps and claims name thousands, half of which go; what is left is compared with what the rebuilt index says, and
 * puts are counted that have their turns meanwhile.
 */
import assert from "node:assert/strict";
import { SegmentStore } from "#node/store/segment-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import { RecordingDisk } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import {
  idsOf,
  sampleAgent,
  type SamplePrime,
  samplePrimes,
  sampleSite,
  wireBatch,
} from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("compaction");

const agent = sampleAgent(1);
const [one, other] = [sampleSite(1), sampleSite(2)];
const primes = samplePrimes(1, 3000, 100);
const [going, staying] = [primes.slice(0, 2000), primes.slice(2000)];

/** The first segment has all of them, sent by an agent, and kept for two sites in one record each; most of them go. */
async function mostlyDead(): Promise<SegmentStore> {
  const directory = await scratchDirectory("compaction");
  const init = { directory, segmentBytes: 1024 * 1024, reserveFileBytes: 0 };
  const store = await SegmentStore.open(init, { disk: new RecordingDisk() });
  await store.put(agent, primes);
  await store.keep(one, idsOf(primes));
  await store.keep(other, idsOf(staying));
  await store.put(sampleAgent(2), samplePrimes(2, 2, 700_000));
  for (let at = 0; at < going.length; at += 500)
    await store.collect(one, idsOf(going.slice(at, at + 500)), { relying: [] });
  return store;
}

test("nothing is lost of a record that names many primes of which some are gone", async () => {
  await using store = await mostlyDead();
  const { removedSegmentsCount } = await store.compact();
  assert.equal(removedSegmentsCount, 1);
  const ids = idsOf(staying).toSorted();
  for (const site of [one, other]) assert.deepEqual((await Array.fromAsync(store.kept(site))).flat(), ids);
  assert.ok((await store.hasSent(agent, ids)).every(Boolean));
  for (const { id, stored } of staying) assert.ok((await store.get(id)).equals(stored));
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
});

test("others have their turns while a segment is emptied", async () => {
  await using store = await mostlyDead();
  const done = new AbortController();
  const compacted = store.compact().finally(() => done.abort());
  let turnsCount = 0;
  for (let seed = 100; !done.signal.aborted; seed++) {
    await store.put(agent, samplePrimes(seed, 1, 50));
    turnsCount++;
  }
  assert.equal((await compacted).removedSegmentsCount, 1);
  // Three thousand primes, and as many keeps and claims, some hundred in each turn.
  assert.ok(turnsCount > 10, `${turnsCount} puts had a turn`);
});

/** What is under `stored` in the segment that was written last is read as damaged from now on. */
async function spoilNewest(store: SegmentStore, disk: RecordingDisk, { id, stored }: SamplePrime): Promise<void> {
  const newest = [...disk.files.values()].findLast((bytes) => bytes.includes(stored))!;
  newest[newest.indexOf(stored) + 5]! ^= 1;
  await assert.rejects(store.get(id), (error) => isCostorError(error, "prime-corrupt"));
}

test("a prime that went, came back and was lost then is its sender's still when the segment is emptied that says it went", async () => {
  const disk = new RecordingDisk();
  const init = { directory: await scratchDirectory("compaction"), segmentBytes: 32 * 1024, reserveFileBytes: 0 };
  await using store = await SegmentStore.open(init, { disk });
  const [lost] = samplePrimes(3, 1, 500) as [SamplePrime];
  await store.put(agent, [lost, ...samplePrimes(4, 25, 900)]);
  const dead = samplePrimes(5, 25, 900);
  await store.put(sampleAgent(2), dead);
  await store.collect(one, [lost.id], { relying: [] });
  await store.put(agent, samplePrimes(6, 30, 900));
  await store.put(agent, [lost]);
  await store.keep(one, [lost.id]);
  await spoilNewest(store, disk, lost);
  await store.collect(one, idsOf(dead), { relying: [] });
  assert.equal((await store.compact()).removedSegmentsCount, 1);
  assert.deepEqual(await store.hasClaimed(agent, [lost.id]), [true]);
  // As another site that holds it heals it: its sender may read it again.
  await store.putFor(one, wireBatch([lost]));
  assert.deepEqual(await store.hasSent(agent, [lost.id]), [true]);
});

test("what nothing reaches is missed no more, also when it was lost before it was collected", async () => {
  const disk = new RecordingDisk();
  const init = { directory: await scratchDirectory("compaction"), reserveFileBytes: 0 };
  await using store = await SegmentStore.open(init, { disk });
  const [lost, relied] = samplePrimes(7, 2, 500) as [SamplePrime, SamplePrime];
  await store.put(agent, [lost]);
  await store.put(sampleAgent(2), [relied]);
  await store.keep(one, idsOf([lost, relied]));
  for (const prime of [lost, relied]) await spoilNewest(store, disk, prime);
  const collected = await store.collect(one, idsOf([lost, relied]), { relying: [sampleAgent(2)] });
  assert.deepEqual(collected, { removedPrimesCount: 0, removedBytes: 0 });
  assert.deepEqual((await Array.fromAsync(store.sent())).flat(), [relied.id]);
  assert.equal((await store.stats()).quarantinedCount, 1);
});

test.run();
