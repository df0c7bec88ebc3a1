/**
 * Random sequences of everything that a store is asked to do, against a model of a few maps. After each sequence the
 * store answers as the model does, a check finds nothing, and a rebuild gives an equal index.
 */
import assert from "node:assert/strict";
import { sliceOf } from "#ledger/slice.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { count } from "#test/support/level.ts";
import { RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { sampleAgent, samplePrime, type SamplePrime, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store against a model", { timeoutMs: count(120_000, 1_800_000) });

const sites = [sampleSite(1), sampleSite(2)];

class Model {
  readonly primes = new Set<PrimeId>();
  readonly claims = new Set<string>();
  readonly facts = new Map<string, string>();
  readonly keeps = new Map<SiteId, Set<PrimeId>>(sites.map((site) => [site, new Set()]));

  put(agent: AgentId, { id }: SamplePrime): void {
    this.primes.add(id);
    this.claims.add(`${agent} ${id}`);
  }

  putFor(site: SiteId, { id }: SamplePrime): void {
    this.primes.add(id);
    this.keeps.get(site)!.add(id);
  }

  release(site: SiteId, id: PrimeId): void {
    this.keeps.get(site)!.delete(id);
    const isKept = [...this.keeps.values()].some((ids) => ids.has(id));
    if (!isKept && ![...this.claims].some((claim) => claim.endsWith(id))) this.remove(id);
  }

  /** Whether the prime goes. */
  collect(site: SiteId, id: PrimeId, relying: readonly AgentId[]): boolean {
    if (relying.some((agent) => this.claims.has(`${agent} ${id}`))) return false;
    this.keeps.get(site)!.delete(id);
    const isKept = [...this.keeps.values()].some((ids) => ids.has(id));
    // Who has sent what was lost is not looked for.
    const isHere = this.primes.has(id);
    if (isKept && isHere) for (const claim of this.claims) if (claim.endsWith(id)) this.claims.delete(claim);
    if (!isKept) this.remove(id);
    return isHere && !isKept;
  }

  remove(id: PrimeId): void {
    this.primes.delete(id);
    for (const claim of this.claims) if (claim.endsWith(id)) this.claims.delete(claim);
  }
}

const agents = [sampleAgent(1), sampleAgent(2), sampleAgent(3)];
const samples = Array.from({ length: 60 }, (_, at) => samplePrime(at, (at * 97) % 2500));

async function runSequence(seed: number): Promise<number> {
  const random = seededRandom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const directory = await scratchDirectory("model");
  const disk = new RecordingDisk();
  const open = () => SegmentStore.open({ directory, segmentBytes: 8 * 1024, reserveFileBytes: 0 }, { disk });
  const model = new Model();
  let store = await open();
  let removedSegmentsCount = 0;
  const steps: readonly (() => Promise<unknown>)[] = [
    ...Array.from({ length: 5 }, () => async () => {
      const agent = pick(agents);
      const primes = Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(samples));
      await store.put(agent, primes);
      for (const prime of primes) model.put(agent, prime);
    }),
    ...Array.from({ length: 3 }, () => async () => {
      const key = `k${Math.floor(random() * 8)}`;
      const value = random() < 0.3 ? undefined : String(random());
      await store.appendFacts([{ kind: "model", key, value: value === undefined ? undefined : Buffer.from(value) }]);
      if (value === undefined) model.facts.delete(key);
      else model.facts.set(key, value);
    }),
    ...Array.from({ length: 2 }, () => async () => {
      const site = pick(sites);
      const primes = [...new Set(Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(samples)))];
      await store.putFor(site, wireBatch(primes));
      for (const prime of primes) model.putFor(site, prime);
    }),
    async () => {
      const site = pick(sites);
      const ids = samples.filter(() => random() < 0.2).map(({ id }) => id);
      await store.keep(site, ids);
      for (const id of ids) model.keeps.get(site)!.add(id);
    },
    async () => {
      const site = pick(sites);
      const ids = samples.filter(() => random() < 0.4).map(({ id }) => id);
      const before = model.primes.size;
      const report = await store.release(site, ids);
      for (const id of ids) model.release(site, id);
      assert.equal(report.removedPrimesCount, before - model.primes.size);
      removedSegmentsCount += report.removedSegmentsCount;
    },
    async () => {
      const site = pick(sites);
      const ids = samples.filter(() => random() < 0.4).map(({ id }) => id);
      const relying = agents.filter(() => random() < 0.3);
      const told = await store.collect(site, ids, { relying, isDry: true });
      const report = await store.collect(site, ids, { relying });
      assert.deepEqual(report, told);
      assert.equal(report.removedPrimesCount, ids.filter((id) => model.collect(site, id, relying)).length);
      removedSegmentsCount += (await store.compact()).removedSegmentsCount;
    },
    async () => {
      const ids = samples.filter(() => random() < 0.4).map(({ id }) => id);
      removedSegmentsCount += (await store.remove(ids)).removedSegmentsCount;
      for (const id of ids) model.remove(id);
    },
    async () => {
      await store[Symbol.asyncDispose]();
      store = await open();
    },
    async () => {
      const before = await store.dump();
      await store.rebuildIndex();
      assert.deepEqual(await store.dump(), before);
    },
  ];
  try {
    for (let step = 0; step < 80; step++) await pick(steps)();
    for (const { id, stored } of samples) {
      const found = await store.get(id).catch(() => undefined);
      assert.equal(found !== undefined, model.primes.has(id));
      if (found !== undefined) assert.ok(found.equals(stored));
    }
    for (const agent of agents) {
      const sent = await store.hasSent(
        agent,
        samples.map(({ id }) => id),
      );
      assert.deepEqual(
        sent,
        samples.map(({ id }) => model.claims.has(`${agent} ${id}`)),
      );
    }
    const sent = new Set([...model.claims].map((claim) => claim.split(" ")[1] as PrimeId));
    assert.deepEqual((await Array.fromAsync(store.sent())).flat(), [...sent].toSorted());
    const facts = new Map<string, string>();
    for await (const { key, value } of store.facts("model")) facts.set(key, value.toString());
    assert.deepEqual(facts, new Map([...model.facts].toSorted(([a], [b]) => (a < b ? -1 : 1))));
    assert.equal((await store.stats()).primesCount, model.primes.size);
    const stored = new Map(samples.map((prime) => [prime.id, prime.stored.length]));
    const totals = new Map((await store.keptTotals()).map((total) => [total.site, total]));
    for (const [site, ids] of model.keeps) {
      const lost = [...ids].filter((id) => !model.primes.has(id)).toSorted();
      assert.deepEqual((await Array.fromAsync(store.kept(site))).flat(), [...ids].toSorted());
      assert.deepEqual((await Array.fromAsync(store.lostOf(site))).flat(), lost);
      const bytes = [...ids].reduce((sum, id) => sum + (model.primes.has(id) ? stored.get(id)! : 0), 0);
      const total = ids.size === 0 ? undefined : { site, count: ids.size, bytes, lostCount: lost.length };
      assert.deepEqual(totals.get(site), total);
    }
    assert.ok(totals.size <= sites.length);
    for (const site of sites) {
      const bySlice = Map.groupBy(await Array.fromAsync(model.keeps.get(site)!), sliceOf);
      for (const { slice, ...total } of await store.keptSlices(site)) {
        const ids = bySlice.get(slice)!;
        const here = ids.filter((id) => model.primes.has(id));
        const bytes = here.reduce((sum, id) => sum + stored.get(id)!, 0);
        assert.deepEqual(total, { count: ids.length, bytes, lostCount: ids.length - here.length });
        bySlice.delete(slice);
      }
      assert.equal(bySlice.size, 0);
    }
    const before = await store.dump();
    assert.deepEqual((await store.check({ readData: true })).findings, []);
    await store.rebuildIndex();
    assert.deepEqual(await store.dump(), before);
  } finally {
    await store[Symbol.asyncDispose]();
  }
  return removedSegmentsCount;
}

test("random work leaves what the model says", async () => {
  let removedSegmentsCount = 0;
  for (let seed = 0; seed < count(15, 2000); seed++) {
    try {
      removedSegmentsCount += await runSequence(seed);
    } catch (error) {
      throw new Error(`sequence with seed ${seed}`, { cause: error });
    }
  }
  assert.ok(removedSegmentsCount > 20, "segments are emptied");
});

test.run();
