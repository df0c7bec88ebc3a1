/**
 * Fingerprints in memory follow every change of what is kept: after any changes, at any moments, a comparison with the set as the store
 * has it finds no difference.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import type { SetDifference } from "#ledger/reconcile.ts";
import { KeptSets } from "#node/replication/kept-sets.ts";
import { compareSlice } from "#node/replication/slice-comparison.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeQuestion } from "#ledger/reconcile-messages.ts";
import type { SiteId } from "#protocol/ids.ts";
import { hasCode } from "#test/conformance/prime-store.ts";
import { count } from "#test/support/level.ts";
import { createMemoryStore, type MemoryStore } from "#test/support/memory-store.ts";
import { idsOf, samplePrime, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("kept sets");
const owner = sampleSite(1);
const other = sampleSite(2);
const key = createHash("sha256").update("key").digest();
const samples = Array.from({ length: 60 }, (_, seed) => samplePrime(seed, 20));

/** Its pages are small, and other things happen between them. */
function slowly(store: MemoryStore): PrimeStore {
  return Object.assign(Object.create(store) as PrimeStore, {
    async *kept(site: SiteId, prefix?: string) {
      for await (const page of store.kept(site, prefix)) {
        for (const id of page) {
          await setImmediate();
          yield [id];
        }
      }
    },
  });
}

const sets = (store: PrimeStore): KeptSets => new KeptSets({ store });

/** How the fingerprints of a set differ from the ids that the store has. */
async function differences(kept: KeptSets, site: SiteId, of = key): Promise<SetDifference[]> {
  const found: SetDifference[] = [];
  for (let slice = 0; slice < 16; slice++) {
    const ids = await kept.slice(site, slice);
    let asksCount = 0;
    const ask = (question: Uint8Array) => (asksCount++, kept.compare(site, slice, of, question));
    for await (const difference of compareSlice({ key: of, slice, ids, ask })) found.push(difference);
    assert.ok(found.length > 0 || asksCount === 1, "equal sets have equal fingerprints");
  }
  return found;
}

test("a prime that two batches bring at once is in the fingerprints once", async () => {
  const store = createMemoryStore();
  const begun: (() => void)[] = [];
  const slow = Object.assign(Object.create(store) as PrimeStore, {
    putFor: async (site: SiteId, batch: Uint8Array) => {
      await new Promise<void>((resolve) => void begun.push(resolve));
      return store.putFor(site, batch);
    },
  });
  const kept = sets(slow);
  assert.deepEqual(await differences(kept, owner), [], "all fingerprints are in memory");
  const putting = [samples.slice(0, 30), samples.slice(10, 40), samples.slice(0, 5)].map((ids) =>
    kept.put(owner, wireBatch(ids)),
  );
  await setImmediate();
  assert.equal(begun.length, 3, "they go on together");
  for (const go of begun.toReversed()) go();
  await Promise.all(putting);
  assert.deepEqual(await differences(kept, owner), []);
});

test("fingerprints follow changes that come before, between and while slices are read", async () => {
  const step = fc.record({
    what: fc.constantFrom("put", "put for another", "release", "read"),
    ids: fc.subarray(samples, { minLength: 1, maxLength: 12 }),
    isAwaited: fc.boolean(),
  });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    const kept = sets(slowly(createMemoryStore()));
    const running: Promise<unknown>[] = [];
    for (const { what, ids, isAwaited } of steps) {
      const slice = Number.parseInt(ids[0]!.id[0]!, 16);
      const question = encodeQuestion({ sums: [slice.toString(16)], below: [], finds: [] });
      const action =
        what === "put"
          ? kept.put(owner, wireBatch(ids))
          : what === "put for another"
            ? kept.put(other, wireBatch(ids))
            : what === "release"
              ? kept.release(owner, idsOf(ids))
              : Promise.all([kept.compare(owner, slice, key, question), kept.compare(other, slice, key, question)]);
      running.push(action);
      if (isAwaited) await action;
    }
    await Promise.all(running);
    assert.deepEqual(await differences(kept, owner), []);
    assert.deepEqual(await differences(kept, other), []);
  });
  await fc.assert(property, { numRuns: count(40, 1000) });
});

test("what is lost leaves the set at once, and is in it again when it comes back", async () => {
  const store = createMemoryStore();
  const kept = sets(store);
  await kept.put(owner, wireBatch(samples));
  await differences(kept, owner);
  const [lost] = samples;
  store.lose(lost!.id);
  const slice = Number.parseInt(lost!.id[0]!, 16);
  const isKept = async (): Promise<boolean> => (await kept.slice(owner, slice)).includes(lost!.id);
  assert.ok(!(await isKept()));
  assert.deepEqual(await differences(kept, owner), []);
  await kept.put(owner, wireBatch([lost!]));
  assert.ok(await isKept());
  assert.deepEqual(await differences(kept, owner), []);
});

test("a change that failed, and may have had its effect, leaves no wrong fingerprints", async () => {
  const store = createMemoryStore();
  let isFailing = false;
  const failing = Object.assign(Object.create(store) as PrimeStore, {
    putFor: async (site: SiteId, batch: Uint8Array) => {
      const result = await store.putFor(site, batch);
      if (isFailing) throw new Error("cut");
      return result;
    },
  });
  const kept = sets(failing);
  await kept.put(owner, wireBatch(samples.slice(0, 30)));
  await differences(kept, owner);
  isFailing = true;
  await assert.rejects(kept.put(owner, wireBatch(samples)), /cut/);
  assert.deepEqual(await differences(kept, owner), []);
});

test("many keys at once are answered right, though few are kept in memory", async () => {
  const kept = sets(createMemoryStore());
  await kept.put(owner, wireBatch(samples.slice(0, 20)));
  const keys = Array.from({ length: 40 }, (_, at) => createHash("sha256").update(`key ${at}`).digest());
  for (const each of keys) assert.deepEqual(await differences(kept, owner, each), []);
  await kept.put(owner, wireBatch(samples));
  await kept.release(owner, idsOf(samples.slice(0, 5)));
  for (const each of keys) assert.deepEqual(await differences(kept, owner, each), []);
});

test("a question about another slice than the one that was granted is refused", async () => {
  const kept = sets(createMemoryStore());
  for (const question of [
    { sums: ["b"], below: [], finds: [] },
    { sums: [], below: [""], finds: [] },
    { sums: [], below: [], finds: [{ prefix: "b00", tag: 1n }] },
  ])
    await assert.rejects(kept.compare(owner, 10, key, encodeQuestion(question)), hasCode("bad-encoding"));
});

test.run();
