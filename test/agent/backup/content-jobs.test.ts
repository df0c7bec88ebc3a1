/**
 * Goal: files handed over come back as references to exactly their bytes, by real workers; a worker that fails or dies ends
 * the run, and whatever ends it leaves no file open.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, linkSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { AgentDatabase } from "#agent/backup/agent-database.ts";
import { ContentIndex } from "#agent/backup/content-index.ts";
import { ContentJobs, type ContentResult, type FileToRead } from "#agent/backup/content-jobs.ts";
import { DeferredWrites } from "#agent/backup/deferred-writes.ts";
import { SealPool } from "#agent/backup/seal-pool.ts";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine, scopeSecret } from "./backup-fixture.ts";
import { descriptorsCount, openToRead } from "./reading-fixture.ts";
import { KeptTrees } from "./tree-fixture.ts";

const test = suite("content jobs", { timeoutMs: 60_000 });

/** Everything between a scan and a site. */
async function assembled() {
  const directory = await scratchDirectory("content-jobs");
  const database = await AgentDatabase.open(join(directory, "database"));
  const kept = new KeptTrees();
  const failure = Promise.withResolvers<unknown>();
  const pool = new SealPool(
    { onFatal: failure.resolve },
    { scopeSecret, contentKey: database.contentKey, workersCount: 2 },
  );
  const writes = new DeferredWrites({ database });
  const index = new ContentIndex({ database });
  const jobs = new ContentJobs(
    { pool, index, uploader: kept.uploader, writes, trees: kept.trees },
    { signal: new AbortController().signal },
  );
  return {
    directory,
    kept,
    pool,
    jobs,
    failure: failure.promise,
    /** Reads a file and gives what became of it. */
    read: (file: FileToRead): Promise<ContentResult> => new Promise((resolve) => jobs.submit(file, resolve)),
    /** The bytes that a result stands for. */
    async bytes(result: ContentResult): Promise<Buffer> {
      assert.ok(result.state === "read" && "slices" in result.content, JSON.stringify(result));
      await kept.uploader.drain();
      return kept.uploads.read(result.content.slices);
    },
    async [Symbol.asyncDispose]() {
      jobs[Symbol.dispose]();
      await pool[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

function fileOf(directory: string, name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

test("small, large and empty files come back, and equal ones share what was sealed", async () => {
  await using all = await assembled();
  const contents = [10, 0, 100_000, limits.smallFileBytes, limits.smallFileBytes + 1, 3_000_000].map((length) =>
    randomBytes(length),
  );
  contents.push(contents[0]!, contents[5]!);
  const paths = contents.map((bytes, index) => fileOf(all.directory, `${index}`, bytes));
  const first = paths.slice(0, 6).map((path) => all.read(openToRead(path)));
  all.jobs.flush();
  const results = await Promise.all(first);
  for (const [index, result] of results.entries()) assert.ok((await all.bytes(result)).equals(contents[index]!));
  const again = paths.slice(6).map((path) => all.read(openToRead(path)));
  all.jobs.flush();
  const sealedCount = all.kept.uploader.added;
  for (const [index, result] of (await Promise.all(again)).entries())
    assert.ok((await all.bytes(result)).equals(contents[6 + index]!));
  assert.equal(all.kept.uploader.added, sealedCount);
});

test("whoever waits for progress has what is gathered sent only when nothing else is under way, and is told when all is done", async () => {
  await using all = await assembled();
  assert.equal(await all.jobs.progress(), false);
  const done: string[] = [];
  const submit = (name: string, lengthBytes: number): void => {
    const file = openToRead(fileOf(all.directory, name, randomBytes(lengthBytes)));
    all.jobs.submit(file, () => void done.push(name));
  };
  submit("large", 3_000_000);
  submit("small", 10);
  assert.equal(await all.jobs.progress(), true);
  assert.deepEqual(done, ["large"]);
  assert.equal(await all.jobs.progress(), true);
  assert.deepEqual(done, ["large", "small"]);
  assert.equal(await all.jobs.progress(), false);
});

test("a small file that has grown large is read whole, with its newest record", async () => {
  await using all = await assembled();
  const path = fileOf(all.directory, "grows", randomBytes(10));
  const file = openToRead(path);
  const more = randomBytes(1_000_000);
  appendFileSync(path, more);
  const reading = all.read(file);
  all.jobs.flush();
  const result = await reading;
  assert.ok((await all.bytes(result)).subarray(10).equals(more));
  assert.ok(result.state === "read" && result.restat && !result.changed && result.sizeBytes === 1_000_010);
});

test("a file that cannot be read fails alone", async () => {
  await using all = await assembled();
  const path = fileOf(all.directory, "fine", Buffer.from("fine"));
  const writeOnly = (file: FileToRead): FileToRead => ({ ...file, descriptor: openSync(path, "a") });
  const reading = [
    all.read(writeOnly(openToRead(path))),
    all.read(openToRead(path)),
    all.read({ ...writeOnly(openToRead(path)), sizeBytes: 500_000 }),
  ];
  all.jobs.flush();
  const states = (await Promise.all(reading)).map((result) => (result.state === "failed" ? result.code : result.state));
  assert.deepEqual(states, ["EBADF", "read", "EBADF"]);
});

test("a fault in a worker ends the run as a fault: no file is called unreadable for it", async () => {
  await using all = await assembled();
  const file = openToRead(fileOf(all.directory, "file", Buffer.from("content")));
  void all.read({ ...file, signature: undefined as never });
  all.jobs.flush();
  assert.equal(((await all.failure) as { code: string }).code, "internal");
});

test("a worker that dies ends the run", async () => {
  await using all = await assembled();
  const path = fileOf(all.directory, "file", randomBytes(1_000_000));
  // The workers are nobody's business but the pool's; this is the one way to kill a thread from outside.
  const slots = (all.pool as unknown as { slots: { worker: Worker }[] }).slots;
  all.kept.uploads.gate = () => new Promise(() => undefined);
  void all.read(openToRead(path));
  await slots[0]!.worker.terminate();
  assert.match(((await all.failure) as Error).message, /seal worker ended/);
});

test("a run that ends early leaves no file open: gathered, in line, with a worker, waiting for an answer", async () => {
  const before = descriptorsCount();
  {
    await using all = await assembled();
    const small = fileOf(all.directory, "small", Buffer.from("small"));
    const large = fileOf(all.directory, "large", randomBytes(20_000_000));
    // No batch is ever acknowledged: soon there is no room, and no answer comes.
    all.kept.uploads.gate = () => new Promise(() => undefined);
    for (let i = 0; i < 4; i++) void all.read(openToRead(large));
    void all.read(openToRead(small));
    all.jobs.flush();
    for (let i = 0; i < 3; i++) void all.read(openToRead(small));
    while (all.kept.uploader.added < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(descriptorsCount(), before);
});

test("an interrupted backup leaves no file open", async () => {
  const machine = await TestMachine.make("descriptors");
  for (let i = 0; i < 300; i++) writeFileSync(machine.path(`${i}`), randomBytes(40_000));
  for (let i = 0; i < 8; i++) writeFileSync(machine.path(`large-${i}`), randomBytes(3_000_000));
  linkSync(machine.path("large-1"), machine.path("large-one"));
  await machine.backUp({ paths: [machine.path("0")] });
  const before = descriptorsCount();
  for (const calls of [1, 2, 3]) {
    const controller = new AbortController();
    machine.site.onCall = async (call) => {
      if (call === "sendPrimes" && machine.site.calls.sendPrimes === calls) controller.abort();
    };
    await assert.rejects(machine.backUp({ signal: controller.signal }), { code: "interrupted" });
    assert.equal(descriptorsCount(), before);
  }
});

test.run();
