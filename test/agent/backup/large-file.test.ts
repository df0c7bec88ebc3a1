/** Goal: a file cut by content comes back byte by byte, holes and all, and one that changes meanwhile is retried, then marked. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, closeSync, ftruncateSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { contentKeyFrom } from "#agent/backup/content-hash.ts";
import { cutLargeFile } from "#agent/backup/large-file.ts";
import type { LargeDone } from "#agent/backup/worker-messages.ts";
import { limits } from "#protocol/limits.ts";
import { openPrime } from "#protocol/sealing.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { contentKey, testScope } from "./backup-fixture.ts";
import { descriptorsCount, openToRead } from "./reading-fixture.ts";

const test = suite("large file");
const hashKey = contentKeyFrom(contentKey);

const MIB = 1024 * 1024;
let path: string;
test.before(async () => void (path = join(await scratchDirectory("large-file"), "file")));

interface Cut {
  readonly done: LargeDone;
  /** What the chunks of the last try hold. */
  readonly content: Buffer;
  readonly chunkBytes: readonly number[];
  readonly attempts: readonly number[];
}

/** Cuts the file at `path`; `onAsk` is called each time it asks what is known: the file is being read then. */
async function cut(options: { sparse?: boolean; onAsk?: (askCount: number) => void } = {}): Promise<Cut> {
  const { descriptor, sizeBytes, signature, sparse } = openToRead(path, options.sparse);
  const attempts: number[] = [];
  let chunks: Buffer[] = [];
  let attempt = 0;
  let askCount = 0;
  const done = await cutLargeFile(
    { type: "large", job: 1, descriptor, sizeBytes, signature, sparse },
    {
      scope: testScope,
      contentKey: hashKey,
      ask: async (hashes) => {
        options.onAsk?.(++askCount);
        return new Uint8Array(hashes.length / 16);
      },
      post: (message) => {
        if (message.attempt !== attempt) chunks = [];
        attempt = message.attempt;
        attempts.push(attempt);
        chunks.push(...message.primes.map(({ reference, stored }) => openPrime(stored, reference, "content")));
      },
    },
  );
  if (done.attempt !== attempt) chunks = [];
  return { done, content: Buffer.concat(chunks), chunkBytes: chunks.map(({ length }) => length), attempts };
}

test("files of any length come back; chunks are within their limits", async () => {
  for (const length of [1, limits.chunkMinBytes - 1, limits.chunkMinBytes, limits.chunkMaxBytes + 1, 9 * MIB + 7]) {
    const bytes = randomBytes(length);
    writeFileSync(path, bytes);
    const { done, content, chunkBytes } = await cut();
    assert.ok(content.equals(bytes), `${length} bytes`);
    assert.deepEqual([done.sizeBytes, done.changed, done.restat, done.extents], [length, false, undefined, undefined]);
    for (const [index, one] of chunkBytes.entries())
      assert.ok(one <= limits.chunkMaxBytes && (one >= limits.chunkMinBytes || index === chunkBytes.length - 1));
  }
});

test("of a sparse file the data alone is read, and where it was", async () => {
  const fd = openSync(path, "w");
  ftruncateSync(fd, 3_000 * MIB);
  const [first, second] = [randomBytes(MIB), randomBytes(4096)];
  writeSync(fd, first, 0, first.length, 8 * MIB);
  writeSync(fd, second, 0, second.length, 2_000 * MIB);
  closeSync(fd);
  const { done, content } = await cut({ sparse: true });
  assert.equal(done.sizeBytes, 3_000 * MIB);
  assert.deepEqual(done.extents, [
    { offsetBytes: 8 * MIB, lengthBytes: MIB },
    { offsetBytes: 2_000 * MIB, lengthBytes: 4096 },
  ]);
  assert.ok(content.equals(Buffer.concat([first, second])));
  truncateSync(path, 0);
  truncateSync(path, 5 * MIB);
  const hole = await cut({ sparse: true });
  assert.deepEqual([hole.done.extents, hole.content.length, hole.done.sizeBytes], [[], 0, 5 * MIB]);
});

for (const [what, change, expected] of [
  ["grows", (): void => appendFileSync(path, Buffer.alloc(100_000, 7)), 2_100_000],
  ["shrinks", (): void => truncateSync(path, 1_000_000), 1_000_000],
  ["shrinks to a small one", (): void => truncateSync(path, 10), 10],
  ["becomes empty", (): void => truncateSync(path, 0), 0],
] as const) {
  test(`a file that ${what} while it is read is read again, whole`, async () => {
    const bytes = randomBytes(2_000_000);
    writeFileSync(path, bytes);
    const { done, content } = await cut({ onAsk: (askCount) => void (askCount === 1 && change()) });
    const now = Buffer.concat([bytes, Buffer.alloc(100_000, 7)]).subarray(0, expected);
    assert.deepEqual(
      [done.attempt, done.changed, done.sizeBytes, done.restat !== undefined],
      [2, false, expected, true],
    );
    assert.ok(content.equals(now));
  });
}

test("a file that changes at every try is kept as it was read last, and marked; its size is that of its content", async () => {
  writeFileSync(path, randomBytes(1_000_000));
  const grown = await cut({ onAsk: () => appendFileSync(path, "more") });
  assert.equal(grown.done.changed, true);
  assert.equal(grown.content.length, grown.done.sizeBytes);
  let left = 900_000;
  writeFileSync(path, randomBytes(1_000_000));
  const shrunk = await cut({ onAsk: () => truncateSync(path, (left -= 100_000)) });
  assert.equal(shrunk.done.changed, true);
  assert.equal(shrunk.content.length, shrunk.done.sizeBytes);
});

test("its descriptor is closed, also when reading fails or the run has ended", async () => {
  writeFileSync(path, randomBytes(1_000_000));
  const before = descriptorsCount();
  await cut();
  await assert.rejects(
    cut({
      onAsk: () => {
        throw new Error("the run has ended");
      },
    }),
  );
  const { signature, sizeBytes } = openToRead(path);
  const writeOnly = openSync(path, "a");
  await assert.rejects(
    cutLargeFile(
      { type: "large", job: 1, descriptor: writeOnly, sizeBytes, signature, sparse: false },
      { scope: testScope, contentKey: hashKey, ask: async () => new Uint8Array(), post: () => undefined },
    ),
    { code: "EBADF" },
  );
  assert.equal(descriptorsCount(), before + 1, "only the one that the test has opened");
});

test.run();
