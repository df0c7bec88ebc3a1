/**
 * Goal: what cannot be read is named with its cause, counted, makes the snapshot partial, and stops nothing else.
 * Method: rights taken away from a user that is not root (root's test becomes nobody for it), and roots of every kind.
 */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine, asNobody, shell } from "./backup-fixture.ts";

const test = suite("what cannot be read", { timeoutMs: 60_000 });

const causes = ({ unreadable }: BackupReport): [path: string, code: string][] =>
  unreadable.map(({ path, code }): [string, string] => [path, code]).sort();

async function machineWithTree(): Promise<TestMachine> {
  const machine = await TestMachine.make("unreadable");
  mkdirSync(machine.path("open"));
  mkdirSync(machine.path("closed"));
  for (const name of ["a", "open/b", "closed/c", "z"]) writeFileSync(machine.path(name), `content of ${name}`);
  return machine;
}

test("a file and a directory without rights are reported, and all around them is kept", async () => {
  const machine = await machineWithTree();
  chmodSync(machine.path("open/b"), 0);
  chmodSync(machine.path("closed"), 0);
  const report = await asNobody(machine, () => machine.backUp());
  assert.deepEqual(causes(report), [
    [machine.path("closed"), "EACCES"],
    [machine.path("open/b"), "EACCES"],
  ]);
  assert.equal(report.unreadableCount, 2);
  assert.equal(machine.site.snapshots[0]!.unreadableCount, 2);
  assert.equal(report.filesCount, 2);
  const { to } = await machine.restore();
  assert.deepEqual(
    ["a", "z", "open", "open/b", "closed"].map((name) => existsSync(join(to, machine.path(name)))),
    [true, true, true, false, false],
  );
  chmodSync(machine.path("open/b"), 0o644);
  chmodSync(machine.path("closed"), 0o755);
  const whole = await machine.backUp();
  assert.deepEqual([whole.unreadableCount, whole.filesCount], [0, 4]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("what stays unreadable is reported each time, and nothing is sent again for it", async () => {
  const machine = await machineWithTree();
  chmodSync(machine.path("open/b"), 0);
  const first = await asNobody(machine, () => machine.backUp());
  const second = await asNobody(machine, () => machine.backUp());
  assert.deepEqual(causes(second), causes(first));
  assert.deepEqual([second.readFilesCount, machine.site.sentPrimesCount], [0, 0]);
  // What lies above the source is not this test's.
  assert.deepEqual(await machine.site.object(machine.source), await machine.site.object(machine.source, 1));
});

test("a directory that may be listed but not passed has all its entries reported", async () => {
  const machine = await machineWithTree();
  writeFileSync(machine.path("closed/d"), "d");
  chmodSync(machine.path("closed"), 0o444);
  const report = await asNobody(machine, () => machine.backUp());
  chmodSync(machine.path("closed"), 0o755);
  assert.deepEqual(causes(report), [
    [machine.path("closed/c"), "EACCES"],
    [machine.path("closed/d"), "EACCES"],
  ]);
  assert.equal((await machine.site.object(machine.path("closed")))?.type, "directory");
});

test("a directory that was readable and is no more, then is again", async () => {
  const machine = await machineWithTree();
  await asNobody(machine, () => machine.backUp());
  chmodSync(machine.path("closed"), 0);
  assert.equal((await asNobody(machine, () => machine.backUp())).filesCount, 3);
  chmodSync(machine.path("closed"), 0o755);
  const again = await asNobody(machine, () => machine.backUp());
  assert.deepEqual([again.filesCount, again.unreadableCount], [4, 0]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a user who may pass the directories above a root, but not read them, backs it up", async () => {
  const machine = await machineWithTree();
  mkdirSync(machine.path("passage"));
  mkdirSync(machine.path("passage/own"));
  writeFileSync(machine.path("passage/own/file"), "mine");
  chmodSync(machine.path("passage"), 0o111);
  const root = machine.path("passage/own");
  const report = await asNobody(machine, () => machine.backUp({ paths: [root] }));
  assert.deepEqual([report.filesCount, causes(report)], [1, []]);
  // The passage itself is in the snapshot, with what is known of it from outside.
  assert.equal((await machine.site.object(machine.path("passage")))?.mode, 0o111);
  assert.deepEqual(await machine.restoreDifferences(root), []);
});

test("a file that opens and then fails to be read is reported, and its neighbours are kept", async ({ skip }) => {
  // The kernel gives this file a size, opens it, and refuses to read it: the loop device has no speed.
  const failing = "/sys/devices/virtual/net/lo/speed";
  if (!existsSync(failing)) skip("there is no such file here");
  const cause = (() => {
    try {
      readFileSync(failing);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  })();
  if (cause === undefined) skip("it can be read here");
  const machine = await machineWithTree();
  const report = await machine.backUp({ paths: [machine.source, failing] });
  assert.deepEqual(causes(report), [[failing, cause]]);
  assert.equal(report.filesCount, 4);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("roots may be files and symlinks; what a symlink leads to is not taken", async () => {
  const machine = await machineWithTree();
  symlinkSync("open", machine.path("link"));
  const paths = ["a", "link"].map((name) => machine.path(name));
  const report = await machine.backUp({ paths });
  assert.deepEqual([report.filesCount, report.unreadableCount], [1, 0]);
  assert.deepEqual(
    machine.site.snapshots[0]!.roots.map((root) => Buffer.from(root, "base64").toString()),
    paths,
  );
  const { to } = await machine.restore();
  for (const name of ["open", "z"]) assert.equal(existsSync(join(to, machine.path(name))), false);
  assert.equal((await machine.site.object(machine.path("link")))?.type, "symlink");
});

test("a root that is missing is reported; when no root is there, the backup fails and keeps nothing", async () => {
  const machine = await machineWithTree();
  const missing = machine.path("not here");
  const report = await machine.backUp({ paths: [machine.source, machine.path("a"), join(machine.directory, "gone")] });
  assert.deepEqual(causes(report), [[join(machine.directory, "gone"), "ENOENT"]]);
  await assert.rejects(machine.backUp({ paths: [missing, `${missing}/deeper`] }), {
    code: "file-unreadable",
    message: /not here/,
  });
  assert.equal(machine.site.snapshots.length, 1);
});

test("a root below a file, or below a symlink that cannot be trusted, is reported; neither is taken in its place", async () => {
  const machine = await machineWithTree();
  mkdirSync(machine.path("target"));
  writeFileSync(machine.path("target/secret"), "secret");
  const paths = [machine.path("open"), machine.path("a/deeper")];
  const expected: [string, string][] = [[machine.path("a"), "ENOTDIR"]];
  if (process.geteuid!() === 0) {
    // A user's own directory, in which he puts a link to somewhere else: root does not go there.
    shell(machine, "mkdir theirs; ln -s ../target theirs/link; chown -h 12345 theirs theirs/link");
    paths.push(machine.path("theirs/link/secret"));
    expected.push([machine.path("theirs/link"), "ENOTDIR"]);
  }
  const report = await machine.backUp({ paths });
  assert.deepEqual(causes(report), expected);
  assert.equal(report.filesCount, 1);
  assert.equal(await machine.site.object(machine.path("a")), undefined);
});

test("names above a root need not be UTF-8, and trusted symlinks there are followed", async () => {
  const machine = await machineWithTree();
  shell(machine, `mkdir $'od\\xff'; mkdir $'od\\xff/in'; echo x > $'od\\xff/in/file'; ln -s $'od\\xff' link`);
  await machine.backUp({ paths: [machine.path("link/in")] });
  const [root] = machine.site.snapshots[0]!.roots.map((text) => Buffer.from(text, "base64").toString("latin1"));
  assert.equal(root, `${machine.source}/od\xff/in`);
  assert.equal((await machine.site.object(`${root}/file`))?.type, "file");
});

test("another file system below a root is left out when asked, its mount point kept", async ({ skip }) => {
  const machine = await machineWithTree();
  mkdirSync(machine.path("mounted"));
  if (process.geteuid!() !== 0) skip("only root can mount");
  try {
    shell(machine, "mount -t tmpfs -o mode=750 tmpfs mounted 2>/dev/null");
  } catch {
    skip("nothing can be mounted here");
  }
  try {
    writeFileSync(machine.path("mounted/inside"), "on the other file system");
    const config = { oneFileSystem: true };
    const left = await machine.backUp({ config });
    assert.deepEqual([left.filesCount, left.unreadableCount], [4, 0]);
    assert.equal((await machine.site.object(machine.path("mounted")))?.mode, 0o750);
    assert.equal(await machine.site.object(machine.path("mounted/inside")), undefined);
    assert.equal((await machine.backUp()).filesCount, 5);
    assert.equal((await machine.backUp({ config })).filesCount, 4);
    assert.equal((await machine.backUp({ config, paths: [machine.path("mounted")] })).filesCount, 1);
  } finally {
    shell(machine, "umount mounted");
  }
});

test("excluded paths are left out, also those that the last backup took", async () => {
  const machine = await machineWithTree();
  await machine.backUp();
  const config = { exclude: ["*.tmp", `${machine.path("closed")}/`] };
  writeFileSync(machine.path("open/cache.tmp"), "temporary");
  const report = await machine.backUp({ config });
  assert.deepEqual([report.filesCount, report.readFilesCount, report.unreadableCount], [3, 0, 0]);
  for (const name of ["closed", "open/cache.tmp"])
    assert.equal(await machine.site.object(machine.path(name)), undefined);
  assert.equal((await machine.backUp()).filesCount, 5);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("the agent's own database is not backed up, wherever it is", async () => {
  const machine = await machineWithTree();
  const report = await machine.backUp({ paths: [machine.directory] });
  assert.equal(report.filesCount, 4);
  assert.equal(await machine.site.object(machine.databaseDirectory), undefined);
  rmSync(machine.path("a"));
  await machine.backUp({ paths: [machine.directory] });
  const { to } = await machine.restore();
  assert.deepEqual(treeDifferences(machine.source, join(to, machine.source)), []);
});

test.run();
