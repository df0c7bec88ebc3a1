/** What every `PrimeStore` must do. A test file opens its own kind of store and calls `testPrimeStore`. */
import assert from "node:assert/strict";
import type { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import type { PrimeStore, ScrubPlace } from "#node/store/prime-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { idsOf, sampleAgent, samplePrime, samplePrimes, wireBatch } from "#test/support/store-samples.ts";
import type { Suite } from "#test/support/suite.ts";

export type OpenStore = (directory: string) => Promise<PrimeStore>;

export const hasCode = (code: string) => (error: unknown) => {
  assert.equal((error as CostorError).code, code);
  return true;
};

export function testPrimeStore(test: Suite, open: OpenStore): void {
  const agent = sampleAgent(1);
  const other = sampleAgent(2);
  const withStore = async (
    run: (store: PrimeStore, reopen: () => Promise<PrimeStore>) => Promise<void>,
  ): Promise<void> => {
    const directory = await scratchDirectory("store");
    let store = await open(directory);
    try {
      await run(store, async () => {
        await store[Symbol.asyncDispose]();
        return (store = await open(directory));
      });
    } finally {
      await store[Symbol.asyncDispose]();
    }
  };

  test("what was put is read again, also after reopening", () =>
    withStore(async (store, reopen) => {
      const primes = [...samplePrimes(1, 20, 3000), samplePrime(7, 0), samplePrime(8, 1), samplePrime(9, 300_000)];
      await store.put(agent, primes);
      const generation = store.generation;
      const again = await reopen();
      assert.equal(again.generation, generation);
      for (const { id, stored } of primes) assert.ok((await again.get(id)).equals(stored));
      const many = await again.getMany(idsOf(primes.toReversed()));
      assert.deepEqual(
        many,
        primes.toReversed().map(({ stored }) => stored),
      );
    }));

  test("a batch off the wire is kept as the primes that it holds", () =>
    withStore(async (store) => {
      const primes = samplePrimes(2, 5, 900);
      assert.deepEqual(await store.putBatch(agent, wireBatch(primes)), { storedCount: 5 });
      assert.deepEqual(
        await store.getMany(idsOf(primes)),
        primes.map(({ stored }) => stored),
      );
    }));

  test("putting the same primes again, at once and later, changes nothing", () =>
    withStore(async (store) => {
      const primes = samplePrimes(3, 4, 500);
      await Promise.all([store.put(agent, primes), store.put(agent, [...primes, ...primes]), store.put(other, primes)]);
      const before = await store.stats();
      await store.put(agent, primes);
      assert.equal(before.primesCount, 4);
      assert.deepEqual(
        { ...(await store.stats()), freeBytes: 0, indexBytes: 0 },
        { ...before, freeBytes: 0, indexBytes: 0 },
      );
    }));

  test("an agent has sent only what it sent itself", () =>
    withStore(async (store, reopen) => {
      const [mine, theirs, ours, nobodys] = samplePrimes(4, 4, 100);
      await store.put(agent, [mine!, ours!]);
      await store.put(other, [theirs!, ours!]);
      const ids = idsOf([mine!, theirs!, ours!, nobodys!]);
      assert.deepEqual(await store.hasSent(agent, ids), [true, false, true, false]);
      assert.deepEqual(await (await reopen()).hasSent(other, ids), [false, true, true, false]);
    }));

  test("what an agent is said to have sent it has sent once it is here", () =>
    withStore(async (store, reopen) => {
      const [first, second] = samplePrimes(4, 2, 300);
      await store.put(agent, [first!]);
      await store.claim(other, [first!.id, second!.id]);
      await store.claim(other, []);
      const ids = [first!.id, second!.id];
      assert.deepEqual(await store.hasSent(other, ids), [true, false]);
      assert.deepEqual(await store.has(ids), [true, false]);
      assert.deepEqual(await store.hasClaimed(other, ids), [true, true]);
      assert.deepEqual(await store.hasClaimed(agent, ids), [true, false]);
      await store.put(agent, [second!]);
      assert.deepEqual(await store.has(ids), [true, true]);
      assert.deepEqual(await (await reopen()).hasSent(other, ids), [true, true]);
    }));

  test("a scrub of a sound store comes to its end and finds nothing, and its index is as it was written", () =>
    withStore(async (store) => {
      await store.put(agent, samplePrimes(5, 30, 300));
      let readBytes = 0;
      for (let from: ScrubPlace | undefined, isFirst = true; isFirst || from !== undefined; isFirst = false) {
        const step = await store.scrub({ from, until: undefined, bytes: 1000 });
        assert.deepEqual(step.findings, []);
        readBytes += step.readBytes;
        assert.ok(readBytes <= step.totalBytes);
        from = step.next;
      }
      assert.ok(readBytes >= 30 * 300);
      assert.equal(await store.verifyIndex(), true);
    }));

  test("a prime under a wrong id is refused with all of its batch, and its number is named", () =>
    withStore(async (store) => {
      const [first, second, third] = samplePrimes(5, 3, 100);
      const wrong = { id: second!.id, stored: third!.stored };
      const names = (error: CostorError) => error.code === "prime-mismatch" && error.details["index"] === 1;
      await assert.rejects(store.put(agent, [first!, wrong]), names);
      await assert.rejects(store.putBatch(agent, wireBatch([first!, wrong])), names);
      assert.deepEqual(await store.hasSent(agent, [first!.id, second!.id]), [false, false]);
    }));

  test("batches that are cut short, too long or too many are refused", () =>
    withStore(async (store) => {
      const batch = wireBatch(samplePrimes(6, 2, 100));
      for (const length of [1, 35, 36, 135, batch.length - 1]) {
        await assert.rejects(store.putBatch(agent, batch.slice(0, length)), hasCode("bad-request"));
      }
      await assert.rejects(store.putBatch(agent, new Uint8Array(limits.batchBytes + 1)), hasCode("limit-exceeded"));
      const large = wireBatch([samplePrime(1, 10)]);
      new DataView(large.buffer).setUint32(32, limits.primeStoredBytes + 1);
      await assert.rejects(store.putBatch(agent, large), hasCode("limit-exceeded"));
      const tooLarge = { id: samplePrime(1, 1).id, stored: new Uint8Array(limits.primeStoredBytes + 1) };
      await assert.rejects(store.put(agent, [tooLarge]), hasCode("limit-exceeded"));
      const many = wireBatch(Array.from({ length: limits.batchPrimesCount + 1 }, (_, at) => samplePrime(at, 0)));
      await assert.rejects(store.putBatch(agent, many), hasCode("limit-exceeded"));
      assert.equal((await store.stats()).primesCount, 0);
    }));

  test("a prime that is not held is reported missing", () =>
    withStore(async (store) => {
      await assert.rejects(store.get(samplePrime(1, 9).id), hasCode("prime-missing"));
      await assert.rejects(store.getMany([samplePrime(1, 9).id]), hasCode("prime-missing"));
    }));

  test("the newest fact of a kind and key counts, removed ones are gone, and kinds do not mix", () =>
    withStore(async (store, reopen) => {
      const fact = (kind: string, key: string, value: string | undefined) => ({
        kind,
        key,
        value: value === undefined ? undefined : Buffer.from(value),
      });
      await store.appendFacts([
        fact("agent", "b", "1"),
        fact("agent", "a", "1"),
        fact("agents", "a", "x"),
        fact("agent", "ä", "é"),
        fact("agent", "", "empty"),
      ]);
      await store.appendFacts([
        fact("agent", "a", "2"),
        fact("agent", "b", undefined),
        fact("agent", "b", "3"),
        fact("agents", "a", undefined),
      ]);
      for (const next of [async () => store, reopen]) {
        const each = await next();
        const found: [string, string][] = [];
        for await (const { key, value } of each.facts("agent")) found.push([key, value.toString()]);
        assert.deepEqual(found, [
          ["", "empty"],
          ["a", "2"],
          ["b", "3"],
          ["ä", "é"],
        ]);
        assert.equal((await each.fact("agent", "a"))?.toString(), "2");
        assert.equal(await each.fact("agents", "a"), undefined);
        assert.equal(await each.fact("session", "a"), undefined);
      }
    }));

  test("facts are listed by prefix, over many pages, in byte order", () =>
    withStore(async (store) => {
      const keys = Array.from({ length: 1200 }, (_, at) => `p/${String((at * 7919) % 1200).padStart(4, "0")}`);
      await store.appendFacts(
        [...keys, "o", "p", "p0", "q"].map((key) => ({ kind: "many", key, value: Buffer.from(key) })),
      );
      const found: string[] = [];
      for await (const { key } of store.facts("many", "p/")) found.push(key);
      assert.deepEqual(found, keys.toSorted());
    }));

  test("facts past their limits are refused", () =>
    withStore(async (store) => {
      const value = Buffer.alloc(0);
      await assert.rejects(store.appendFacts([{ kind: "Upper", key: "", value }]), hasCode("bad-request"));
      await assert.rejects(store.appendFacts([{ kind: "", key: "", value }]), hasCode("bad-request"));
      await assert.rejects(
        store.appendFacts([{ kind: "a", key: "k".repeat(limits.factKeyBytes + 1), value }]),
        hasCode("limit-exceeded"),
      );
      await assert.rejects(
        store.appendFacts([{ kind: "a", key: "", value: Buffer.alloc(limits.factValueBytes + 1) }]),
        hasCode("limit-exceeded"),
      );
    }));

  test("closed marks last until primes are removed, and are not set for trees walked before", () =>
    withStore(async (store) => {
      const [prime] = samplePrimes(7, 1, 50);
      await store.put(agent, [prime!]);
      await store.markClosed(["a", "b"]);
      assert.deepEqual(await store.areClosed(["a", "c", "b"]), [true, false, true]);
      const epoch = await store.closedEpoch();
      await store.remove([prime!.id]);
      assert.deepEqual(await store.areClosed(["a", "b"]), [false, false]);
      await store.markClosed(["a"], epoch);
      assert.deepEqual(await store.areClosed(["a"]), [false]);
    }));

  test("a removed prime is gone for every agent, and can be put again", () =>
    withStore(async (store, reopen) => {
      const primes = samplePrimes(8, 3, 200);
      await store.put(agent, primes);
      await store.put(other, primes);
      assert.equal((await store.remove([primes[0]!.id])).removedPrimesCount, 1);
      await assert.rejects(store.get(primes[0]!.id), hasCode("prime-missing"));
      await store.put(other, [primes[0]!]);
      const again = await reopen();
      assert.ok((await again.get(primes[0]!.id)).equals(primes[0]!.stored));
      assert.deepEqual(await again.hasSent(agent, idsOf(primes)), [false, true, true]);
      assert.deepEqual(await again.hasSent(other, idsOf(primes)), [true, true, true]);
    }));

  test("a check of a sound store finds nothing, and a rebuilt index answers the same", () =>
    withStore(async (store) => {
      const primes = samplePrimes(9, 10, 400);
      await store.put(agent, primes);
      await store.appendFacts([{ kind: "a", key: "k", value: Buffer.from("v") }]);
      const progress: number[] = [];
      const report = await store.check({ readData: true, onProgress: ({ doneBytes }) => progress.push(doneBytes) });
      assert.deepEqual(report.findings, []);
      assert.equal(report.verifiedPrimesCount, 10);
      assert.ok(progress.length > 0);
      await store.rebuildIndex();
      assert.deepEqual(
        await store.hasSent(agent, idsOf(primes)),
        primes.map(() => true),
      );
      assert.equal((await store.fact("a", "k"))?.toString(), "v");
      const aborted = AbortSignal.abort(new Error("enough"));
      await assert.rejects(store.check({ readData: true, signal: aborted }), /enough/);
    }));

  test("a second store on the same directory is refused while the first is open", async () => {
    const directory = await scratchDirectory("store");
    const store = await open(directory);
    try {
      await assert.rejects(open(directory), hasCode("store-locked"));
    } finally {
      await store[Symbol.asyncDispose]();
    }
    await (await open(directory))[Symbol.asyncDispose]();
  });

  test("a closed store refuses everything", async () => {
    const store = await open(await scratchDirectory("store"));
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.put(agent, samplePrimes(1, 1, 10)), hasCode("store-failed"));
    await assert.rejects(store.appendFacts([{ kind: "a", key: "", value: Buffer.alloc(0) }]), hasCode("store-failed"));
    await assert.rejects(store.hasSent(agent, idsOf(samplePrimes(1, 1, 10))), hasCode("store-failed"));
  });
}
