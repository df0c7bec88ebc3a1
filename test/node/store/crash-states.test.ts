/**
 * Every state that a crash of the machine could leave: a workload runs on a recording disk; for each moment the disk's
 * unsynced calls are kept, lost, or torn, and the store is opened on that, with the index of some earlier moment or none.
 * It must open by itself, hold all that was acknowledged by then, and have the index that a rebuild gives.
 * A failure prints its seed; `COSTOR_CRASH_SEED=SEED` runs that one alone, `COSTOR_CRASH_SEED=FROM-TO` others.
 */
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { PrimeId } from "#protocol/ids.ts";
import type { StoreEvent } from "#node/store/record-log.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { count } from "#test/support/level.ts";
import {
  type CrashChoice,
  crashState,
  type DiskCall,
  RecordingDisk,
  seededRandom,
} from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { type Promises, StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store after a crash", { timeoutMs: count(120_000, 3_600_000) });
const segmentBytes = 12 * 1024;

interface Moment {
  readonly promises: Promises;
  readonly generation: string;
  /** A copy of Level's directory. */
  readonly index: string;
}

interface Recording {
  readonly calls: readonly DiskCall[];
  readonly oracle: StoreOracle;
  /** All that were ever asked to be removed. */
  readonly removed: ReadonlySet<PrimeId>;
}

/** Level may remove a file of its own while it is copied. */
async function copyIndex(from: string, to: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await cp(from, to, { recursive: true });
    } catch (error) {
      if (attempt === 9) throw error;
      await rm(to, { recursive: true, force: true });
    }
  }
}

async function record(): Promise<Recording> {
  const directory = await scratchDirectory("crash-record");
  const indexes = await scratchDirectory("crash-indexes");
  const disk = new RecordingDisk();
  const oracle = new StoreOracle();
  const removed = new Set<PrimeId>();
  let momentsCount = 0;
  let removedSegmentsCount = 0;
  const note = async (): Promise<void> => {
    const index = join(indexes, String(momentsCount++));
    await copyIndex(join(directory, "index"), index);
    disk.note({ promises: oracle.promises(), generation: store.generation, index } satisfies Moment);
  };
  const open = () => SegmentStore.open({ directory, segmentBytes, reserveFileBytes: 0 }, { disk });
  let store = await open();
  for (let round = 0; round < 12; round++) {
    const primes = samplePrimes(100 + round, 5, 300 + round * 137);
    await Promise.all([
      oracle.put(store, sampleAgent(1), primes.slice(0, 4)),
      oracle.put(store, sampleAgent(2), primes.slice(2)),
      oracle.setFact(store, `key ${round % 3}`, `value ${round}`),
      oracle.putFor(store, sampleSite(1), samplePrimes(130 + round, 3, 400)),
      oracle.keep(store, sampleSite(2), idsOf(primes.slice(0, 2))),
    ]);
    await note();
    await oracle.setFact(store, "gone", round % 2 === 0 ? "here" : undefined);
    await note();
    if (round === 5 || round === 9) {
      const ids = [5, 4, 3, 2].flatMap((before) =>
        idsOf(samplePrimes(100 + round - before, 5, 300 + (round - before) * 137).slice(1)),
      );
      for (const id of ids) removed.add(id);
      removedSegmentsCount += (await oracle.remove(store, ids)).removedSegmentsCount;
      await note();
      const kept = [5, 4, 3].flatMap((before) => idsOf(samplePrimes(130 + round - before, 3, 400)));
      removedSegmentsCount += (await oracle.release(store, sampleSite(1), kept)).removedSegmentsCount;
      await note();
      await oracle.keep(store, sampleSite(1), kept.slice(0, 2));
      await note();
      // The second agent has sent all but the first two.
      const collected = idsOf(samplePrimes(100 + round - 1, 5, 300 + (round - 1) * 137));
      for (const id of collected.slice(0, 2)) removed.add(id);
      await oracle.collect(store, sampleSite(2), collected, [sampleAgent(2)]);
      await note();
    }
    if (round % 4 === 3) {
      await store[Symbol.asyncDispose]();
      await note();
      store = await open();
    }
  }
  await store[Symbol.asyncDispose]();
  await note();
  assert.ok(removedSegmentsCount >= 3, "segments are emptied");
  return { calls: disk.calls, oracle, removed };
}

const fills = ["nothing", "zeros", "garbage"] as const;

function chooser(random: () => number): (call: DiskCall) => CrashChoice {
  const mode = random();
  if (mode < 0.15) return () => "kept";
  if (mode < 0.3) return () => "lost";
  return () => {
    const choice = random();
    if (choice < 0.25) return "kept";
    if (choice < 0.4) return "lost";
    return { tornAtBytes: random() < 0.5 ? 512 : 4096, fill: fills[Math.floor(random() * 3)]! };
  };
}

async function crashAndOpen(recording: Recording, seed: number, directory: string): Promise<void> {
  const { calls, oracle, removed } = recording;
  const random = seededRandom(seed);
  const callsCount = 1 + Math.floor(random() * calls.length);
  const moments = calls.slice(0, callsCount).flatMap((call) => (call.type === "note" ? [call.note as Moment] : []));
  const promises = moments.at(-1)?.promises ?? { claims: [], facts: new Map() };
  let files = crashState(calls, callsCount, chooser(random), random);

  const putIndex = async (): Promise<void> => {
    await rm(join(directory, "index"), { recursive: true, force: true });
    const from = random() < 0.3 ? undefined : moments[Math.floor(random() * moments.length)];
    if (from !== undefined) await cp(from.index, join(directory, "index"), { recursive: true });
  };
  await putIndex();
  const events: string[] = [];
  const onEvent = ({ event, message }: StoreEvent) => void (event === "damage-found" && events.push(message));
  const open = (disk: RecordingDisk) =>
    SegmentStore.open({ directory, segmentBytes, reserveFileBytes: 0, onEvent }, { disk });
  // A crash while it recovers, up to twice.
  while (random() < 0.3) {
    const disk = new RecordingDisk(files);
    await (await open(disk))[Symbol.asyncDispose]();
    files = crashState(disk.calls, Math.floor(random() * (disk.calls.length + 1)), chooser(random), random, files);
    await putIndex();
  }

  const disk = new RecordingDisk(files);
  const store = await open(disk);
  try {
    assert.deepEqual(events, [], "a crash is no damage");
    const generation = moments.at(-1)?.generation;
    if (generation !== undefined) assert.equal(store.generation, generation);
    await oracle.verify(store, promises, removed);
    await store.whenVerified();
    const dump = await store.dump();
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), dump);
    const prime = samplePrimes(seed, 1, 200);
    await oracle.put(store, sampleAgent(3), prime);
    assert.ok((await store.get(prime[0]!.id)).equals(prime[0]!.stored));
    oracle.primes.delete(prime[0]!.id);
    assert.deepEqual((await store.check({ readData: true })).findings, []);
  } finally {
    await store[Symbol.asyncDispose]();
  }
}

test("every crash state opens with all that was acknowledged, and rebuilds equal", async () => {
  const recording = await record();
  const directory = await scratchDirectory("crash-states");
  const [fromSeed, toSeed] = (process.env["COSTOR_CRASH_SEED"] ?? `0-${count(150, 20_000) - 1}`).split("-").map(Number);
  for (let seed = fromSeed!; seed <= (toSeed ?? fromSeed!); seed++) {
    try {
      await crashAndOpen(recording, seed, directory);
    } catch (error) {
      throw new Error(`crash state with seed ${seed}`, { cause: error });
    }
  }
});

test.run();
