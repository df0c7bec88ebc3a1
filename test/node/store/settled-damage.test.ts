/**
 * Damage of which nobody knows what was in it ends by itself: once nothing that is kept or was sent is missing, a compaction takes away what is
 * left of its segments. Not before, and no crash in it loses anything. Disks in memory.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { segmentHeaderBytes } from "#node/store/record.ts";
import type { SegmentStore } from "#node/store/segment-store.ts";
import { count } from "#test/support/level.ts";
import { crashState, RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { openOn, work } from "#test/support/store-work.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("settled damage", { timeoutMs: count(120_000, 1_800_000) });

const second = "segments/00000002.seg";

interface Worked {
  readonly disk: RecordingDisk;
  readonly directory: string;
  readonly oracle: StoreOracle;
}

async function worked(): Promise<Worked> {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("settled");
  const oracle = new StoreOracle();
  await using store = await openOn(directory, disk);
  await work(store, oracle);
  return { disk, directory, oracle };
}

async function sendAgain(store: SegmentStore, oracle: StoreOracle, rounds = [0, 1, 2, 3, 4, 5]): Promise<void> {
  for (const round of rounds) {
    await oracle.put(store, sampleAgent(1), samplePrimes(200 + round, 4, 700));
    await oracle.putFor(store, sampleSite(1), samplePrimes(300 + round, 2, 400));
  }
}

const unhealedCount = async (store: SegmentStore): Promise<number> => (await store.stats()).quarantinedCount;

async function assertWhole(store: SegmentStore, oracle: StoreOracle): Promise<void> {
  const { findings, quarantined } = await store.check({ readData: true });
  assert.deepEqual({ findings, quarantined }, { findings: [], quarantined: [] });
  await oracle.verify(store, oracle.promises());
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
}

test("a missing segment is settled when all that is kept and was sent is here again, and not before", async () => {
  const { disk, directory, oracle } = await worked();
  disk.files.delete(second);
  {
    await using store = await openOn(directory, disk);
    assert.ok((await unhealedCount(store)) > 0);
    await store.compact();
    assert.ok((await unhealedCount(store)) > 0, "a compaction that comes too early changes nothing");
    await sendAgain(store, oracle, [0, 2, 4]);
    await store.compact();
    assert.ok((await unhealedCount(store)) > 0, "some is missing");
    await sendAgain(store, oracle);
    await store.compact();
    assert.equal(await unhealedCount(store), 0);
    await assertWhole(store, oracle);
  }
  await using store = await openOn(directory, disk);
  await assertWhole(store, oracle);
});

test("a segment in which other records than primes were overwritten is emptied then, also the last one", async () => {
  for (const isLast of [false, true]) {
    const { disk, directory, oracle } = await worked();
    await using store = await openOn(directory, disk);
    const path = isLast ? [...disk.files.keys()].toSorted().at(-1)! : second;
    disk.files.get(path)!.fill(7, segmentHeaderBytes, segmentHeaderBytes + 900);
    assert.ok((await store.check()).findings.length > 0);
    await sendAgain(store, oracle);
    assert.ok((await unhealedCount(store)) > 0);
    await store.compact();
    assert.equal(disk.files.has(path), false);
    await assertWhole(store, oracle);
  }
});

test("a segment that is missing and not known to be does not keep others from being emptied", async () => {
  const { disk, directory, oracle } = await worked();
  await using store = await openOn(directory, disk);
  const bytes = disk.files.get(second)!;
  disk.files.delete(second);
  const ids = [0, 1, 2].flatMap((round) => samplePrimes(200 + round, 4, 700).map(({ id }) => id));
  await oracle.remove(store, ids);
  await store.compact();
  disk.files.set(second, bytes);
  await store.compact();
  await oracle.verify(store, oracle.promises(), new Set(ids));
});

test("no crash while damage is settled loses anything, and the next compaction settles the rest", async () => {
  const { disk: before, directory: from, oracle } = await worked();
  before.files.get("segments/00000001.seg")!.fill(7, segmentHeaderBytes, segmentHeaderBytes + 900);
  before.files.delete(second);
  const disk = new RecordingDisk(new Map([...before.files].map(([path, bytes]) => [path, Buffer.from(bytes)])));
  const directory = await scratchDirectory("settled");
  await cp(join(from, "index"), join(directory, "index"), { recursive: true });
  const index = await scratchDirectory("settled-index");
  const store = await openOn(directory, disk);
  await store.check({ readData: true });
  await sendAgain(store, oracle);
  const healed = disk.calls.length;
  await store.compact();
  assert.equal(await unhealedCount(store), 0);
  await store[Symbol.asyncDispose]();
  const removing = disk.calls.findIndex(({ type }, at) => at >= healed && type === "unlink");
  assert.ok(removing > healed, "a file is removed");
  const random = seededRandom(3);
  for (let end = healed; end <= disk.calls.length; end++) {
    const choices = ["kept", "lost", { tornAtBytes: 512, fill: "garbage" }] as const;
    const files = crashState(disk.calls, end, () => choices[Math.floor(random() * 3)]!, random, before.files);
    const place = join(index, String(end));
    // With the index that came before the damage, and with none.
    if (random() < 0.6) await cp(join(from, "index"), join(place, "index"), { recursive: true });
    await using again = await openOn(place, new RecordingDisk(files));
    await oracle.verify(again, oracle.promises());
    await again.compact();
    assert.equal(await unhealedCount(again), 0, `after call ${end}`);
    await assertWhole(again, oracle);
  }
});

test.run();
