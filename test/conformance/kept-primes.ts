/** What every `PrimeStore` must do about what it keeps for sites. `open` gives a store in a directory. */
import assert from "node:assert/strict";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { hasCode, type OpenStore } from "#test/conformance/prime-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import {
  idsOf,
  sampleAgent,
  samplePrime,
  samplePrimes,
  sampleSite,
  type SamplePrime,
  wireBatch,
} from "#test/support/store-samples.ts";
import type { Suite } from "#test/support/suite.ts";

async function allOf(pages: AsyncIterable<PrimeId[]>): Promise<PrimeId[]> {
  const ids: PrimeId[] = [];
  for await (const page of pages) {
    assert.ok(page.length > 0, "a page is never empty");
    ids.push(...page);
  }
  return ids;
}

const sorted = (primes: readonly SamplePrime[]): PrimeId[] => idsOf(primes).toSorted();

/** `isDurable`: opening the same directory again gives the same store. */
export function testKeptPrimes(test: Suite, open: OpenStore, { isDurable = true } = {}): void {
  const agent = sampleAgent(1);
  const site = sampleSite(1);
  const other = sampleSite(2);
  const withStore = async (run: (store: PrimeStore) => Promise<void>, look: (store: PrimeStore) => Promise<void>) => {
    const directory = await scratchDirectory("kept");
    let store = await open(directory);
    try {
      await run(store);
      await look(store);
      await store.rebuildIndex();
      await look(store);
      if (!isDurable) return;
      await store[Symbol.asyncDispose]();
      store = await open(directory);
      await look(store);
    } finally {
      await store[Symbol.asyncDispose]();
    }
  };
  const totalOf = async (store: PrimeStore, of: SiteId) =>
    (await store.keptTotals()).find((total) => total.site === of);

  test("what is kept for a site is listed in order and by prefix, for that site alone, also when it is not here", () => {
    const primes = samplePrimes(20, 40, 100);
    return withStore(
      async (store) => {
        await store.put(agent, primes.slice(0, 30));
        await store.keep(site, idsOf(primes));
        await store.keep(site, idsOf(primes.slice(5, 15)));
        await store.keep(other, idsOf(primes.slice(0, 1)));
        await store.keep(other, []);
      },
      async (store) => {
        assert.deepEqual(await allOf(store.kept(site)), sorted(primes));
        assert.deepEqual(await allOf(store.kept(other)), [primes[0]!.id]);
        assert.deepEqual(await allOf(store.kept(sampleSite(3))), []);
        for (const prefix of ["0", "a", primes[3]!.id.slice(0, 2), primes[3]!.id.slice(0, 7), primes[3]!.id])
          assert.deepEqual(
            await allOf(store.kept(site, prefix)),
            sorted(primes).filter((id) => id.startsWith(prefix)),
          );
        assert.deepEqual(await store.hasKept(site, [primes[39]!.id, samplePrime(1, 1).id]), [true, false]);
        assert.deepEqual(await store.hasKept(other, [primes[39]!.id, primes[0]!.id]), [false, true]);
        assert.deepEqual(await allOf(store.lostOf(site)), sorted(primes.slice(30)));
        assert.deepEqual(await allOf(store.lostOf(other)), []);
        assert.deepEqual(await store.keptTotals(), [
          ...[
            { site, count: 40, bytes: 3000, lostCount: 10 },
            { site: other, count: 1, bytes: 100, lostCount: 0 },
          ].toSorted((left, right) => (left.site < right.site ? -1 : 1)),
        ]);
        const slices = [...new Set(primes.map(({ id }) => id.charAt(0)))].toSorted();
        assert.deepEqual(
          await store.keptSlices(site),
          slices.map((digit) => {
            const count = primes.filter(({ id }) => id.startsWith(digit)).length;
            const hereCount = primes.slice(0, 30).filter(({ id }) => id.startsWith(digit)).length;
            return {
              ...{ slice: Number.parseInt(digit, 16), count },
              ...{ bytes: 100 * hereCount, lostCount: count - hereCount },
            };
          }),
        );
      },
    );
  });

  test("more is listed than a page has", () => {
    const ids = Array.from({ length: 10_000 }, (_, at) => samplePrime(at, 8).id);
    return withStore(
      (store) => store.keep(site, ids),
      async (store) => {
        assert.deepEqual(await allOf(store.kept(site)), ids.toSorted());
        assert.deepEqual(await allOf(store.lostOf(site)), ids.toSorted());
        assert.equal((await totalOf(store, site))?.lostCount, 10_000);
      },
    );
  });

  test("a batch for a site is put and kept, and no agent has sent it", () => {
    const primes = samplePrimes(21, 6, 700);
    return withStore(
      async (store) => {
        const counted = { storedCount: 6, storedBytes: 4200 };
        assert.deepEqual(await store.putFor(site, wireBatch(primes)), counted);
        assert.deepEqual(await store.putFor(site, wireBatch(primes)), counted);
      },
      async (store) => {
        const stored = primes.map((prime) => prime.stored);
        assert.deepEqual(await store.getMany(idsOf(primes)), stored);
        assert.deepEqual(await allOf(store.kept(site)), sorted(primes));
        assert.ok(!(await store.hasSent(agent, idsOf(primes))).includes(true));
        assert.deepEqual(await totalOf(store, site), { site, count: 6, bytes: 4200, lostCount: 0 });
      },
    );
  });

  test("a batch for a site with a wrong prime, or cut short, leaves nothing", () => {
    const [first, second] = samplePrimes(22, 2, 100);
    return withStore(
      async (store) => {
        const wrong = wireBatch([first!, { id: second!.id, stored: samplePrime(1, 100).stored }]);
        await assert.rejects(store.putFor(site, wrong), hasCode("prime-mismatch"));
        await assert.rejects(store.putFor(site, wireBatch([first!]).slice(0, -1)), hasCode("bad-request"));
      },
      async (store) => {
        assert.deepEqual(await store.keptTotals(), []);
        await assert.rejects(store.get(first!.id), hasCode("prime-missing"));
      },
    );
  });

  test("a release removes what nobody else keeps or has sent, and only that", () => {
    const primes = samplePrimes(23, 4, 300);
    const [alone, shared, sent, absent] = primes as [SamplePrime, SamplePrime, SamplePrime, SamplePrime];
    return withStore(
      async (store) => {
        await store.putFor(site, wireBatch([alone, shared, sent]));
        await store.putFor(other, wireBatch([shared]));
        await store.put(agent, [sent]);
        await store.keep(site, [absent.id]);
        assert.equal((await store.release(site, idsOf(primes))).removedPrimesCount, 1);
        assert.equal((await store.release(site, idsOf(primes))).removedPrimesCount, 0);
      },
      async (store) => {
        assert.deepEqual(await allOf(store.kept(site)), []);
        assert.deepEqual(await store.keptTotals(), [{ site: other, count: 1, bytes: 300, lostCount: 0 }]);
        await assert.rejects(store.get(alone.id), hasCode("prime-missing"));
        assert.ok((await store.get(shared.id)).equals(shared.stored));
        assert.ok((await store.get(sent.id)).equals(sent.stored));
      },
    );
  });

  test("sites that release the same prime at once remove it together", () => {
    const [prime] = samplePrimes(24, 1, 300);
    return withStore(
      async (store) => {
        await Promise.all([store.putFor(site, wireBatch([prime!])), store.putFor(other, wireBatch([prime!]))]);
        await Promise.all([store.release(site, [prime!.id]), store.release(other, [prime!.id])]);
      },
      async (store) => {
        assert.deepEqual(await store.keptTotals(), []);
        await assert.rejects(store.get(prime!.id), hasCode("prime-missing"));
      },
    );
  });

  test("what is put or kept while it is released is not lost", async () => {
    const primes = samplePrimes(25, 30, 200);
    const [before, mine, theirs] = [primes, primes.slice(0, 10), primes.slice(10, 20)];
    const kept = primes.slice(20);
    for (let turns = 0; turns < 3; turns++) {
      for (const isReleaseFirst of [true, false]) {
        await withStore(
          async (store) => {
            await store.putFor(site, wireBatch(before));
            const release = () => store.release(site, idsOf(before));
            const first = isReleaseFirst ? release() : undefined;
            for (let turn = 0; turn < turns; turn++) await null;
            const others = [
              store.put(agent, mine),
              store.putFor(other, wireBatch(theirs)),
              store.putFor(site, wireBatch(kept)),
            ];
            await Promise.all([first ?? release(), ...others]);
            if (isReleaseFirst) return;
            // These may have come before the release, which then was right to end them.
            await store.putFor(site, wireBatch(kept));
          },
          async (store) => {
            for (const { id, stored } of primes) assert.ok((await store.get(id)).equals(stored));
            assert.ok(!(await store.hasSent(agent, idsOf(mine))).includes(false));
            assert.deepEqual(await allOf(store.kept(other)), sorted(theirs));
            assert.deepEqual(await allOf(store.kept(site)), sorted(kept));
          },
        );
      }
    }
  });

  test("a removed prime that is kept is lost, and comes back with the next that puts it", () => {
    const primes = samplePrimes(26, 3, 250);
    return withStore(
      async (store) => {
        await store.putFor(site, wireBatch(primes));
        await store.remove(idsOf(primes));
        assert.deepEqual(await allOf(store.kept(site)), sorted(primes));
        assert.deepEqual(await totalOf(store, site), { site, count: 3, bytes: 0, lostCount: 3 });
        await store.put(agent, [primes[0]!]);
        await store.putFor(other, wireBatch([primes[1]!]));
      },
      async (store) => {
        assert.deepEqual(await allOf(store.lostOf(site)), [primes[2]!.id]);
        assert.deepEqual(await totalOf(store, site), { site, count: 3, bytes: 500, lostCount: 1 });
      },
    );
  });

  test("an end of keeps ends closed marks, since what a walk would keep may be kept no more", () =>
    withStore(
      async (store) => {
        const [prime] = samplePrimes(27, 1, 50);
        await store.put(agent, [prime!]);
        await store.keep(site, [prime!.id]);
        await store.markClosed(["a"]);
        await store.release(site, [prime!.id]);
      },
      async (store) => assert.deepEqual(await store.areClosed(["a"]), [false]),
    ));

  test("a release that is aborted is said to be", () =>
    withStore(
      async (store) => {
        await store.putFor(site, wireBatch(samplePrimes(28, 1, 50)));
        const aborted = AbortSignal.abort(new Error("enough"));
        await assert.rejects(store.release(site, idsOf(samplePrimes(28, 1, 50)), aborted), /enough/);
      },
      async (store) => assert.equal((await totalOf(store, site))?.count, 1),
    ));
}
