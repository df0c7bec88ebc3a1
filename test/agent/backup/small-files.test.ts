/** Goal: a run of small files becomes bundles that hold exactly what was read, whatever happens to the files meanwhile. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, closeSync, fstatSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { contentHash, contentKeyFrom } from "#agent/backup/content-hash.ts";
import { bundleFiles } from "#agent/backup/small-files.ts";
import type { FileOutcome, FilesDone } from "#agent/backup/worker-messages.ts";
import { limits } from "#protocol/limits.ts";
import { openPrime } from "#protocol/sealing.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { contentKey, testScope } from "./backup-fixture.ts";
import { descriptorsCount, openToRead } from "./reading-fixture.ts";

const test = suite("small files");
const hashKey = contentKeyFrom(contentKey);

let directory: string;
test.before(async () => void (directory = await scratchDirectory("small-files")));

/** Writes the contents, lets `meanwhile` change the files after they were opened, and bundles them. */
async function bundle(
  contents: readonly Uint8Array[],
  options: { meanwhile?: (paths: readonly string[]) => void; isKnown?: (hash: Buffer) => boolean } = {},
): Promise<FilesDone> {
  const paths = contents.map((bytes, index) => {
    const path = join(directory, `${index}`);
    writeFileSync(path, bytes);
    return path;
  });
  const files = paths.map((path) => openToRead(path));
  options.meanwhile?.(paths);
  const job = {
    type: "files",
    job: 1,
    descriptors: files.map(({ descriptor }) => descriptor),
    sizesBytes: files.map(({ sizeBytes }) => sizeBytes),
    signatures: files.map(({ signature }) => signature),
  } as const;
  const ask = async (hashes: Uint8Array): Promise<Uint8Array> =>
    Uint8Array.from(job.descriptors, (_, index) =>
      options.isKnown?.(Buffer.from(hashes.subarray(index * 16, index * 16 + 16))) ? 1 : 0,
    );
  return bundleFiles(job, { scope: testScope, contentKey: hashKey, ask });
}

function contentOf(done: FilesDone, { state, primeIndex, offsetBytes, lengthBytes }: FileOutcome): Buffer {
  assert.equal(state, "sealed");
  const { reference, stored } = done.primes[primeIndex]!;
  return openPrime(stored, reference, "content").subarray(offsetBytes, offsetBytes + lengthBytes);
}

test("files lie end to end in bundles; empty ones are nowhere, equal ones once", async () => {
  const contents = [randomBytes(10), Buffer.alloc(0), randomBytes(3000), randomBytes(limits.smallFileBytes)];
  contents.push(contents[0]!, randomBytes(1));
  const done = await bundle(contents);
  const states = done.outcomes.map(({ state, lengthBytes }) => [state, lengthBytes]);
  assert.deepEqual(states[1], ["known", 0]);
  for (const index of [0, 2, 3, 4, 5]) assert.ok(contentOf(done, done.outcomes[index]!).equals(contents[index]!));
  const [first, twin] = [done.outcomes[0]!, done.outcomes[4]!];
  assert.deepEqual([twin.primeIndex, twin.offsetBytes], [first.primeIndex, first.offsetBytes]);
});

test("what is known already is not sealed", async () => {
  const [known, fresh] = [randomBytes(100), randomBytes(100)];
  const done = await bundle([known, fresh], { isKnown: (hash) => hash.equals(contentHash(hashKey, known)) });
  assert.deepEqual(
    done.outcomes.map(({ state }) => state),
    ["known", "sealed"],
  );
  assert.deepEqual(
    done.primes.map(({ reference }) => reference.lengthBytes),
    [100],
  );
});

test("no bundle is larger than the limit, and a run of many files makes several", async () => {
  const contents = Array.from({ length: 60 }, () => randomBytes(40_000));
  const done = await bundle(contents);
  assert.ok(done.primes.length > 4 && done.primes.length < 60);
  for (const { reference } of done.primes) assert.ok(reference.lengthBytes <= limits.bundleMaxBytes);
  done.outcomes.forEach((outcome, index) => assert.ok(contentOf(done, outcome).equals(contents[index]!)));
});

