/**
 * The store reads itself: every record in bounded steps, from any place. Flipped bits, overwritten sectors and lost segments are found by
 * the steps, nothing else is lost by it, and what is sent again heals. Disks in memory; what is damaged is drawn by a seed.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import type { CheckFinding, PrimeStore, ScrubPlace } from "#node/store/prime-store.ts";
import { recordBytes, segmentHeaderBytes } from "#node/store/record.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { count } from "#test/support/level.ts";
import { diskError, RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { openOn, work } from "#test/support/store-work.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("scrub of a store", { timeoutMs: count(120_000, 1_800_000) });

interface Pass {
  readonly readBytes: number;
  readonly totalBytes: number;
  readonly stepsCount: number;
  readonly findings: CheckFinding[];
}

async function pass(
  store: PrimeStore,
  init: { from?: ScrubPlace; until?: ScrubPlace; bytes?: number } = {},
): Promise<Pass> {
  const { until, bytes = 1 } = init;
  let { from } = init;
  let readBytes = 0;
  const findings: CheckFinding[] = [];
  for (let stepsCount = 1; ; stepsCount++) {
    const step = await store.scrub({ from, until, bytes });
    readBytes += step.readBytes;
    findings.push(...step.findings);
    if (step.next === undefined) return { readBytes, totalBytes: step.totalBytes, stepsCount, findings };
    from = step.next;
  }
}

async function worked(): Promise<{ disk: RecordingDisk; directory: string; oracle: StoreOracle }> {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("scrub");
  const oracle = new StoreOracle();
  await using store = await openOn(directory, disk);
  await work(store, oracle);
  await work(store, oracle);
  return { disk, directory, oracle };
}

const copyOf = (disk: RecordingDisk): RecordingDisk =>
  new RecordingDisk(new Map([...disk.files].map(([path, bytes]) => [path, Buffer.from(bytes)])));

const verifyWithoutPrimes = (store: PrimeStore, oracle: StoreOracle): Promise<void> =>
  oracle.verify(store, { ...oracle.promises(), claims: [] }, new Set(oracle.primes.keys()));

/** All that a site and its agents still have is sent again. */
async function sendAgain(store: PrimeStore, oracle: StoreOracle): Promise<void> {
  for (const again of [1, 2]) {
    for (let round = 0; round < 6; round++) {
      await oracle.put(store, sampleAgent(1), samplePrimes(200 + round, 4, 700));
      await oracle.putFor(store, sampleSite(1), samplePrimes(300 + round, 2, 400));
    }
    if (again === 1) assert.deepEqual((await pass(store, { bytes: 4000 })).findings, []);
  }
}

test("steps read every record once, about as much as they are told, from one place to another", async () => {
  const { disk, directory } = await worked();
  await using store = await openOn(directory, disk);
  const whole = await pass(store);
  const recordsBytes = [...disk.files.values()].reduce((sum, { length }) => sum + length - segmentHeaderBytes, 0);
  assert.equal(whole.readBytes, recordsBytes);
  assert.equal(whole.totalBytes, recordsBytes);
  assert.deepEqual(whole.findings, []);
  const large = await pass(store, { bytes: 1 << 20 });
  assert.equal(large.readBytes, recordsBytes);
  assert.equal(large.stepsCount, disk.files.size);
  assert.ok(whole.stepsCount > 100);
  const middle = (await store.scrub({ from: { segment: 2, offset: 0 }, until: undefined, bytes: 2000 })).next!;
  assert.equal(middle.segment, 2);
  const [before, after] = [await pass(store, { until: middle }), await pass(store, { from: middle })];
  assert.equal(before.readBytes + after.readBytes, recordsBytes);
});

test("a store without a record is read in one step", async () => {
  await using store = await openOn(await scratchDirectory("scrub"), new RecordingDisk());
  const { readBytes, totalBytes, stepsCount } = await pass(store);
  assert.ok(readBytes === totalBytes && stepsCount <= 3);
});

test("an error that passes is read again, and nothing is damaged", async () => {
  const { disk, directory } = await worked();
  await using store = await openOn(directory, disk);
  let readsCount = 0;
  disk.chooseFault = (call) =>
    call.type === "read" && readsCount++ % 2 === 0 ? { error: diskError("EIO") } : undefined;
  const { findings } = await pass(store, { bytes: 4000 });
  assert.deepEqual(findings, []);
  assert.ok(readsCount > 20);
});

test("flipped bits and overwritten sectors are found, the rest stays, and what is sent again heals", async () => {
  const sample = await worked();
  const random = seededRandom(5);
  for (let round = 0; round < count(25, 2000); round++) {
    const disk = copyOf(sample.disk);
    const directory = await scratchDirectory("scrub");
    await cp(join(sample.directory, "index"), join(directory, "index"), { recursive: true });
    const { oracle } = sample;
    const store = await openOn(directory, disk);
    try {
      const paths = [...disk.files.keys()];
      const hits = round % 3 === 0 ? 1 : 6;
      for (let hit = 0; hit < hits; hit++) {
        const bytes = disk.files.get(paths[Math.floor(random() * paths.length)]!)!;
        const at = segmentHeaderBytes + Math.floor(random() * (bytes.length - segmentHeaderBytes));
        if (round % 2 === 0) bytes[at]! ^= 1 << Math.floor(random() * 8);
        else bytes.fill(Math.floor(random() * 256), at - (at % 512), Math.min(bytes.length, at - (at % 512) + 512));
      }
      const found = await pass(store, { bytes: 1 + Math.floor(random() * 9000) });
      assert.ok(found.findings.length > 0, `round ${round}`);
      await verifyWithoutPrimes(store, oracle);
      assert.deepEqual(
        (await pass(store, { bytes: 4000 })).findings,
        [],
        `round ${round} finds again what is on record`,
      );
      await sendAgain(store, oracle);
      await oracle.verify(store, oracle.promises());
      const dump = await store.dump();
      await store.rebuildIndex();
      assert.deepEqual(await store.dump(), dump, `round ${round}`);
    } finally {
      await store[Symbol.asyncDispose]();
    }
  }
});

