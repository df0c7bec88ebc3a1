/**
 * Goal: a copy's segments alone give what the store gave, with nothing written, in bounded memory; where a copy of a prime is damaged, an
 * earlier one that is whole is taken. Method: a real store with small segments, read again by {@link CopiedStore}; damage by hand.
 */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CopiedStore } from "#node/store/copied-store.ts";
import { NodeDisk } from "#node/store/node-disk.ts";
import { PrimePlaces } from "#node/store/prime-places.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import { primeIdToBytes } from "#protocol/ids.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { sampleAgent, samplePrime, samplePrimes } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("copied store");
const SEGMENT_BYTES = 64 * 1024;

const open = (directory: string) => CopiedStore.open({ disk: new NodeDisk(directory) });
const agent = sampleAgent(1);

test("it has the primes and the newest facts of a store of many segments, with removed ones gone", async () => {
  const directory = await scratchDirectory("copied");
  const random = seededRandom(7);
  const primes = samplePrimes(1, 60, 5_000);
  const facts = new Map<string, Buffer>();
  {
    await using store = await SegmentStore.open({ directory, segmentBytes: SEGMENT_BYTES });
    for (const prime of primes) {
      await store.put(agent, [prime]);
      const key = `k${Math.floor(random() * 20)}`;
      const value = random() < 0.3 ? undefined : Buffer.from(`${random()}`);
      await store.appendFacts([{ kind: "some", key, value }]);
      if (value === undefined) facts.delete(key);
      else facts.set(key, value);
    }
  }
  await using copy = await open(directory);
  assert.ok((await readdir(join(directory, "segments"))).length > 3);
  for (const { id, stored } of primes) assert.deepEqual(await copy.get(id), stored);
  const found = new Map((await Array.fromAsync(copy.facts("some"))).map(({ key, value }) => [key, value]));
  assert.deepEqual([...found.keys()], [...facts.keys()].toSorted());
  for (const [key, value] of facts) assert.deepEqual(found.get(key), value);
  assert.deepEqual(
    (await Array.fromAsync(copy.facts("some", "k1"))).map(({ key }) => key),
    [...found.keys()].filter((key) => key.startsWith("k1")),
  );
  assert.equal(await copy.fact("some", "none"), undefined);
  assert.equal(copy.damagedBytes, 0);
});

test("of a prime that lies in two places the one that is whole is taken; with neither it is corrupt, and an unknown one missing", async () => {
  const directory = await scratchDirectory("copied");
  const prime = samplePrime(1, 9_000);
  await using store = await SegmentStore.open({ directory });
  await store.put(agent, [prime]);
  await store.remove([prime.id]);
  await store.put(agent, [prime]);
  const [name] = await readdir(join(directory, "segments"));
  const file = join(directory, "segments", name!);
  const bytes = await readFile(file);
  const places: number[] = [];
  for (let at = bytes.indexOf(prime.stored); at >= 0; at = bytes.indexOf(prime.stored, at + 1)) places.push(at);
  assert.equal(places.length, 2);
  for (const [damaged, isThere] of [
    [[1], true],
    [[0], true],
    [[0, 1], false],
  ] as const) {
    const changed = Buffer.from(bytes);
    for (const which of damaged) changed[places[which]! + 100]! ^= 1;
    await writeFile(file, changed);
    await using copy = await open(directory);
    if (isThere) assert.deepEqual(await copy.get(prime.id), prime.stored);
    else await assert.rejects(copy.get(prime.id), (error) => isCostorError(error, "prime-corrupt"));
    await assert.rejects(copy.get(samplePrime(2, 10).id), (error) => isCostorError(error, "prime-missing"));
  }
});

test("places are found again after the table has grown, those of one prime the newest first, and a million take little memory", () => {
  const places = new PrimePlaces();
  const before = process.memoryUsage().arrayBuffers;
  const id = Buffer.alloc(32);
  const write = (number: number): Buffer => {
    // As even as hashes, and colliding in slots as they do.
    id.writeUInt32BE(Math.imul(number, 2_654_435_761) >>> 0, 0);
    id.writeUInt32BE(number, 4);
    return id;
  };
  for (let number = 0; number < 1_000_000; number++)
    places.add(write(number), { segment: 1 + (number % 7), offset: number, bodyBytes: 3 });
  for (const segment of [8, 9]) places.add(write(5), { segment, offset: 1, bodyBytes: 2 });
  assert.deepEqual(
    places.of(write(5)).map(({ segment }) => segment),
    [9, 8, 6],
  );
  for (let number = 6; number < 1_000_000; number += 997)
    assert.deepEqual(places.of(write(number)), [{ segment: 1 + (number % 7), offset: number, bodyBytes: 3 }]);
  assert.deepEqual(places.of(primeIdToBytes(samplePrime(1, 10).id)), []);
  assert.equal(places.count, 1_000_002);
  assert.ok(process.memoryUsage().arrayBuffers - before < 200e6);
});

test("those of one prime stay in their order when the table grows around its end", () => {
  const places = new PrimePlaces();
  const last = Buffer.alloc(32, 0xff);
  for (let segment = 1; segment <= 3000; segment++) {
    if (segment % 3 === 0) places.add(last, { segment, offset: 1, bodyBytes: 1 });
    else {
      const other = Buffer.alloc(32, 0xff);
      other.writeUInt32BE(segment, 28);
      places.add(other, { segment, offset: 1, bodyBytes: 1 });
    }
  }
  const segments = places.of(last).map(({ segment }) => segment);
  assert.deepEqual(
    segments,
    segments.toSorted((a, b) => b - a),
  );
  assert.equal(segments.length, 1000);
});

test.run();
