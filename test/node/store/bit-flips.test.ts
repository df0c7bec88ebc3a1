/**
 * Every single bit of a complete small store, flipped one at a time. In segments each is found by a check and named by its file and
 * place; in Level's files no answer is ever wrong, and the index becomes equal again.
 */
import assert from "node:assert/strict";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SegmentStore } from "#node/store/segment-store.ts";
import { recordBytes, recordHeaderBytes, segmentHeaderBytes } from "#node/store/record.ts";
import { readSegmentHeader, scanRecords } from "#node/store/segment-scan.ts";
import { count } from "#test/support/level.ts";
import { RecordingDisk, seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { StoreOracle } from "#test/support/store-oracle.ts";
import { idsOf, sampleAgent, type SamplePrime, samplePrimes, sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("flipped bits", { timeoutMs: count(120_000, 1_800_000) });
const agent = sampleAgent(1);
const segmentBytes = 12 * 1024;

interface Sample {
  readonly disk: RecordingDisk;
  readonly directory: string;
  readonly oracle: StoreOracle;
  readonly dump: readonly string[];
}

async function makeSample(): Promise<Sample> {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("flips");
  const oracle = new StoreOracle();
  const store = await open(directory, disk);
  for (let round = 0; round < 4; round++) {
    await oracle.put(store, agent, samplePrimes(400 + round, 4, 600 + round));
    await oracle.setFact(store, `key ${round % 2}`, `value ${round}`);
    await oracle.putFor(store, sampleSite(1), samplePrimes(420 + round, 2, 300));
    await oracle.keep(store, sampleSite(2), idsOf(samplePrimes(400 + round, 3, 600 + round)));
  }
  await oracle.release(store, sampleSite(2), idsOf(samplePrimes(400, 1, 600)));
  const dump = await store.dump();
  await store[Symbol.asyncDispose]();
  return { disk, directory, oracle, dump };
}

const open = (directory: string, disk: RecordingDisk) =>
  SegmentStore.open({ directory, segmentBytes, reserveFileBytes: 0 }, { disk });

test("a scan of the segments finds every flipped bit, at its place", async () => {
  const { disk } = await makeSample();
  let flipsCount = 0;
  for (const path of [...disk.files.keys()].toSorted()) {
    const segment = Number(path.slice(-12, -4));
    const bytes = disk.files.get(path)!;
    const file = await disk.openRead(path);
    const { header } = await readSegmentHeader(file, segment);
    const init = { salt: header!.salt, segment, verifyFromBytes: 0 };
    // One record at a time, which is what a scan does, so that all bits take seconds.
    const records: { offset: number; end: number }[] = [];
    for await (const item of scanRecords(file, { ...init, fromBytes: segmentHeaderBytes, toBytes: bytes.length })) {
      assert.equal(item.type, "record");
      records.push({ offset: item.offset, end: item.offset + recordBytes((item as { bodyBytes: number }).bodyBytes) });
    }
    assert.equal(records.at(-1)!.end, bytes.length);
    for (let bit = 0; bit < segmentHeaderBytes * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal((await readSegmentHeader(file, segment)).isWhole, false, `bit ${bit} of the header`);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      flipsCount++;
    }
    for (const { offset, end } of records) {
      for (let bit = offset * 8; bit < end * 8; bit++) {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const found: { type: string; offset: number }[] = [];
        for await (const item of scanRecords(file, { ...init, fromBytes: offset, toBytes: end })) found.push(item);
        assert.deepEqual(
          found.map((item) => item.type),
          ["gap"],
          `bit ${bit} of ${path}`,
        );
        assert.equal(found[0]!.offset, offset);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        flipsCount++;
      }
    }
  }
  assert.equal(
    flipsCount,
    [...disk.files.values()].reduce((sum, { length }) => sum + length * 8, 0),
  );
});

test("a check names what a flipped bit hit, the rest is whole, and what is sent again heals", async () => {
  const { disk, directory, oracle, dump } = await makeSample();
  const random = seededRandom(11);
  const paths = [...disk.files.keys()].toSorted();
  for (let round = 0; round < count(60, 4000); round++) {
    const flipped = new RecordingDisk(
      [...disk.files].map(([path, bytes]) => [path, Buffer.from(bytes)] as const) as never,
    );
    const path = paths[Math.floor(random() * paths.length)]!;
    const bytes = flipped.files.get(path)!;
    const at = Math.floor(random() * bytes.length);
    bytes[at]! ^= 1 << Math.floor(random() * 8);
    const copy = await scratchDirectory("flips");
    if (round % 3 > 0) await cp(join(directory, "index"), join(copy, "index"), { recursive: true });
    const events: string[] = [];
    const store = await SegmentStore.open(
      { directory: copy, segmentBytes, reserveFileBytes: 0, onEvent: ({ event }) => void events.push(event) },
      { disk: flipped },
    );
    try {
      const report = await store.check({ readData: true });
      const quarantined = report.quarantined.filter(
        ({ segment, offset, lengthBytes }) =>
          path.endsWith(`${segment}.seg`) && offset <= at && at < offset + lengthBytes,
      );
      const named = report.findings.filter(
        (finding) => finding.file === path && finding.offset <= at && at < finding.offset + finding.lengthBytes,
      );
      // Without an index nothing proves that the last record, which marks an orderly close, had been written.
      const isLastRecord = path === paths.at(-1) && at >= bytes.length - recordBytes(16) - recordHeaderBytes;
      assert.ok(
        quarantined.length + named.length > 0 || (isLastRecord && events.includes("torn-tail")),
        `${path} at ${at} not named`,
      );
      for (const [id, stored] of oracle.primes) {
        const found = await store.get(id).catch(() => stored);
        assert.ok(found.equals(stored));
      }
      for (let again = 0; again < 4; again++) {
        await oracle.put(store, agent, samplePrimes(400 + again, 4, 600 + again));
        await oracle.putFor(store, sampleSite(1), samplePrimes(420 + again, 2, 300));
      }
      await oracle.verify(store, {
        claims: oracle.promises().claims,
        facts: round % 3 > 0 ? oracle.promises().facts : new Map(),
        keeps: round % 3 > 0 ? oracle.promises().keeps : undefined,
      });
      const now = await store.dump();
      await store.rebuildIndex();
      assert.deepEqual(await store.dump(), now);
    } finally {
      await store[Symbol.asyncDispose]();
      await rm(copy, { recursive: true });
    }
  }
  assert.ok(dump.length > 10);
});

test("a flipped bit in any of Level's files gives no wrong answer, and an equal index", async () => {
  const { disk, directory, oracle, dump } = await makeSample();
  const source = join(directory, "index");
  // Opening once more turns Level's log into a table, so that there is one of each kind of file.
  await (await open(directory, disk))[Symbol.asyncDispose]();
  const names = (await readdir(source)).filter((name) => name !== "LOCK" && !name.startsWith("LOG"));
  assert.ok(
    names.some((name) => name.endsWith(".ldb")) &&
      names.some((name) => name.endsWith(".log")) &&
      names.includes("CURRENT"),
  );
  const random = seededRandom(12);
  const copy = await scratchDirectory("flips");
  for (const name of names) {
    const bytes = await readFile(join(source, name));
    if (bytes.length === 0) continue;
    for (let round = 0; round < count(25, 2000); round++) {
      await rm(join(copy, "index"), { recursive: true, force: true });
      await cp(source, join(copy, "index"), { recursive: true });
      const damaged = Buffer.from(bytes);
      const bit = Math.floor(random() * bytes.length * 8);
      const kind = round % 10;
      if (kind < 6) damaged[bit >> 3]! ^= 1 << (bit & 7);
      else if (kind < 8) damaged.fill(kind === 6 ? 0 : 0xa5, bit >> 3, Math.min(bytes.length, (bit >> 3) + 512));
      await writeFile(join(copy, "index", name), kind === 8 ? damaged.subarray(0, bit >> 3) : damaged);
      if (kind === 9) await rm(join(copy, "index", name));
      const files = new Map([...disk.files].map(([path, content]) => [path, Buffer.from(content)]));
      const store = await open(copy, new RecordingDisk(files));
      try {
        await oracle.verify(store, oracle.promises());
        await store.whenVerified();
        assert.deepEqual(await store.dump(), dump, `${name}, bit ${bit}, kind ${kind}`);
        assert.deepEqual((await store.check({ readData: true })).quarantined, []);
      } catch (error) {
        throw new Error(`${name}, bit ${bit}, kind ${kind}`, { cause: error });
      } finally {
        await store[Symbol.asyncDispose]();
      }
    }
  }
});

test("a store that was killed opens right though the middle of the index's log is damaged", async () => {
  const disk = new RecordingDisk();
  const directory = await scratchDirectory("flips");
  const oracle = new StoreOracle();
  const living = await open(directory, disk);
  const copy = await scratchDirectory("flips");
  const files = new Map<string, Buffer>();
  try {
    for (let round = 0; round < 150; round++) {
      await oracle.put(living, agent, samplePrimes(900 + round, 4, 40));
      await oracle.setFact(living, `key ${round}`, `value ${round}`);
    }
    await cp(join(directory, "index"), join(copy, "killed"), { recursive: true });
    for (const [path, bytes] of disk.files) files.set(path, Buffer.from(bytes));
  } finally {
    await living[Symbol.asyncDispose]();
  }
  const [name] = (await readdir(join(copy, "killed"))).filter((each) => each.endsWith(".log"));
  const log = await readFile(join(copy, "killed", name!));
  // Level drops the rest of a block of 32 KiB, and goes on with the next.
  assert.ok(log.length > 3 * 32 * 1024);
  const random = seededRandom(13);
  for (let round = 0; round < count(25, 4000); round++) {
    await rm(join(copy, "index"), { recursive: true, force: true });
    await cp(join(copy, "killed"), join(copy, "index"), { recursive: true });
    const damaged = Buffer.from(log);
    damaged[Math.floor(random() * log.length)]! ^= 1 << Math.floor(random() * 8);
    await writeFile(join(copy, "index", name!), damaged);
    const store = await open(copy, new RecordingDisk(files));
    try {
      await oracle.verify(store, oracle.promises());
      await store.whenVerified();
      const dump = await store.dump();
      await store.rebuildIndex();
      assert.deepEqual(await store.dump(), dump);
    } finally {
      await store[Symbol.asyncDispose]();
    }
  }
});

test("what a hole in Level's log brings back is neither told to be here nor left out of what is written", async () => {
  const { disk, directory } = await makeSample();
  const site = sampleSite(1);
  const [gone] = samplePrimes(460, 1, 500) as [SamplePrime];
  {
    await using store = await open(directory, disk);
    await store.put(agent, [gone]);
  }
  // What Level opens goes into tables, and its log begins with what comes now.
  const store = await open(directory, disk);
  await store.whenVerified();
  await store.collect(site, [gone.id], { relying: [] });
  // Level goes on with the next block of its log after one that is damaged.
  for (let at = 0; at < 40; at++) await store.appendFacts([{ kind: "more", key: `${at}`, value: Buffer.alloc(1000) }]);
  const copied = await scratchDirectory("flips");
  await cp(join(directory, "index"), join(copied, "index"), { recursive: true });
  const left = new RecordingDisk(new Map([...disk.files].map(([path, bytes]) => [path, Buffer.from(bytes)])));
  await store[Symbol.asyncDispose]();
  const log = (await readdir(join(copied, "index"))).filter((name) => name.endsWith(".log")).at(-1)!;
  const bytes = await readFile(join(copied, "index", log));
  bytes[20]! ^= 1;
  await writeFile(join(copied, "index", log), bytes);
  await using again = await open(copied, left);
  const told = again.hasSent(agent, [gone.id]);
  await again.put(agent, [gone]);
  assert.deepEqual(await told, [false]);
  await again.whenVerified();
  assert.deepEqual(await again.hasSent(agent, [gone.id]), [true]);
  assert.ok((await again.get(gone.id)).equals(gone.stored));
});

test.run();