test("a file that changed since it was seen is read as it is now, and told with its newest record", async () => {
  const contents = [randomBytes(100), randomBytes(100), randomBytes(100), randomBytes(0), randomBytes(100)];
  const [grown, written] = [randomBytes(50), randomBytes(7)];
  const done = await bundle(contents, {
    meanwhile: ([grows, shrinks, , wasEmpty, becomesEmpty]) => {
      appendFileSync(grows!, grown);
      truncateSync(shrinks!, 40);
      appendFileSync(wasEmpty!, written);
      truncateSync(becomesEmpty!, 0);
    },
  });
  const expected = [Buffer.concat([contents[0]!, grown]), contents[1]!.subarray(0, 40), contents[2]!, written];
  expected.forEach((bytes, index) => assert.ok(contentOf(done, done.outcomes[index]!).equals(bytes), `${index}`));
  assert.deepEqual(
    done.outcomes.map(({ restat, changed, lengthBytes }) => [restat !== undefined, changed, lengthBytes]),
    [
      [true, false, 150],
      [true, false, 40],
      [false, false, 100],
      [true, false, 7],
      [true, false, 0],
    ],
  );
});

test("a file that grows past the small ones is left open for another job", async () => {
  const before = descriptorsCount();
  const done = await bundle([randomBytes(10), randomBytes(10)], {
    meanwhile: ([grows]) => appendFileSync(grows!, Buffer.alloc(limits.smallFileBytes)),
  });
  assert.deepEqual(
    done.outcomes.map(({ state }) => state),
    ["grown", "sealed"],
  );
  assert.equal(descriptorsCount(), before + 1);
});

test("files that grow together past the room of a run are left for other jobs, none is cut short", async () => {
  // A run as large as runs get, in which every file grows: the room behind it is for one of them.
  const contents = Array.from({ length: 40 }, () => randomBytes(200 * 1024));
  const more = randomBytes(40 * 1024);
  const done = await bundle(contents, { meanwhile: (paths) => paths.forEach((path) => appendFileSync(path, more)) });
  const states = done.outcomes.map(({ state }) => state);
  assert.ok(states.includes("grown") && states.every((state) => state === "sealed" || state === "grown"));
  done.outcomes.forEach((outcome, index) => {
    if (outcome.state === "sealed")
      assert.ok(contentOf(done, outcome).equals(Buffer.concat([contents[index]!, more])), `${index}`);
    else assert.equal(outcome.lengthBytes, 0);
  });
});

test("one that cannot be read fails alone, and all are closed", async () => {
  const path = join(directory, "ok");
  writeFileSync(path, "fine");
  const [fine, broken] = [openToRead(path), openToRead(path)];
  const { fd: writeOnly } = await import("node:fs").then(({ openSync }) => ({ fd: openSync(path, "a") }));
  closeSync(broken.descriptor);
  const before = descriptorsCount();
  const done = await bundleFiles(
    {
      type: "files",
      job: 1,
      descriptors: [writeOnly, fine.descriptor],
      sizesBytes: [4, 4],
      signatures: [broken.signature, fine.signature],
    },
    { scope: testScope, contentKey: hashKey, ask: async () => Uint8Array.of(0, 0) },
  );
  assert.deepEqual(
    done.outcomes.map(({ state, failure }) => [state, failure?.code]),
    [
      ["failed", "EBADF"],
      ["sealed", undefined],
    ],
  );
  assert.equal(descriptorsCount(), before - 2);
  assert.throws(() => fstatSync(fine.descriptor));
});

test("one that changes at every try is kept as it was read last, and marked", async () => {
  const path = join(directory, "restless");
  writeFileSync(path, "content that stays");
  // Gives the file another time as fast as it can.
  const source = `const { utimesSync } = require("node:fs"); const { workerData } = require("node:worker_threads");
    for (let i = 1; Atomics.load(workerData.stop, 0) === 0; i++) utimesSync(workerData.path, i, i);`;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(source, { eval: true, workerData: { path, stop } });
  await new Promise((resolve) => worker.once("online", resolve));
  try {
    for (let isMarked = false; !isMarked;) {
      const { descriptor, sizeBytes, signature } = openToRead(path);
      const job = {
        type: "files",
        job: 1,
        descriptors: [descriptor],
        sizesBytes: [sizeBytes],
        signatures: [signature],
      };
      const done = await bundleFiles(job as never, {
        scope: testScope,
        contentKey: hashKey,
        ask: async () => Uint8Array.of(0),
      });
      assert.equal(contentOf(done, done.outcomes[0]!).toString(), "content that stays");
      isMarked = done.outcomes[0]!.changed;
      if (isMarked) assert.ok(done.outcomes[0]!.restat);
    }
  } finally {
    Atomics.store(stop, 0, 1);
    await new Promise((resolve) => worker.once("exit", resolve));
  }
  utimesSync(path, 1, 1);
});

test.run();
