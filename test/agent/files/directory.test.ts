// Goal: directories by descriptor see and make exactly what is there, by any name, and refuse what leads elsewhere.
import assert from "node:assert/strict";
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { isCostorError } from "#protocol/errors.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { OsError, isOsError } from "#agent/files/os-error.ts";
import { openRoot } from "#agent/files/root-path.ts";
import {
  CHANGE_SIGNATURE_BYTES,
  STAT_BYTES,
  S_IFCHR,
  S_IFIFO,
  decodeStat,
  writeChangeSignature,
} from "#agent/files/stat.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { makeNode, setTimesNs } from "#test/support/raw-files.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const isRoot = process.geteuid!() === 0;
const test = suite("directories");
const name = byteStringFromText;

async function scratch() {
  const path = await scratchDirectory("directory");
  return { path, directory: openRoot(name(path)) };
}

const fails = (action: () => unknown, code: string) =>
  assert.throws(action, (error) => error instanceof OsError && error.code === code);

test("names and records are those that Node sees", async () => {
  const { path, directory } = await scratch();
  makeTree(path, { deepLevelsCount: 2, wideEntriesCount: 5000, sparseBytes: 1 << 30 });
  const types = {
    isFile: "file",
    isDirectory: "directory",
    isSymbolicLink: "symlink",
    isFIFO: "fifo",
    isSocket: "socket",
    isCharacterDevice: "character",
    isBlockDevice: "block",
  } as const;
  for (const child of directory.names()) {
    using inner = directory.openChild(child);
    const at = (entry: ByteString) => Buffer.from(`${path}/${child}/${entry}`, "latin1");
    const names = inner.names();
    assert.deepEqual(
      names.toSorted(),
      readdirSync(`${path}/${child}`, { encoding: "buffer" })
        .map((entry) => entry.toString("latin1"))
        .sort(),
    );
    for (const entry of names) {
      const expected = lstatSync(at(entry), { bigint: true });
      const stat = inner.stat(entry);
      assert.equal(stat.type, Object.entries(types).find(([is]) => expected[is as keyof typeof types]())![1]);
      assert.equal(stat.mode, Number(expected.mode & 0o7777n));
      assert.deepEqual([stat.uid, stat.gid, stat.linkCount, stat.sizeBytes].map(BigInt), [
        expected.uid,
        expected.gid,
        expected.nlink,
        expected.size,
      ]);
      assert.deepEqual(
        [stat.inode, stat.mtimeNs, stat.ctimeNs, BigInt(stat.allocatedBytes)],
        [expected.ino, expected.mtimeNs, expected.ctimeNs, expected.blocks * 512n],
      );
      if (stat.type === "symlink") assert.equal(inner.readLink(entry), readlinkSync(at(entry), "latin1"));
    }
  }
  directory.close();
});

test("a directory may be listed again and sees what came since", async () => {
  const { path, directory } = await scratch();
  assert.deepEqual(directory.names(), []);
  writeFileSync(join(path, "new"), "");
  assert.deepEqual(directory.names(), ["new"]);
  directory.close();
});

test("names that could leave the directory are refused everywhere", async () => {
  const { directory } = await scratch();
  for (const bad of ["", ".", "..", "a/b", "/etc", "a\0b", "x".repeat(256)] as ByteString[]) {
    const calls = [
      () => directory.openChild(bad),
      () => directory.openFile(bad),
      () => directory.openPath(bad),
      () => directory.readLink(bad),
      () => directory.createDirectory(bad),
      () => directory.createFile(bad),
      () => directory.createSymlink(bad, name("target")),
      () => directory.createNode(bad, S_IFIFO),
      () => directory.link(bad, directory, name("x")),
      () => directory.link(name("x"), directory, bad),
      () => directory.rename(bad, directory, name("x")),
      () => directory.rename(name("x"), directory, bad),
      () => directory.renameNew(name("x"), directory, bad),
      () => directory.removeFile(bad),
      () => directory.removeDirectory(bad),
    ];
    for (const call of calls)
      assert.throws(call, (error) => isCostorError(error, "restore-refused"), `${JSON.stringify(bad)} in ${call}`);
  }
  directory.close();
});

test("symlinks are never followed", async () => {
  const { path, directory } = await scratch();
  mkdirSync(join(path, "real"));
  symlinkSync("real", join(path, "link"));
  symlinkSync("file", join(path, "file-link"));
  writeFileSync(join(path, "file"), "");
  fails(() => directory.openChild(name("link")), "ENOTDIR");
  fails(() => directory.openFile(name("file-link")), "ELOOP");
  fails(() => directory.createFile(name("file-link")), "EEXIST");
  assert.equal(directory.stat(name("link")).type, "symlink");
  directory.link(name("link"), directory, name("link-too"));
  assert.equal(directory.stat(name("link-too")).type, "symlink");
  directory.close();
});

test("opening a FIFO that nobody writes to does not wait", async () => {
  const { path, directory } = await scratch();
  makeNode(Buffer.from(join(path, "fifo")), S_IFIFO | 0o600);
  closeDescriptor(directory.openFile(name("fifo")));
  directory.close();
});

