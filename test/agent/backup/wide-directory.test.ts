/**
 * Goal: the memory that a backup takes does not grow with the width of a directory. Counted are the entries that wait, and
 * the bytes that the database is given at once; and a run that ends in the middle leaves the record of the last snapshot whole.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentDatabase, type DatabaseWrite, rootKey } from "#agent/backup/agent-database.ts";
import { DirectoryFrame } from "#agent/backup/directory-frame.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("wide directory", { timeoutMs: 300_000 });

const MIB = 1024 * 1024;
/** With the full count their trees are more than may wait. */
const subdirectoriesCount = count(600, 3000);
const LINKS_COUNT = 7;
const TARGET_BYTES = 3900;
const subdirectoryBytes = LINKS_COUNT * TARGET_BYTES;

const subdirectory = (machine: TestMachine, index: number): string =>
  machine.path(`sub-${String(index).padStart(6, "0")}`);

/** One file, and behind it subdirectories without files, each with a tree of nearly 32 KiB. */
async function wideMachine(name: string): Promise<TestMachine> {
  const machine = await TestMachine.make(name);
  writeFileSync(machine.path("a file"), "small");
  for (let i = 0; i < subdirectoriesCount; i++) {
    const path = subdirectory(machine, i);
    mkdirSync(path);
    const target = randomBytes(TARGET_BYTES / 2).toString("hex");
    for (let link = 0; link < LINKS_COUNT; link++)
      symlinkSync(target.slice(link * 2) + target.slice(0, link * 2), join(path, `${link}`));
  }
  return machine;
}

/** Runs `action` with every write to the database told first. */
async function watchingWrites<T>(
  onWrite: (writes: readonly DatabaseWrite[]) => void,
  action: () => Promise<T>,
): Promise<T> {
  const { write } = AgentDatabase.prototype;
  AgentDatabase.prototype.write = function watched(this: AgentDatabase, writes, durable) {
    onWrite(writes);
    return write.call(this, writes, durable);
  };
  try {
    return await action();
  } finally {
    AgentDatabase.prototype.write = write;
  }
}

const bytesOf = (writes: readonly DatabaseWrite[]): number =>
  writes.reduce((sum, write) => sum + (write.type === "put" ? write.value.length : 0), 0);

test("what waits behind one file, and what is written at once, stays below a bound; all of it comes back", async () => {
  const machine = await wideMachine("wide");
  let [mostWaiting, mostBytes, allBytes] = [0, 0, 0];
  const { complete } = DirectoryFrame.prototype;
  DirectoryFrame.prototype.complete = function watched(this: DirectoryFrame, ...completed) {
    mostWaiting = Math.max(mostWaiting, this.waitingCount);
    complete.apply(this, completed);
  };
  try {
    await watchingWrites(
      (writes) => {
        mostBytes = Math.max(mostBytes, bytesOf(writes));
        allBytes += bytesOf(writes);
      },
      () => machine.backUp(),
    );
  } finally {
    DirectoryFrame.prototype.complete = complete;
  }
  // Twice: in the records of the subdirectories, and in that of the directory above them.
  assert.ok(allBytes > 2 * subdirectoriesCount * subdirectoryBytes, `${allBytes} bytes were written`);
  assert.ok(mostBytes < 3 * MIB, `${mostBytes} bytes were written at once`);
  const bound = (64 * MIB) / subdirectoryBytes + 256;
  assert.ok(mostWaiting < bound, `${mostWaiting} entries waited`);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a run that ends when some pages are written leaves the last record whole: nothing is read again", async () => {
  const machine = await wideMachine("wide-interrupted");
  await machine.backUp();
  for (let i = 0; i < subdirectoriesCount; i++) utimesSync(subdirectory(machine, i), 1, 1);
  const controller = new AbortController();
  let writesCount = 0;
  const interrupted = watchingWrites(
    (writes) => {
      if (bytesOf(writes) > MIB && ++writesCount === 2) controller.abort();
    },
    () => machine.backUp({ signal: controller.signal }),
  );
  await assert.rejects(interrupted, { code: "interrupted" });
  {
    await using database = await AgentDatabase.open(join(machine.databaseDirectory, "index"));
    const record = database.directory(rootKey(byteStringFromText(machine.source)));
    assert.equal(record?.head.totals.objectsCount, 1 + subdirectoriesCount * (1 + LINKS_COUNT));
  }
  const { readFilesCount } = await machine.backUp();
  assert.equal(readFilesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
