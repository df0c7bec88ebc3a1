import assert from "node:assert/strict";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { decodeQuarantine, quarantineRecords } from "#node/store/record-body.ts";
import { decodeHeader, encodeHeader, recordHeaderBytes, saltBytes, segmentHeaderBytes } from "#node/store/record.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { testCollectedPrimes } from "#test/conformance/collected-primes.ts";
import { testKeptPrimes } from "#test/conformance/kept-primes.ts";
import { testPrimeStore } from "#test/conformance/prime-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { sampleAgent, type SamplePrime, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("segment store");
testPrimeStore(test, (directory) => SegmentStore.open({ directory }));
testKeptPrimes(test, (directory) => SegmentStore.open({ directory }));
testCollectedPrimes(test, (directory) => SegmentStore.open({ directory }));

test("a page of facts holds little more than a mebibyte, however large they are, and none is left out", async () => {
  await using store = await SegmentStore.open({ directory: await scratchDirectory("fact-pages") });
  const keys = Array.from({ length: 20 }, (_, at) => `k${at + 10}`);
  for (const key of keys) await store.appendFacts([{ kind: "large", key, value: Buffer.alloc(400_000) }]);
  await store.appendFacts([{ kind: "large", key: "k20", value: Buffer.alloc(4_000_000) }]);
  assert.equal((await store.factPage("large", "", undefined)).length, 3);
  assert.equal((await store.factPage("large", "", Buffer.from("k19"))).length, 1);
  assert.deepEqual(await store.factPage("large", "", Buffer.from("k29")), []);
  const found: string[] = [];
  for await (const { key } of store.facts("large")) found.push(key);
  assert.deepEqual(found, keys);
});

test("closed marks of former epochs do not pile up", async () => {
  const directory = await scratchDirectory("marks");
  const store = await SegmentStore.open({ directory });
  const [prime] = samplePrimes(1, 1, 100) as [SamplePrime];
  const marks = Array.from({ length: 1000 }, (_, at) => `${at}`.padStart(27, "m"));
  for (let day = 0; day < 30; day++) {
    await store.put(sampleAgent(1), [prime]);
    await store.markClosed(marks);
    assert.ok((await store.areClosed(marks)).every(Boolean));
    await store.collect(sampleSite(1), [prime.id], { relying: [] });
    assert.ok(!(await store.areClosed(marks)).includes(true));
  }
  await store[Symbol.asyncDispose]();
  const level = new ClassicLevel(join(directory, "index"));
  const left = await level.keys({ gte: "k", lt: "l" }).all();
  await level.close();
  assert.ok(left.length <= 2 * marks.length, `${left.length} marks are left`);
});

test("damage of any count is put on record in records that can be read again", () => {
  const stretches = Array.from({ length: 200_000 }, (_, at) => ({ segment: 1, offset: at * 100, lengthBytes: 100 }));
  const salt = Buffer.alloc(saltBytes);
  const place = { segment: 2, offset: segmentHeaderBytes };
  const read = quarantineRecords(stretches).flatMap((record) => {
    const header = Buffer.alloc(recordHeaderBytes);
    encodeHeader(header, record, salt, place);
    assert.equal(decodeHeader(header, salt, place)?.bodyBytes, record.body.length);
    return decodeQuarantine(Buffer.from(record.body));
  });
  assert.deepEqual(read, stretches);
});

test.run();
