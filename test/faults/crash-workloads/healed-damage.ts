/** Damage of the disk: the scrub finds it and puts it on record, what was lost comes again, and compaction takes what is left of it. */
import assert from "node:assert/strict";
import type { ScrubPlace } from "#node/store/prime-store.ts";
import type { SegmentStore } from "#node/store/segment-store.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { type RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { type SamplePrime, samplePrimes, sampleSite, wireBatch } from "#test/support/store-samples.ts";
import type { CrashWorkload } from "../crash-workload.ts";

interface Promised {
  /** Those that are kept and were not damaged, or came again since. */
  readonly whole: ReadonlySet<PrimeId>;
  readonly kept: ReadonlySet<PrimeId>;
  readonly facts: ReadonlyMap<string, string>;
}

const site = sampleSite(1);
const PRIMES_COUNT = 6;

export function healedDamage(): CrashWorkload<Promised> {
  const primes = new Map<PrimeId, SamplePrime>();
  return {
    title: "scrub and healing",
    damages: true,
    async record(recorder) {
      const random = seededRandom(11);
      const store = await recorder.open();
      const facts = new Map<string, string>();
      const whole = new Set<PrimeId>();
      const note = (): Promise<void> =>
        recorder.note({ whole: new Set(whole), kept: new Set(primes.keys()), facts: new Map(facts) });
      let healedCount = 0;
      for (let round = 0; round < 8; round++) {
        const fresh = samplePrimes(500 + round, PRIMES_COUNT, 700);
        await store.putFor(site, wireBatch(fresh));
        for (const prime of fresh) {
          primes.set(prime.id, prime);
          whole.add(prime.id);
        }
        await note();
        await store.appendFacts([{ kind: "test", key: `${round % 3}`, value: Buffer.from(`${round}`) }]);
        facts.set(`${round % 3}`, `${round}`);
        await note();
        const hit = [...primes.values()].filter(() => random() < 0.1);
        for (const { id } of hit) whole.delete(id);
        // What is damaged from now on nobody promises any more.
        await note();
        for (const { stored } of hit) await damage(recorder.disk, stored);
        await scrub(store);
        await note();
        const lost = new Set((await Array.fromAsync(store.lostOf(site))).flat());
        const again = [...lost].map((id) => primes.get(id)!);
        if (again.length > 0) await store.putFor(site, wireBatch(again));
        for (const { id } of again) whole.add(id);
        healedCount += again.length;
        await note();
        await store.compact();
        await note();
      }
      assert.ok(healedCount >= 4, `${healedCount} primes come again`);
      assert.equal(whole.size, primes.size);
    },
    async verify(store, { promised, next }) {
      await scrub(store);
      const listed = new Map<string, string>();
      for await (const { key, value } of store.facts("test")) listed.set(key, value.toString());
      for (const [key, value] of promised?.facts ?? [])
        assert.ok([value, next?.facts.get(key)].includes(listed.get(key)), `fact ${key} is ${listed.get(key)}`);
      const kept = new Set((await Array.fromAsync(store.kept(site))).flat());
      const lost = new Set((await Array.fromAsync(store.lostOf(site))).flat());
      assert.deepEqual(
        [...(promised?.kept ?? new Set<PrimeId>()).difference(kept)],
        [],
        "it is known no more what is kept",
      );
      const stay = promised?.whole.intersection(next?.whole ?? promised.whole) ?? new Set<PrimeId>();
      assert.deepEqual([...stay.intersection(lost)], [], "primes are lost that were whole");
      for (const id of kept.difference(lost)) assert.ok((await store.get(id)).equals(primes.get(id)!.stored));
      const again = [...lost].map((id) => primes.get(id)!);
      if (again.length > 0) await store.putFor(site, wireBatch(again));
      assert.deepEqual((await Array.fromAsync(store.lostOf(site))).flat(), []);
      for (const id of kept) assert.ok((await store.get(id)).equals(primes.get(id)!.stored));
    },
  };
}

/** A byte in the middle, wherever it lies. */
async function damage(disk: RecordingDisk, stored: Buffer): Promise<void> {
  for (const [path, bytes] of disk.files)
    for (let at = bytes.indexOf(stored); at >= 0; at = bytes.indexOf(stored, at + 1)) {
      const middle = at + Math.floor(stored.length / 2);
      const file = await disk.openWrite(path);
      await file.write([Buffer.of(bytes[middle]! ^ 0xff)], middle);
    }
}

async function scrub(store: SegmentStore): Promise<void> {
  for (let from: ScrubPlace | undefined, isFirst = true; isFirst || from !== undefined; isFirst = false)
    from = (await store.scrub({ from, until: undefined, bytes: 4000 })).next;
}