test("a file is opened only while it is the one that was seen", async () => {
  const { path, directory } = await scratch();
  const at = (entry: string) => join(path, entry);
  const stat = Buffer.alloc(STAT_BYTES);
  writeFileSync(at("file"), "first");
  directory.statInto(name("file"), stat);
  writeFileSync(at("file"), "first, longer");
  const fd = directory.openSameFile(name("file"), stat);
  assert.equal(decodeStat(stat).sizeBytes, 13, "the record is the newest");
  closeDescriptor(fd);
  for (const replace of [
    () => writeFileSync(at("new"), "other"),
    () => makeNode(Buffer.from(at("new")), S_IFIFO | 0o600),
    () => mkdirSync(at("new")),
  ]) {
    replace();
    rmSync(at("file"), { recursive: true });
    renameSync(at("new"), at("file"));
    fails(() => directory.openSameFile(name("file"), stat), "ESTALE");
  }
  directory.close();
});

test("reading leaves the access time as it was, for the owner", async () => {
  const { path, directory } = await scratch();
  writeFileSync(join(path, "file"), "read me");
  utimesSync(join(path, "file"), 1, 1_000_000_000);
  const fd = directory.openFile(name("file"));
  assert.equal(readSync(fd, Buffer.alloc(10)), 7);
  closeDescriptor(fd);
  assert.equal(statSync(join(path, "file")).atimeMs, 1000);
  directory.close();
});

test("making what is there already fails, whatever it is", async () => {
  const { path, directory } = await scratch();
  symlinkSync("nowhere", join(path, "taken"));
  writeFileSync(join(path, "source"), "source");
  for (const make of [
    () => directory.createDirectory(name("taken")),
    () => directory.createFile(name("taken")),
    () => directory.createSymlink(name("taken"), name("target")),
    () => directory.createNode(name("taken"), S_IFIFO),
    () => directory.link(name("source"), directory, name("taken")),
    () => directory.renameNew(name("source"), directory, name("taken")),
  ]) {
    fails(make, "EEXIST");
  }
  directory.rename(name("source"), directory, name("taken"));
  assert.deepEqual(directory.names(), ["taken"]);
  directory.close();
});

test("device numbers of all sizes come out as they went in", async ({ skip }) => {
  if (!isRoot) skip("only root makes devices");
  const { directory } = await scratch();
  for (const [major, minor] of [
    [1, 3],
    [0, 0],
    [4095, 1_048_575],
    [255, 256],
    [256, 255],
    [8, 65_536],
  ] as const) {
    directory.createNode(name("device"), S_IFCHR, 0o600, major, minor);
    const stat = directory.stat(name("device"));
    assert.deepEqual([stat.rdevMajor, stat.rdevMinor], [major, minor]);
    directory.removeFile(name("device"));
  }
  directory.close();
});

test("the change signature differs when inode, size, mtime or ctime does, by a nanosecond even", async () => {
  const { path, directory } = await scratch();
  const file = join(path, "file");
  const signature = () => {
    const [stat, bytes] = [Buffer.alloc(STAT_BYTES * 2), Buffer.alloc(CHANGE_SIGNATURE_BYTES + 5)];
    directory.statInto(name("file"), stat, 7);
    writeChangeSignature(stat, 7, bytes, 5);
    return bytes.toString("hex", 5);
  };
  writeFileSync(file, "text");
  const seen = new Set([signature()]);
  assert.equal(signature(), [...seen][0]);
  const changes = [
    ...[
      0n,
      1n,
      -1n,
      -2n,
      999_999_999n,
      1_000_000_000n,
      4_102_444_800_000_000_000n,
      2n ** 31n * 1_000_000_000n,
      -(2n ** 31n) * 1_000_000_000n,
    ].map((mtimeNs) => () => setTimesNs(Buffer.from(file), mtimeNs)),
    () => writeFileSync(file, "longer text"),
    () => (linkSync(file, join(path, "second")), rmSync(join(path, "second"))),
    () => (writeFileSync(join(path, "other"), "longer text"), renameSync(join(path, "other"), file)),
  ];
  for (const [index, change] of changes.entries()) {
    const before = seen.size;
    change();
    seen.add(signature());
    assert.equal(seen.size, before + 1, `change ${index} is not seen`);
  }
  directory.close();
});

test("a closed directory gives back its descriptor once", async () => {
  const { path, directory } = await scratch();
  directory.close();
  // Other threads take descriptors too: open until the number comes up again.
  const opened: number[] = [];
  while (!opened.includes(directory.fd) && opened.length < 64) opened.push(openSync(path, "r"));
  assert.ok(opened.includes(directory.fd), "the number is free again");
  directory.close();
  for (const fd of opened) assert.ok(fstatSync(fd).isDirectory(), "a second close takes nobody else's descriptor");
  for (const fd of opened) closeSync(fd);
});

test("failures have the system's name and say what failed", async () => {
  const { directory } = await scratch();
  const failure = (() => {
    try {
      return directory.openFile(name("missing\x1b"));
    } catch (error) {
      return error;
    }
  })();
  assert.ok(isOsError(failure));
  assert.deepEqual([failure.code, failure.errno, failure.syscall], ["ENOENT", 2, "openat"]);
  assert.equal(failure.message, "ENOENT: no such file or directory, openat 'missing\\x1b'");
  directory.close();
});

test.run();
