/** What snapshots reach is kept again after damage and after an upgrade, as far as it can be read, and once. */
import assert from "node:assert/strict";
import { RegainedSnapshots } from "#node/site/regained-snapshots.ts";
import { type RootSealer, SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import { SnapshotKeeps, type UnreadableTree } from "#node/site/snapshot-keeps.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import { batchEntry } from "#protocol/batch.ts";
import { type AgentId, type PrimeId, type SessionId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("keeps of snapshots");
const home = sampleSite(1);
const none = { isAny: false, areSettled: async () => true, clear: async () => undefined };
const sealer: RootSealer = { seal: async (plain) => plain, open: async (sealed) => sealed };

/** A store with snapshots that nothing is kept of, as one from before keeps. */
async function make(snapshotsCount: number) {
  const store = createMemoryStore();
  const snapshots = new SnapshotRegistry({ store, sealer });
  const makers: TreeMaker[] = [];
  for (let number = 0; number < snapshotsCount; number++) {
    const maker = new TreeMaker();
    const agent = makeUuidV7(number + 1) as AgentId;
    const inner = maker.node([maker.file("a"), maker.file("b")]);
    const root = nodePointerToWire(maker.node([maker.directory("inner", inner), maker.file("c")]));
    await store.put(agent, maker.primes);
    const snapshotId = makeUuidV7(number + 1) as SnapshotId;
    const commit = { snapshotId, job: "j", roots: [], startedMs: 1, objectsCount: 1, filesCount: 1, bytes: 1 };
    const completed = { receivedMs: 1, session: makeUuidV7(1) as SessionId, commitHash: Buffer.alloc(32) };
    await store.appendFacts([await snapshots.factOf(agent, { ...commit, unreadableCount: 0, root }, completed)]);
    makers.push(maker);
  }
  const keep = (ids: readonly PrimeId[]): Promise<void> => store.keep(home, ids);
  return {
    store,
    makers,
    snapshots,
    keeps: new SnapshotKeeps({ store, primes: store, snapshots, keep, regained: none }),
    all: idsOf(...makers),
  };
}

const idsOf = (...makers: readonly TreeMaker[]): PrimeId[] =>
  makers.flatMap(({ primes }) => primes.map(({ id }) => id)).toSorted();
/** Nobody else is asked. */
const alone = (store: PrimeStore) => ({ get: (id: PrimeId) => store.get(id), bring: async () => undefined });
const bound = (store: PrimeStore): Pick<PrimeStore, "fact" | "facts" | "appendFacts"> => ({
  fact: (...place) => store.fact(...place),
  facts: (...places) => store.facts(...places),
  appendFacts: (facts) => store.appendFacts(facts),
});
const keptIn = async (store: PrimeStore): Promise<PrimeId[]> => (await Array.fromAsync(store.kept(home))).flat();
const noneExpected = ({ error }: UnreadableTree): never => assert.fail(error as Error);

test("everything that any snapshot reaches is kept, once for a generation", async () => {
  const { store, keeps, all } = await make(3);
  await keeps.run(noneExpected);
  assert.deepEqual(await keptIn(store), all);
  const readCount = store.read.length;
  await keeps.run(noneExpected);
  assert.equal(store.read.length, readCount);
});

test("a walk that was stopped goes on after the last snapshot that it ended", async () => {
  const { store, makers, snapshots, all } = await make(3);
  const stop = new AbortController();
  let keepsCount = 0;
  const keep = async (ids: readonly PrimeId[]): Promise<void> => {
    await store.keep(home, ids);
    if (++keepsCount === 1) stop.abort(new Error("stopped"));
  };
  const stopped = new SnapshotKeeps({ store, primes: store, snapshots, keep, regained: none });
  await assert.rejects(stopped.run(noneExpected, stop.signal), /stopped/);
  assert.deepEqual(await keptIn(store), idsOf(makers[0]!));
  const readCount = store.read.length;
  await new SnapshotKeeps({ store, primes: store, snapshots, keep, regained: none }).run(noneExpected);
  assert.deepEqual(await keptIn(store), all);
  assert.ok(!store.read.slice(readCount).some((id) => makers[0]!.primes.some((prime) => prime.id === id)));
});

test("what cannot be read is told of and kept, and so is all the rest; damage has all walked again", async () => {
  const { store, makers, keeps, all } = await make(2);
  await keeps.run(noneExpected);
  await store.release(home, all);
  const [first] = makers;
  // The inner directory: it comes after the two files in it.
  store.lose(first!.primes[2]!.id);
  const told: UnreadableTree[] = [];
  await keeps.run((unreadable) => told.push(unreadable));
  assert.equal(told.length, 1);
  assert.ok(isCostorError(told[0]!.error, "prime-missing"));
  const below = idsOf(first!).filter((id) => first!.primes.slice(0, 2).some((prime) => prime.id === id));
  assert.deepEqual(
    await keptIn(store),
    all.filter((id) => !below.includes(id)),
  );
  assert.equal((await Array.fromAsync(store.lostOf(home))).flat().length, 1);
});

test("snapshots that came back are so until what they reach is kept, though the site's own set leaves it out", async () => {
  const { store, snapshots, all } = await make(2);
  const keys = (await Array.fromAsync(snapshots.keys())).map(({ key }) => key);
  const regained = await RegainedSnapshots.open({ store, primes: alone(store), snapshots }, { siteId: home });
  await store.appendFacts(keys.map((key) => regained.mark(key, 1)));
  const keptAtEnd: PrimeId[][] = [];
  regained.onCleared(() => {
    assert.equal(regained.isAny, false);
    keptAtEnd.push(keptNow);
  });
  let keptNow: PrimeId[] = [];
  const keep = async (ids: readonly PrimeId[]): Promise<void> => {
    assert.ok(regained.isAny);
    await store.keep(home, ids);
    keptNow = await keptIn(store);
  };
  const keeps = new SnapshotKeeps({ store, primes: store, snapshots, keep, regained });
  await keeps.run(noneExpected);
  assert.deepEqual([regained.isAny, keptNow], [true, []]);
  assert.deepEqual(await regained.settle(), []);
  assert.ok(regained.isAny);
  await keeps.run(noneExpected);
  assert.deepEqual(keptAtEnd, [all]);
});

test("a snapshot that comes back while others are walked is walked after it was settled", async () => {
  const { store, snapshots, all } = await make(2);
  const keys = (await Array.fromAsync(snapshots.keys())).map(({ key }) => key);
  const regained = await RegainedSnapshots.open({ store, primes: alone(store), snapshots }, { siteId: home });
  let keepsCount = 0;
  const keep = async (ids: readonly PrimeId[]): Promise<void> => {
    await store.keep(home, ids);
    if (++keepsCount === 2) await store.appendFacts([regained.mark(keys[0]!, 1)]);
  };
  const keeps = new SnapshotKeeps({ store, primes: store, snapshots, keep, regained });
  await keeps.run(noneExpected);
  assert.ok(regained.isAny, "it is still to be settled");
  await regained.settle();
  await store.release(home, all);
  await keeps.run(noneExpected);
  assert.equal(regained.isAny, false);
  assert.deepEqual(await keptIn(store), all);
});

test("of a snapshot that came back others are asked for what is not kept here, and it is whole when they have all of that", async () => {
  for (const lackingCount of [0, 1]) {
    const { store, snapshots, makers } = await make(1);
    const [{ primes }] = makers as [TreeMaker];
    const { key } = (await Array.fromAsync(snapshots.keys()))[0]!;
    const elsewhere = createMemoryStore();
    const bring = async (ids: readonly PrimeId[]): Promise<void> => {
      const given = primes.filter(({ id }) => ids.includes(id)).slice(lackingCount);
      await elsewhere.putFor(home, Buffer.concat(given.flatMap(batchEntry)));
    };
    const { fact, facts, appendFacts } = bound(store);
    const mixed: PrimeStore = Object.assign(Object.create(elsewhere) as PrimeStore, { fact, facts, appendFacts });
    const regained = await RegainedSnapshots.open(
      { store: mixed, primes: { get: (id) => store.get(id), bring }, snapshots },
      { siteId: home },
    );
    await store.appendFacts([regained.mark(key, 1)]);
    assert.deepEqual(await regained.settle(), lackingCount === 0 ? [] : [key]);
  }
});

test("a store that fails ends the walk, and nothing counts as done", async () => {
  const { store, snapshots, all } = await make(1);
  const failing = new SnapshotKeeps({
    store,
    primes: store,
    snapshots,
    keep: () => Promise.reject(new Error("no room")),
    regained: none,
  });
  await assert.rejects(failing.run(noneExpected), /no room/);
  await new SnapshotKeeps({
    store,
    primes: store,
    snapshots,
    keep: (ids) => store.keep(home, ids),
    regained: none,
  }).run(noneExpected);
  assert.deepEqual(await keptIn(store), all);
});

test.run();
