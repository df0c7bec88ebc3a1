/** Everything that is asked of a store, side by side: primes of agents and of sites, facts, keeps, removals, and openings between. */
import assert from "node:assert/strict";
import type { PrimeId } from "#protocol/ids.ts";
import { type Promises, StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import type { CrashWorkload } from "../crash-workload.ts";

export function storeCalls(): CrashWorkload<Promises> {
  const oracle = new StoreOracle();
  /** All that were ever asked to be removed. */
  const removed = new Set<PrimeId>();
  return {
    title: "store calls",
    async record(recorder) {
      let removedSegmentsCount = 0;
      let store = await recorder.open();
      const note = (): Promise<void> => recorder.note(oracle.promises());
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
        if (round % 4 === 3) store = await recorder.open();
      }
      await note();
      assert.ok(removedSegmentsCount >= 3, "segments are emptied");
    },
    async verify(store, { promised }) {
      await oracle.verify(store, promised ?? { claims: [], facts: new Map() }, removed);
      const [prime] = samplePrimes(7, 1, 200);
      await store.put(sampleAgent(3), [prime!]);
      assert.ok((await store.get(prime!.id)).equals(prime!.stored));
    },
  };
}
