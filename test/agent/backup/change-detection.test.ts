/**
 * Goal: a backup reads what changed and nothing else, sends what is new and nothing else, and what it keeps is right.
 * Method: real files, the agent's own database, a site in memory that counts; a clock that is ahead, so that what the
 * test has just made is not too young to be trusted.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { Directory } from "#agent/files/directory.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { setRawXattr } from "#test/support/raw-files.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine, shell } from "./backup-fixture.ts";

const test = suite("change detection", { timeoutMs: 60_000 });

/** A machine whose tree was backed up: three small files two levels down, one in parts, one directory beside. */
async function backedUp(): Promise<TestMachine> {
  const machine = await TestMachine.make("changes");
  mkdirSync(machine.path("a/b/c"), { recursive: true });
  mkdirSync(machine.path("other"));
  for (const name of ["one", "two", "three"]) writeFileSync(machine.path("a/b", name), `content of ${name}`);
  writeFileSync(machine.path("other/small"), "small");
  writeFileSync(machine.path("large"), randomBytes(2_000_000));
  await machine.backUp();
  return machine;
}

const readCounts = (report: BackupReport): number[] => [report.readFilesCount, report.readBytes];

test("an unchanged tree is neither read, nor asked about, nor sent", async () => {
  const machine = await backedUp();
  const second = await machine.backUp();
  assert.deepEqual([second.filesCount, second.objectsCount > 5, second.bytes > 2_000_000], [5, true, true]);
  assert.deepEqual(readCounts(second), [0, 0]);
  assert.deepEqual([machine.site.sentPrimesCount, machine.site.askedIdsCount], [0, 0]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("two snapshots of an unchanged tree have one node for it", async () => {
  const machine = await backedUp();
  await machine.backUp();
  assert.deepEqual(await machine.site.object(machine.source), await machine.site.object(machine.source, 1));
});

test("a change of content with the size and the time put back is seen by its ctime", async () => {
  const machine = await backedUp();
  const { atime, mtime } = statSync(machine.path("a/b/one"));
  writeFileSync(machine.path("a/b/one"), "CONTENT OF ONE".padEnd("content of one".length));
  utimesSync(machine.path("a/b/one"), atime, mtime);
  assert.deepEqual(readCounts(await machine.backUp()), [1, 14]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a new mode, owner or attribute has one file looked at, and none of its bytes sent", async () => {
  const machine = await backedUp();
  chmodSync(machine.path("large"), 0o600);
  const mode = await machine.backUp();
  assert.deepEqual(readCounts(mode), [1, 2_000_000]);
  // The content is found again by its hash; only the tree, small enough for the commit itself, is new.
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
  if (!setRawXattr(Buffer.from(machine.path("large")), "user.costor", Buffer.from("new"))) return;
  assert.deepEqual(readCounts(await machine.backUp()), [1, 2_000_000]);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a new mode of a directory has nothing read", async () => {
  const machine = await backedUp();
  chmodSync(machine.path("a/b"), 0o750);
  assert.deepEqual(readCounts(await machine.backUp()), [0, 0]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a file under a new name in its directory is read, since its ctime is new, and not sent again", async () => {
  const machine = await backedUp();
  renameSync(machine.path("a/b/one"), machine.path("a/b/renamed"));
  assert.deepEqual(readCounts(await machine.backUp()), [1, 14]);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a directory under a new name is read anew, none of it is sent again, and what was recorded of it is forgotten", async () => {
  const machine = await backedUp();
  renameSync(machine.path("a"), machine.path("z"));
  assert.equal((await machine.backUp()).readFilesCount, 3);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(await machine.restoreDifferences(), []);
  renameSync(machine.path("z"), machine.path("a"));
  assert.equal((await machine.backUp()).readFilesCount, 3);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("what was deleted is gone, and nothing is read for that", async () => {
  const machine = await backedUp();
  rmSync(machine.path("a/b/one"));
  rmSync(machine.path("other"), { recursive: true });
  const report = await machine.backUp();
  assert.deepEqual([report.filesCount, ...readCounts(report)], [3, 0, 0]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("only what is new among old names is read and sent", async () => {
  const machine = await backedUp();
  writeFileSync(machine.path("a/b/0-first"), "first");
  writeFileSync(machine.path("a/b/zzz-last"), "last");
  mkdirSync(machine.path("new/deep"), { recursive: true });
  writeFileSync(machine.path("new/deep/file"), "deep");
  const report = await machine.backUp();
  assert.deepEqual(readCounts(report), [3, 13]);
  assert.equal(machine.site.sentPrimesCount, 1, "one bundle");
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a directory that becomes a file, a file that becomes a directory, a file that becomes a symlink", async () => {
  const machine = await backedUp();
  rmSync(machine.path("a/b"), { recursive: true });
  writeFileSync(machine.path("a/b"), "now a file");
  rmSync(machine.path("large"));
  mkdirSync(machine.path("large"));
  writeFileSync(machine.path("large/inner"), "in what was a file");
  rmSync(machine.path("other/small"));
  symlinkSync("../large", machine.path("other/small"));
  assert.equal((await machine.backUp()).readFilesCount, 2);
  assert.deepEqual(await machine.restoreDifferences(), []);
  // And back: nothing of the first directory's record may be taken for the new one.
  rmSync(machine.path("a/b"));
  mkdirSync(machine.path("a/b"));
  writeFileSync(machine.path("a/b/one"), "content of ONE");
  assert.equal((await machine.backUp()).readFilesCount, 1);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a hard link that is added shows in both names, and the content is read once", async () => {
  const machine = await backedUp();
  linkSync(machine.path("large"), machine.path("other/again"));
  const report = await machine.backUp();
  assert.deepEqual(readCounts(report), [2, 2_000_000]);
  assert.equal(machine.site.sentPrimesCount, 0);
  const [one, other] = [
    await machine.site.object(machine.path("large")),
    await machine.site.object(machine.path("other/again")),
  ];
  assert.ok(one!.linkGroup && Buffer.from(one!.linkGroup).equals(other!.linkGroup!));
  assert.deepEqual(await machine.restoreDifferences(), []);
  rmSync(machine.path("other/again"));
  await machine.backUp();
  assert.equal((await machine.site.object(machine.path("large")))!.linkGroup, undefined);
});

/** Calls `action` once, when the scan comes to the directory that holds `name`. */
async function whenListed<T>(name: string, action: () => void, backUp: () => Promise<T>): Promise<T> {
  const { names } = Directory.prototype;
  let isDone = false;
  Directory.prototype.names = function listing(this: Directory) {
    const listed = names.call(this);
    if (!isDone && listed.includes(name as ByteString)) {
      isDone = true;
      action();
    }
    return listed;
  };
  try {
    return await backUp();
  } finally {
    Directory.prototype.names = names;
  }
}

for (const lengthBytes of [300_000, 300_001])
  test(`a file that is rewritten between the looks at its two names is read by each, with ${lengthBytes} bytes after 300000`, async () => {
    const machine = await TestMachine.make("rewritten");
    for (const name of ["a", "between", "z"]) mkdirSync(machine.path(name));
    const [before, after] = [randomBytes(300_000), randomBytes(lengthBytes)];
    writeFileSync(machine.path("a/x"), before);
    linkSync(machine.path("a/x"), machine.path("z/x"));
    writeFileSync(machine.path("z/last"), "");
    // The scan waits for so many until the first one is read.
    for (let i = 0; i < 8; i++) writeFileSync(machine.path("between", `${i}`), randomBytes(300_000));
    const rewrite = (): void => {
      writeFileSync(machine.path("a/x"), after);
      utimesSync(machine.path("a/x"), 1_700_000_000, 1_700_000_000);
    };
    const report = await whenListed("last", rewrite, () => machine.backUp());
    assert.equal(report.readFilesCount, 11);
    for (const dryRun of [true, false]) {
      const { report: restored, to } = await machine.restore({ dryRun });
      assert.deepEqual([restored.failedCount, restored.restoredBytes], [0, 2_700_000 + lengthBytes]);
      if (dryRun) continue;
      assert.ok(readFileSync(join(to, machine.path("a/x"))).equals(before));
      assert.ok(readFileSync(join(to, machine.path("z/x"))).equals(after));
      assert.equal(statSync(join(to, machine.path("z/x"))).mtimeMs, 1_700_000_000_000);
    }
    assert.equal((await machine.backUp()).readFilesCount, 1);
    assert.deepEqual(await machine.restoreDifferences(), []);
  });

test("what was changed within the tick of the clock of the last backup is read again", async () => {
  const machine = await backedUp();
  writeFileSync(machine.path("a/b/one"), "CONTENT OF ONE");
  const young = await machine.backUp({ nowMs: Date.now });
  assert.deepEqual(readCounts(young), [1, 14]);
  // As if it had changed once more in the same tick, which no record shows.
  assert.deepEqual(readCounts(await machine.backUp()), [1, 14]);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.deepEqual(readCounts(await machine.backUp()), [0, 0]);
});

test("a file whose time lies in a distant future is not read again for that", async () => {
  const machine = await backedUp();
  utimesSync(machine.path("a/b/one"), 4_102_444_800, 4_102_444_800);
  assert.deepEqual(readCounts(await machine.backUp()), [1, 14]);
  assert.deepEqual(readCounts(await machine.backUp()), [0, 0]);
});

test("reading leaves no trace on the files' access times", async ({ skip }) => {
  const machine = await TestMachine.make("atime");
  writeFileSync(machine.path("file"), "read me");
  utimesSync(machine.path("file"), 1_000, 2_000);
  readFileSync(machine.path("file"));
  if (statSync(machine.path("file")).atimeMs === 1_000_000) skip("this file system keeps no access times");
  utimesSync(machine.path("file"), 1_000, 2_000);
  await machine.backUp();
  assert.equal(statSync(machine.path("file")).atimeMs, 1_000_000);
});

test("of two alike files only one is sent, also when they come in different backups", async () => {
  const machine = await TestMachine.make("alike");
  const bytes = randomBytes(300_000);
  writeFileSync(machine.path("one"), bytes);
  writeFileSync(machine.path("small-one"), "alike");
  await machine.backUp();
  const sentBytes = machine.site.sentBytes;
  writeFileSync(machine.path("two"), bytes);
  writeFileSync(machine.path("small-two"), "alike");
  await machine.backUp();
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.ok(sentBytes > 300_000);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a directory with a socket in it counts as unchanged", async () => {
  const machine = await backedUp();
  shell(machine, `python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("a/b/socket")'`);
  assert.equal((await machine.backUp()).skippedSocketsCount, 1);
  const again = await machine.backUp();
  assert.deepEqual([again.skippedSocketsCount, ...readCounts(again)], [1, 0, 0]);
  assert.deepEqual(await machine.site.object(machine.source), await machine.site.object(machine.source, 1));
});

test("an interrupted backup goes on in its session, and sends nothing that was acknowledged again", async () => {
  const machine = await TestMachine.make("interrupted");
  for (let i = 0; i < 24; i++) writeFileSync(machine.path(`${i}`), randomBytes(1_000_000));
  const controller = new AbortController();
  machine.site.onCall = (call) => {
    if (call === "sendPrimes" && machine.site.calls.sendPrimes > 3) controller.abort();
  };
  await assert.rejects(machine.backUp({ signal: controller.signal }), { code: "interrupted" });
  const keptCount = machine.site.primes.size;
  assert.ok(keptCount > 0 && machine.site.snapshots.length === 0);
  machine.site.onCall = () => undefined;
  await machine.backUp();
  assert.deepEqual(machine.site.resentIds, []);
  const { sentPrimesCount, sentRootsCount } = machine.site;
  assert.equal(sentPrimesCount + sentRootsCount, machine.site.primes.size - keptCount);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("what the site has lost is sent again, and no more than that", async () => {
  const machine = await backedUp();
  const object = await machine.site.object(machine.path("large"));
  assert.ok(object?.type === "file" && "slices" in object.content);
  const lost = object.content.slices[0]!.prime.id;
  machine.site.lose(lost);
  await machine.backUp();
  assert.deepEqual([...machine.site.primes.keys()].includes(lost), true);
  assert.deepEqual([machine.site.sentPrimesCount, machine.site.resentIds], [1, []]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a run that was cut short after the site had lost something need not be made again from its beginning", async () => {
  const machine = await backedUp();
  machine.site.lose(...machine.site.primes.keys());
  const controller = new AbortController();
  machine.site.onCall = (call) => {
    if (call === "commit") controller.abort();
  };
  await assert.rejects(machine.backUp({ signal: controller.signal }), { code: "interrupted" });
  machine.site.onCall = () => undefined;
  assert.deepEqual(readCounts(await machine.backUp()), [0, 0]);
  assert.deepEqual(machine.site.resentIds, []);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a run that was cut short while it asked what the site has lost asks again", async () => {
  const machine = await backedUp();
  machine.site.lose(...machine.site.primes.keys());
  const controller = new AbortController();
  machine.site.onCall = (call) => {
    if (call === "missing") controller.abort();
  };
  await assert.rejects(machine.backUp({ signal: controller.signal }));
  machine.site.onCall = () => undefined;
  await machine.backUp();
  assert.deepEqual([machine.site.calls.commit, machine.site.resentIds], [1, []]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a loss that the site did not announce shows at the commit, and is made good in the same run and session", async () => {
  const machine = await backedUp();
  const { storeGeneration } = machine.site;
  machine.site.lose(...machine.site.primes.keys());
  machine.site.storeGeneration = storeGeneration;
  writeFileSync(machine.path("other/small"), "changed");
  const openSession = machine.site.openSession.bind(machine.site);
  const openedFor = new Set<string>();
  machine.site.openSession = (request, signal) => {
    openedFor.add(request.snapshotId);
    return openSession(request, signal);
  };
  await machine.backUp();
  assert.equal(machine.site.calls.commit, 2);
  assert.deepEqual([...openedFor], [machine.site.newestId]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
