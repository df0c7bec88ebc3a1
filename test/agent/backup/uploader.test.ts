/**
 * Goal: primes go out in bounded batches, several at a time; what counts as acknowledged never has a gap, and a failure
 * reaches everybody who waits.
 */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Uploader } from "#agent/backup/uploader.ts";
import { type StoredPrime, batchEntryBytes } from "#protocol/batch.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("uploader");

const MIB = 1024 * 1024;
let madeCount = 0;
const prime = (bytes: number): StoredPrime => ({
  id: (++madeCount).toString(16).padStart(64, "0") as PrimeId,
  stored: Buffer.alloc(bytes),
});

/** A site whose answers the test gives, in any order. */
class HeldSite {
  readonly batches: { readonly primes: readonly StoredPrime[]; answer(): void; fail(error: Error): void }[] = [];
  readonly askedIds: PrimeId[] = [];
  private readonly has: ReadonlySet<PrimeId>;

  constructor(has: Iterable<PrimeId> = []) {
    this.has = new Set(has);
  }

  missing = async (ids: readonly PrimeId[]): Promise<boolean[]> => {
    this.askedIds.push(...ids);
    return ids.map((id) => !this.has.has(id));
  };

  sendPrimes = (primes: readonly StoredPrime[]): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const kept = primes.map(({ id, stored }) => ({ id, stored: Buffer.from(stored) }));
    this.batches.push({ primes: kept, answer: resolve, fail: reject });
    return promise;
  };
}

function uploaderTo(site: HeldSite, askFirst = false): Uploader {
  return new Uploader({ client: site }, { askFirst, signal: new AbortController().signal });
}

/** Lets everything run that can. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await nextTurn();
};

const stateOf = async (promise: Promise<unknown>): Promise<string> => {
  let state = "waits";
  promise.then(
    () => (state = "goes on"),
    () => (state = "fails"),
  );
  await settle();
  return state;
};

test("numbers count up, and acknowledgements in any order leave no gap behind", async () => {
  const site = new HeldSite();
  const uploader = uploaderTo(site);
  assert.deepEqual(
    [1, 2, 3].map(() => uploader.add(prime(2 * MIB - 100))),
    [1, 2, 3],
  );
  await settle();
  assert.deepEqual([site.batches.length, uploader.added, uploader.acknowledged], [3, 3, 0]);
  site.batches[1]!.answer();
  await settle();
  assert.equal(uploader.acknowledged, 0);
  site.batches[0]!.answer();
  await settle();
  assert.equal(uploader.acknowledged, 2);
  site.batches[2]!.answer();
  await uploader.drain();
  assert.deepEqual([uploader.acknowledged, uploader.sentCount], [3, 3]);
});

test("a few small primes wait for more, and go when everything has to", async () => {
  const site = new HeldSite();
  const uploader = uploaderTo(site);
  uploader.add(prime(100));
  uploader.add(prime(100));
  await settle();
  assert.equal(site.batches.length, 0);
  const drained = uploader.drain();
  await settle();
  assert.deepEqual(
    site.batches.map(({ primes }) => primes.length),
    [2],
  );
  site.batches[0]!.answer();
  await drained;
  assert.equal(uploader.sentBytes, 200);
});

test("no batch exceeds what a site takes, by bytes or by count", async () => {
  const site = new HeldSite();
  const uploader = uploaderTo(site);
  for (let i = 0; i < 3000; i++) uploader.add(prime(10));
  for (let i = 0; i < 5; i++) uploader.add(prime(limits.primeStoredBytes));
  const drained = uploader.drain();
  for (let answered = 0; (await stateOf(drained)) === "waits"; answered++) site.batches[answered]!.answer();
  await drained;
  for (const { primes } of site.batches) {
    const bytes = primes.reduce((sum, { stored }) => sum + batchEntryBytes(stored.length), 0);
    assert.ok(primes.length <= limits.batchPrimesCount && bytes <= limits.batchBytes);
  }
  assert.equal(uploader.acknowledged, 3005);
});

test("what is held and what is under way at once are bounded; room comes with an acknowledgement", async () => {
  const site = new HeldSite();
  const uploader = uploaderTo(site);
  let addedCount = 0;
  while ((await stateOf(uploader.room())) === "goes on") {
    uploader.add(prime(MIB));
    addedCount++;
  }
  assert.ok(addedCount > 4 && addedCount < 32, `${addedCount} MiB are held`);
  assert.ok(site.batches.length > 1 && site.batches.length < 8, `${site.batches.length} batches are under way`);
  const waiting = uploader.room();
  for (const batch of [...site.batches]) batch.answer();
  assert.equal(await stateOf(waiting), "goes on");
});

test("a failure ends every wait, those that come later too, and nothing more is sent", async () => {
  const site = new HeldSite();
  const uploader = uploaderTo(site);
  while ((await stateOf(uploader.room())) === "goes on") uploader.add(prime(MIB));
  const waits = [uploader.room(), uploader.drain()];
  const sentCount = site.batches.length;
  const failure = new Error("the disk is full");
  site.batches[1]!.fail(failure);
  for (const wait of waits) await assert.rejects(wait, failure);
  uploader.add(prime(MIB));
  await assert.rejects(uploader.room(), failure);
  await assert.rejects(uploader.drain(), failure);
  assert.equal(site.batches.length, sentCount);
  // What was acknowledged before counts still.
  site.batches[0]!.answer();
  await settle();
  assert.ok(uploader.acknowledged > 0);
});

test("an abort from outside ends the waits with its reason", async () => {
  const uploader = uploaderTo(new HeldSite());
  uploader.add(prime(100));
  const drained = uploader.drain();
  uploader.fail(new Error("interrupted"));
  await assert.rejects(drained, /interrupted/);
});

test("after an interruption only what the site lacks is sent, and all of it counts as acknowledged", async () => {
  const primes = [1, 2, 3, 4].map(() => prime(500));
  const site = new HeldSite([primes[0]!.id, primes[2]!.id]);
  const uploader = uploaderTo(site, true);
  for (const one of primes) uploader.add(one);
  const drained = uploader.drain();
  await settle();
  assert.deepEqual(
    site.batches[0]!.primes.map(({ id }) => id),
    [primes[1]!.id, primes[3]!.id],
  );
  site.batches[0]!.answer();
  await drained;
  assert.deepEqual([uploader.acknowledged, uploader.sentCount, uploader.sentBytes], [4, 2, 1000]);
  assert.equal(site.askedIds.length, 4);
});

test.run();
