/**
 * Goal: what cannot be read is named with its cause, counted, makes the snapshot partial, and stops nothing else.
 * Method: rights taken away from a user that is not root (root's test becomes nobody for it), and roots of every kind.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { Directory } from "#agent/files/directory.ts";
import { libc } from "#agent/files/libc.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { setRawXattr } from "#test/support/raw-files.ts";
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

test("roots may be files and symlinks; what a symlink leads to is not taken, which is told each time", async () => {
  const machine = await machineWithTree();
  symlinkSync("open", machine.path("link"));
  const paths = ["a", "link"].map((name) => machine.path(name));
  const report = await machine.backUp({ paths });
  assert.deepEqual([report.filesCount, causes(report)], [1, [[paths[1], "file-unreadable"]]]);
  assert.match(report.unreadable[0]!.message, /a symlink to open, .* name what it leads to as a root/);
  assert.deepEqual(
    machine.site.snapshots[0]!.roots.map((root) => Buffer.from(root, "base64").toString()),
    paths,
  );
  const { to } = await machine.restore();
  for (const name of ["open", "z"]) assert.equal(existsSync(join(to, machine.path(name))), false);
  assert.equal((await machine.site.object(machine.path("link")))?.type, "symlink");
  for (const again of [[paths[1]!], [`${paths[1]!}/`], [machine.source, paths[1]!]]) {
    const { unreadable, snapshotId } = await machine.backUp({ paths: again });
    assert.deepEqual([unreadable.map(({ path }) => path), snapshotId], [[paths[1]], machine.site.newestId]);
  }
  assert.equal((await machine.backUp({ paths: [paths[1]!], dryRun: true })).unreadableCount, 1);
  assert.equal((await machine.backUp()).unreadableCount, 0);
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

test("another file system that is a root of its own is taken, also through one that is not", async ({ skip }) => {
  const machine = await machineWithTree();
  mkdirSync(machine.path("mounted"));
  if (process.geteuid!() !== 0) skip("only root can mount");
  try {
    shell(machine, "mount -t tmpfs tmpfs mounted 2>/dev/null");
  } catch {
    skip("nothing can be mounted here");
  }
  try {
    shell(
      machine,
      "mkdir mounted/inner; echo x > mounted/left; mount -t tmpfs tmpfs mounted/inner; echo x > mounted/inner/file",
    );
    const config = { oneFileSystem: true };
    const fileNames = async (...paths: string[]): Promise<string[]> => {
      await machine.backUp({ config, paths: [machine.source, ...paths.map((path) => machine.path(path))] });
      const found: string[] = [];
      for (const name of ["mounted/left", "mounted/inner/file"])
        if ((await machine.site.object(machine.path(name))) !== undefined) found.push(name);
      return found;
    };
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(await fileNames(), []);
      assert.deepEqual(await fileNames("mounted"), ["mounted/left"]);
      assert.deepEqual(await fileNames("mounted/inner"), ["mounted/inner/file"]);
      assert.deepEqual(await fileNames("mounted/inner", "mounted"), ["mounted/left", "mounted/inner/file"]);
    }
  } finally {
    shell(machine, "umount mounted/inner; umount mounted");
  }
});

test("/ itself is taken with what is on its file system", async ({ skip }) => {
  if (process.geteuid!() !== 0) skip("only root may list all directories");
  const machine = await machineWithTree();
  if (statSync(machine.source).dev !== statSync("/").dev) skip("temporary files are on another file system than /");
  // Nothing but the way to the tree, so that the walk is short.
  const names = machine.source.split("/").slice(1);
  const exclude = names.flatMap((_, depth) => {
    const above = `/${names.slice(0, depth).join("/")}`.replace(/\/$/, "");
    return [`${above}/*`, `!${above}/${names[depth]!}`];
  });
  const report = await machine.backUp({ config: { oneFileSystem: true, exclude }, paths: ["/"] });
  assert.deepEqual([report.filesCount, report.unreadable], [4, []]);
});

test("an attribute that cannot be read is reported, and tried again by the next backup", async () => {
  const machine = await machineWithTree();
  setRawXattr(Buffer.from(machine.path("a")), "user.kept", Buffer.from("value"));
  const { fgetxattr } = libc;
  const broken = libc as { fgetxattr: typeof fgetxattr };
  broken.fgetxattr = (_fd, name, address, size) => fgetxattr(-1, name, address, size);
  try {
    assert.ok((await machine.backUp()).unreadableCount > 0);
  } finally {
    broken.fgetxattr = fgetxattr;
  }
  const again = await machine.backUp();
  assert.deepEqual([again.unreadableCount, again.readFilesCount], [0, 1]);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a file that another program holds a lease on is waited for", async () => {
  const machine = await machineWithTree();
  writeFileSync(machine.path("leased"), "document");
  const holder = [
    "import fcntl, os, signal, sys, time",
    "fd = os.open(sys.argv[1], os.O_RDWR)",
    "signal.signal(signal.SIGIO, lambda s, f: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK))",
    "fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)",
    'print("held", flush=True)',
    "signal.pause()",
    "signal.pause()",
  ].join("\n");
  const child = spawn("python3", ["-c", holder, machine.path("leased")], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(child.stdout, "data");
    const report = await machine.backUp();
    assert.deepEqual([report.unreadable, report.filesCount], [[], 5]);
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a name longer than a tree can hold is reported, and a name listed twice is taken once", async () => {
  const machine = await machineWithTree();
  const names = Directory.prototype.names;
  const long = "\xd0\xb1".repeat(200) as ByteString;
  // As other systems' file systems do.
  Directory.prototype.names = function listing(this: Directory) {
    const listed = names.call(this);
    return listed.includes("a" as ByteString) ? [...listed, ...listed, long] : listed;
  };
  try {
    const report = await machine.backUp();
    assert.deepEqual(
      report.unreadable.map(({ code }) => code),
      ["ENAMETOOLONG"],
    );
    assert.equal(report.filesCount, 4);
  } finally {
    Directory.prototype.names = names;
  }
  assert.deepEqual(await machine.restoreDifferences(), []);
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
