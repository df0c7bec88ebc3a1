/** What every `PrimeStore` must do when what nothing reaches any more is collected. `open` gives a store in a directory. */
import assert from "node:assert/strict";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { hasCode, type OpenStore } from "#test/conformance/prime-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import type { Suite } from "#test/support/suite.ts";

export function testCollectedPrimes(test: Suite, open: OpenStore): void {
  const [agent, other] = [sampleAgent(1), sampleAgent(2)];
  const [home, owner] = [sampleSite(1), sampleSite(2)];
  const withStore = async (run: (store: PrimeStore) => Promise<void>): Promise<void> => {
    await using store = await open(await scratchDirectory("collected"));
    await run(store);
  };
  const areHere = async (store: PrimeStore, ids: readonly PrimeId[]): Promise<boolean[]> =>
    Promise.all(
      ids.map((id) =>
        store.get(id).then(
          () => true,
          (error: unknown) => !hasCode("prime-missing")(error),
        ),
      ),
    );
  const allOf = async (pages: AsyncIterable<PrimeId[]>): Promise<PrimeId[]> => (await Array.fromAsync(pages)).flat();

  test("what is collected is gone with its keeps and claims, and may be sent anew", () =>
    withStore(async (store) => {
      const primes = samplePrimes(50, 6, 100);
      const ids = idsOf(primes);
      await store.put(agent, primes);
      await store.put(other, primes.slice(0, 3));
      await store.keep(home, ids);
      const going = ids.slice(0, 4);
      const expected = { removedPrimesCount: 4, removedBytes: 400 };
      assert.deepEqual(await store.collect(home, going, { relying: [], isDry: true }), expected);
      assert.deepEqual(await areHere(store, ids), Array(6).fill(true));
      assert.deepEqual(await store.collect(home, [...going, ...going], { relying: [] }), expected);
      assert.deepEqual(await areHere(store, ids), [false, false, false, false, true, true]);
      assert.deepEqual(await store.hasSent(agent, ids), [false, false, false, false, true, true]);
      assert.deepEqual(await store.hasKept(home, ids), [false, false, false, false, true, true]);
      assert.deepEqual(await allOf(store.sent()), ids.slice(4).toSorted());
      assert.deepEqual(await store.collect(home, going, { relying: [] }), { removedPrimesCount: 0, removedBytes: 0 });
      await store.put(other, primes.slice(0, 1));
      assert.deepEqual(await store.hasSent(other, ids.slice(0, 2)), [true, false]);
      await store.compact();
    }));

  test("what a relying agent has sent stays as it is, and what others have sent goes", () =>
    withStore(async (store) => {
      const primes = samplePrimes(51, 3, 100);
      const ids = idsOf(primes);
      await store.put(agent, primes.slice(0, 2));
      await store.put(other, primes.slice(1));
      await store.keep(home, ids);
      const report = await store.collect(home, ids, { relying: [agent] });
      assert.equal(report.removedPrimesCount, 1);
      assert.deepEqual(await store.hasSent(agent, ids), [true, true, false]);
      assert.deepEqual(await store.hasSent(other, ids), [false, true, false]);
      assert.deepEqual(await store.hasKept(home, ids), [true, true, false]);
    }));

  test("what is kept for another site stays here, and its agents have to send it again", () =>
    withStore(async (store) => {
      const primes = samplePrimes(52, 2, 100);
      const ids = idsOf(primes);
      await store.put(agent, primes);
      await store.keep(home, ids);
      await store.putFor(owner, wireBatch(primes.slice(0, 1)));
      assert.equal((await store.collect(home, ids, { relying: [] })).removedPrimesCount, 1);
      assert.deepEqual(await areHere(store, ids), [true, false]);
      assert.deepEqual(await store.hasSent(agent, ids), [false, false]);
      assert.deepEqual(await store.hasKept(home, ids), [false, false]);
      assert.deepEqual(await store.hasKept(owner, ids), [true, false]);
    }));

  test("a collection ends all closed marks", () =>
    withStore(async (store) => {
      const primes = samplePrimes(53, 1, 100);
      await store.put(agent, primes);
      await store.markClosed(["mark"]);
      await store.collect(home, idsOf(primes), { relying: [] });
      assert.deepEqual(await store.areClosed(["mark"]), [false]);
    }));

  test("what a relying agent puts while it is collected is not lost", () =>
    withStore(async (store) => {
      const primes = samplePrimes(54, 40, 100);
      const ids = idsOf(primes);
      await store.put(agent, primes);
      await store.keep(home, ids);
      for (let round = 0; round < 5; round++) {
        const collected = store.collect(home, ids, { relying: [other] });
        const put = store.put(other, primes);
        await Promise.all([collected, put]);
        assert.deepEqual(await store.hasSent(other, ids), Array(40).fill(true));
        assert.deepEqual(await areHere(store, ids), Array(40).fill(true));
      }
    }));
}
