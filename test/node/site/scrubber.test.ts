/**
 * The scrub of a site: everything is read within its time, at the pace that is set, also over restarts and with clocks that jump; people
 * can pause it, and are told which snapshots are not whole. Time passes only while the scrub sleeps.
 */
import assert from "node:assert/strict";
import type { Clock } from "#ledger/clock.ts";
import { passMs, pauseAfterStepMs } from "#node/site/scrub-pace.ts";
import { type ScrubEvent, Scrubber, type ScrubberComponents } from "#node/site/scrubber.ts";
import { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { ScrubStep } from "#node/store/prime-store.ts";
import { type AgentId, type SessionId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { createMemoryStore, type MemoryStore } from "#test/support/memory-store.ts";
import { sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("scrub of a site");
const DAY_MS = 24 * 3600_000;
const home = sampleSite(1);
const sealer = { seal: async (plain: Uint8Array) => plain, open: async (sealed: Uint8Array) => sealed };

/** Sleeping takes no time; its own clock goes on by it. */
class SleepingClock implements Clock {
  wallMs = Date.UTC(2026, 0, 5);
  ranMs = 0;
  onSleep: (durationMs: number) => void = () => undefined;

  now(): number {
    return Math.floor(this.wallMs);
  }

  elapsedMs(): number {
    return this.ranMs;
  }

  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.pass(durationMs);
    this.onSleep(durationMs);
  }

  pass(durationMs: number): void {
    this.wallMs += durationMs;
    this.ranMs += durationMs;
  }
}

interface World {
  readonly clock: SleepingClock;
  readonly store: MemoryStore & ScrubberComponents["store"];
  readonly scrubber: Scrubber;
  readonly events: ScrubEvent[];
  /** How often each of the segments was read to its end. */
  readonly readCounts: number[];
  again(): Scrubber;
  /** Runs until `isEnough`. */
  run(scrubber: Scrubber, isEnough: () => boolean): Promise<void>;
}

/** A store of segments, of which a step reads all; `tookMs`: how long that takes. */
function make({ segmentsCount = 10, segmentBytes = 1_000_000, fraction = 0.5, tookMs = 0 } = {}): World {
  const clock = new SleepingClock();
  const memory = createMemoryStore();
  const readCounts = new Array<number>(segmentsCount).fill(0);
  const totalBytes = segmentsCount * segmentBytes;
  const scrub: ScrubberComponents["store"]["scrub"] = async ({ from, until }): Promise<ScrubStep> => {
    const segment = from?.segment ?? 1;
    const end = Math.min(segmentsCount, (until?.segment ?? Infinity) - 1);
    if (segment > end) return { next: undefined, readBytes: 0, totalBytes, findings: [] };
    readCounts[segment - 1]!++;
    clock.pass(tookMs);
    const next = segment < end ? { segment: segment + 1, offset: 0 } : undefined;
    return { next, readBytes: segmentBytes, totalBytes, findings: [] };
  };
  const store = Object.assign(memory, {
    scrub,
    stats: async () => ({ ...(await createMemoryStore().stats()), segmentsCount }),
  });
  const snapshots = new SnapshotRegistry({ store, sealer });
  const rng = { bytes: () => Buffer.alloc(0), fraction: () => fraction };
  const again = (): Scrubber => new Scrubber({ store, snapshots, clock, rng });
  const events: ScrubEvent[] = [];
  const run = async (scrubber: Scrubber, isEnough: () => boolean): Promise<void> => {
    const end = new AbortController();
    clock.onSleep = () => {
      if (isEnough()) end.abort();
    };
    await scrubber.run(end.signal, (event) => {
      if (event.event === "failed") throw event.error;
      events.push(event);
    });
  };
  return { clock, store, scrubber: again(), events, readCounts, again, run };
}

async function addSnapshot(
  store: World["store"],
  agent: AgentId,
  { root, primes }: { root: ReturnType<typeof nodePointerToWire>; primes: TreeMaker["primes"] },
): Promise<SnapshotId> {
  await store.put(agent, primes);
  await store.keep(
    home,
    primes.map(({ id }) => id),
  );
  const snapshotId = makeUuidV7(1) as SnapshotId;
  const commit = { snapshotId, job: "j", roots: [], startedMs: 1, objectsCount: 1, filesCount: 1, bytes: 1 };
  const completed = { receivedMs: 1, session: makeUuidV7(1) as SessionId, commitHash: Buffer.alloc(32) };
  const registry = new SnapshotRegistry({ store, sealer });
  await store.appendFacts([await registry.factOf(agent, { ...commit, unreadableCount: 0, root }, completed)]);
  return snapshotId;
}

const passesOf = ({ events }: World) => events.flatMap((event) => (event.event === "pass-ended" ? [event.pass] : []));

test("each pass reads everything once, from a place that is drawn, and takes no more than its time", async () => {
  for (const fraction of [0, 0.5, 0.99]) {
    const world = make({ fraction });
    const startedMs = world.clock.now();
    await world.run(world.scrubber, () => passesOf(world).length === 1);
    assert.deepEqual(new Set(world.readCounts), new Set([1]), `from ${fraction}`);
    const [first] = passesOf(world);
    assert.equal(first!.readBytes, 10_000_000);
    assert.ok(first!.endedMs - startedMs <= DAY_MS);
    await world.run(world.scrubber, () => passesOf(world).length === 3);
    assert.deepEqual(new Set(world.readCounts), new Set([3]));
    assert.ok(world.clock.now() - startedMs <= 3 * DAY_MS + 600_000);
  }
});

test("a store that is large is read in 28 days, however large", async () => {
  const world = make({ segmentsCount: 2000, segmentBytes: 4_000_000_000 });
  const startedMs = world.clock.now();
  await world.run(world.scrubber, () => passesOf(world).length === 1);
  const tookDays = (passesOf(world)[0]!.endedMs - startedMs) / DAY_MS;
  assert.ok(tookDays > 27 && tookDays <= 28.1, `${tookDays} days`);
});

test("it goes on where it was after a restart, and catches up what it has missed", async () => {
  const world = make({ segmentsCount: 2000, segmentBytes: 4_000_000_000 });
  const startedMs = world.clock.now();
  let scrubber = world.scrubber;
  for (let restarts = 0; passesOf(world).length === 0; restarts++) {
    const until = world.clock.now() + 3 * DAY_MS;
    await world.run(scrubber, () => world.clock.now() > until || passesOf(world).length > 0);
    // It is off for a day.
    world.clock.pass(DAY_MS);
    scrubber = world.again();
    assert.ok(restarts < 20);
  }
  assert.deepEqual(new Set(world.readCounts), new Set([1]));
  assert.ok(passesOf(world)[0]!.endedMs - startedMs <= 30 * DAY_MS);
});

test("a set rate is kept, and the disk is read for a tenth of the time at most", async () => {
  const world = make({ segmentsCount: 50, segmentBytes: 4_000_000, tookMs: 10 });
  await world.scrubber.change({ rate: 1_000_000 });
  const startedMs = world.clock.now();
  await world.run(world.scrubber, () => passesOf(world).length === 1);
  const tookMs = passesOf(world)[0]!.endedMs - startedMs;
  assert.ok(tookMs >= 49 * 4000 && tookMs < 51 * 4000, `${tookMs} ms`);
  const slow = make({ segmentsCount: 50, segmentBytes: 4_000_000, tookMs: 1000 });
  await slow.scrubber.change({ rate: 1_000_000_000 });
  const slowStartedMs = slow.clock.now();
  await slow.run(slow.scrubber, () => passesOf(slow).length === 1);
  assert.ok(passesOf(slow)[0]!.endedMs - slowStartedMs >= 49 * 10_000);
  // Late by weeks: still no more than the disk's share.
  const late = { startedMs: 0, readBytes: 0, totalBytes: 1e12 };
  const step = { rate: null, nowMs: 2 * passMs(1e12), stepBytes: 4e6, tookMs: 100 };
  assert.equal(Math.round(pauseAfterStepMs(late, step)), 900);
});

test("a pause stops it and ends by itself after a day; resuming ends it at once", async () => {
  const world = make();
  const read = (): number => world.readCounts.reduce((sum, count) => sum + count, 0);
  assert.equal((await world.scrubber.change({ pausedForMs: 100 * DAY_MS })).state, "paused");
  const pausedMs = world.clock.now();
  // Also over a restart.
  const again = world.again();
  await world.run(again, () => world.clock.now() >= pausedMs + DAY_MS - 600_000 || read() > 0);
  assert.equal(read(), 0);
  await world.run(again, () => read() > 0);
  assert.ok(world.clock.now() <= pausedMs + DAY_MS + 1_200_000);
  await again.change({ pausedForMs: DAY_MS });
  assert.equal((await again.change({ pausedForMs: 0 })).state, "running");
});

test("a clock that was set back by years does not stop it", async () => {
  const world = make();
  await world.run(world.scrubber, () => passesOf(world).length === 1);
  await world.scrubber.change({ pausedForMs: DAY_MS });
  world.clock.wallMs -= 3 * 365 * DAY_MS;
  const backMs = world.clock.elapsedMs();
  await world.run(world.again(), () => passesOf(world).length === 2);
  assert.ok(world.clock.elapsedMs() - backMs <= 2 * DAY_MS);
});

test("a pass that a person asks for reads everything at once, tells how far it is, can be ended, and counts", async () => {
  const world = make({ fraction: 0.5 });
  const progress: number[] = [];
  const status = await world.scrubber.pass(new AbortController().signal, ({ doneBytes }) => progress.push(doneBytes));
  assert.deepEqual(
    progress,
    Array.from({ length: 10 }, (_, at) => (at + 1) * 1_000_000),
  );
  assert.equal(status.last!.readBytes, 10_000_000);
  assert.equal(status.state, "waiting");
  const end = new AbortController();
  const ended = world.scrubber.pass(end.signal, () => end.abort(new Error("ended")));
  await assert.rejects(ended, /ended/);
  assert.deepEqual(new Set(world.readCounts), new Set([1, 2]));
});

test("the end of a pass waits for what comes back, while it does; a minute after everything is back it is looked again", async () => {
  const world = make();
  const { store, clock, scrubber } = world;
  const agent = makeUuidV7(1) as AgentId;
  const maker = new TreeMaker();
  const root = nodePointerToWire(maker.node(["a", "b", "c"].map((name) => maker.directory(name, maker.node([])))));
  const snapshotId = await addSnapshot(store, agent, { root, primes: maker.primes });
  const told = () => world.events.flatMap((event) => (event.event === "snapshots-broken" ? [event.broken.length] : []));
  const lost = maker.primes.slice(-2);
  for (const { id } of lost) store.lose(id);
  // One comes with each look.
  const coming = [...lost];
  clock.onSleep = () => void coming.splice(0, 1).forEach((prime) => void store.put(agent, [prime]));
  const whole = await scrubber.pass(new AbortController().signal, () => undefined);
  assert.deepEqual([whole.broken, coming], [[], []]);
  clock.onSleep = () => undefined;
  for (const { id } of lost) store.lose(id);
  const beganMs = clock.elapsedMs();
  const broken = await scrubber.pass(new AbortController().signal, () => undefined);
  assert.deepEqual(
    broken.broken.map(({ snapshot }) => snapshot),
    [snapshotId],
  );
  assert.ok(clock.elapsedMs() - beganMs < 60_000);
  await store.put(agent, lost);
  const backMs = clock.elapsedMs();
  await world.run(scrubber, () => clock.elapsedMs() > backMs + 60_000);
  assert.deepEqual(told(), [0]);
});

test("snapshots that are not whole are told of once, and again when they are", async () => {
  const world = make();
  const { store } = world;
  const maker = new TreeMaker();
  const agent = makeUuidV7(1) as AgentId;
  const root = nodePointerToWire(
    maker.node([maker.directory("inner", maker.node([maker.file("a")])), maker.file("c")]),
  );
  const snapshotId = await addSnapshot(store, agent, { root, primes: maker.primes });
  const told = () => world.events.flatMap((event) => (event.event === "snapshots-broken" ? [event.broken.length] : []));
  await world.run(world.scrubber, () => passesOf(world).length === 1);
  assert.deepEqual(told(), []);
  for (const lost of maker.primes) {
    world.events.length = 0;
    store.lose(lost.id);
    const lostMs = world.clock.elapsedMs();
    const scrubber = world.again();
    await world.run(scrubber, () => world.clock.elapsedMs() > lostMs + 3_600_000);
    assert.deepEqual(told(), [1]);
    assert.deepEqual(
      (await scrubber.status()).broken.map(({ snapshot }) => snapshot),
      [snapshotId],
    );
    await store.put(agent, [lost]);
    const backMs = world.clock.elapsedMs();
    await world.run(world.again(), () => world.clock.elapsedMs() > backMs + 3_600_000);
    assert.deepEqual(told(), [1, 0]);
  }
});

test.run();