test("primes that lost their headers are named by the index, which need not be made anew", async () => {
  const disk = new RecordingDisk();
  const events: string[] = [];
  const directory = await scratchDirectory("scrub");
  const init = { directory, reserveFileBytes: 0, onEvent: ({ event }: { event: string }) => void events.push(event) };
  await using store = await SegmentStore.open(init, { disk });
  const primes = samplePrimes(1, 6, 900);
  await store.put(sampleAgent(1), primes);
  await store.appendFacts([{ kind: "test", key: "one", value: Buffer.from("value") }]);
  const bytes = disk.files.get("segments/00000001.seg")!;
  const places = new Map(primes.map(({ id, stored }) => [id, bytes.indexOf(stored) - 64]));
  const hit = primes.slice(2, 4).map(({ id }) => id);
  for (const id of hit) bytes.fill(0, places.get(id)!, places.get(id)! + 40);
  events.length = 0;
  const { findings } = await pass(store);
  assert.deepEqual(
    findings.map(({ id, offset, lengthBytes }) => [id, offset, lengthBytes]),
    hit.map((id) => [id, places.get(id)!, recordBytes(900)]),
  );
  assert.deepEqual(events, ["new-generation", "damage-found"]);
  assert.deepEqual(
    await store.has(idsOf(primes)),
    primes.map(({ id }) => !hit.includes(id)),
  );
  const { quarantinedCount, damagedCount } = await store.stats();
  assert.deepEqual([quarantinedCount, damagedCount], [2, 2]);
  await store.put(sampleAgent(1), primes);
  const after = await store.stats();
  assert.deepEqual([after.quarantinedCount, after.damagedCount], [0, 2]);
  const dump = await store.dump();
  await store.rebuildIndex();
  assert.deepEqual(await store.dump(), dump);
});

test("a segment's header that is damaged is written again, from its other copy or from the index", async () => {
  const { disk, directory, oracle } = await worked();
  const before = Buffer.from(disk.files.get("segments/00000003.seg")!);
  let store = await openOn(directory, disk);
  for (const [from, to] of [
    [4096, 4110],
    [10, 20],
    [0, segmentHeaderBytes],
  ] as const) {
    disk.files.get("segments/00000003.seg")!.fill(7, from, to);
    assert.deepEqual(
      (await pass(store, { bytes: 4000 })).findings.map(({ what, file }) => [what, file]),
      [["segment-header", "segments/00000003.seg"]],
    );
    // Only the time of its making is known by nobody else.
    const after = disk.files.get("segments/00000003.seg")!;
    assert.ok(after.subarray(0, 40).equals(before.subarray(0, 40)));
    if (to < segmentHeaderBytes) assert.ok(after.equals(before));
    assert.deepEqual((await pass(store, { bytes: 4000 })).findings, []);
    await store[Symbol.asyncDispose]();
    store = await openOn(directory, disk);
    await oracle.verify(store, oracle.promises());
  }
  await store[Symbol.asyncDispose]();
  store = await openOn(await scratchDirectory("scrub"), disk);
  await oracle.verify(store, oracle.promises());
  await store[Symbol.asyncDispose]();
});

test("damage beside damage that is on record already is found too", async () => {
  const disk = new RecordingDisk();
  await using store = await openOn(await scratchDirectory("scrub"), disk);
  const primes = samplePrimes(1, 4, 900);
  await store.put(sampleAgent(1), primes);
  const lost = new Set<PrimeId>();
  for (const { id, stored } of primes.slice(1, 3)) {
    const bytes = disk.files.get("segments/00000001.seg")!;
    bytes.fill(0, bytes.indexOf(stored) - 64, bytes.indexOf(stored) - 30);
    lost.add(id);
    await pass(store);
    assert.deepEqual(
      await store.has(idsOf(primes)),
      primes.map((prime) => !lost.has(prime.id)),
    );
  }
});

test("an index that is made anew from segments that nobody knows to be damaged loses no fact and no keep", async () => {
  const sample = await worked();
  const random = seededRandom(9);
  for (let round = 0; round < count(12, 400); round++) {
    const disk = copyOf(sample.disk);
    const directory = await scratchDirectory("scrub");
    await cp(join(sample.directory, "index"), join(directory, "index"), { recursive: true });
    await using store = await openOn(directory, disk);
    for (const bytes of disk.files.values())
      for (let hit = 0; hit < 3; hit++)
        bytes[segmentHeaderBytes + Math.floor(random() * (bytes.length - segmentHeaderBytes))]! ^= 1;
    await store.rebuildIndex();
    await verifyWithoutPrimes(store, sample.oracle);
  }
});

test("a segment that is gone while the store is open is found, and everything else stays", async () => {
  const { disk, directory, oracle } = await worked();
  await using store = await openOn(directory, disk);
  disk.files.delete("segments/00000002.seg");
  const { findings } = await pass(store);
  assert.ok(findings.length > 1);
  await verifyWithoutPrimes(store, oracle);
  await sendAgain(store, oracle);
  await oracle.verify(store, oracle.promises());
});

test("an index that is not as it was written is made anew beside the other work", async () => {
  const { disk, directory, oracle } = await worked();
  await using store = await openOn(directory, disk);
  assert.equal(await store.verifyIndex(), true);
  await oracle.verify(store, oracle.promises());
});

test.run();
