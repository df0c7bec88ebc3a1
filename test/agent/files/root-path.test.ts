// Goal: what a person names is opened, and nobody who owns a part of the path can lead it elsewhere.
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lchownSync,
  mkdirSync,
  openSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { isCostorError } from "#protocol/errors.ts";
import { OsError } from "#agent/files/os-error.ts";
import { componentsOf, openOrCreateRoot, openRoot, openRootParent } from "#agent/files/root-path.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const isRoot = process.geteuid!() === 0;
const test = suite("root paths");
const name = byteStringFromText;
const fails = (action: () => unknown, code: string) =>
  assert.throws(action, (error) => error instanceof OsError && error.code === code);
const inodeOf = (path: string) => statSync(path, { bigint: true }).ino;

test("an absolute path is split into its components", () => {
  assert.deepEqual(componentsOf(name("/")), []);
  assert.deepEqual(componentsOf(name("//a/./b//")), ["a", "b"]);
  for (const bad of ["", "a/b", "./a", "/a/../b", "/a\0b"])
    assert.throws(
      () => componentsOf(bad as ByteString),
      (error) => isCostorError(error, "bad-usage"),
    );
});

test("a directory is opened, the parent of anything too", async () => {
  const path = await scratchDirectory("root");
  writeFileSync(join(path, "file"), "");
  using directory = openRoot(name(path));
  assert.equal(directory.statSelf().inode, inodeOf(path));
  const { parent, name: last } = openRootParent(name(join(path, "file")));
  assert.equal(last, "file");
  assert.equal(parent.statSelf().inode, inodeOf(path));
  parent.close();
  const slash = openRootParent(name("/"));
  assert.equal(slash.name, undefined);
  slash.parent.close();
  fails(() => openRoot(name(join(path, "file"))), "ENOTDIR");
  fails(() => openRoot(name(join(path, "missing"))), "ENOENT");
});

test("one's own symlinks are followed, relative, absolute and upwards", async () => {
  const path = await scratchDirectory("root");
  mkdirSync(join(path, "a/b"), { recursive: true });
  mkdirSync(join(path, "c"));
  symlinkSync("a/b", join(path, "relative"));
  symlinkSync(join(path, "c"), join(path, "absolute"));
  symlinkSync("../../c", join(path, "a/b/upwards"));
  symlinkSync("loop", join(path, "loop"));
  for (const [link, target] of [
    ["relative", "a/b"],
    ["absolute", "c"],
    ["relative/upwards", "c"],
    ["absolute/", "c"],
  ] as const) {
    using directory = openRoot(name(join(path, link)));
    assert.equal(directory.statSelf().inode, inodeOf(join(path, target)));
  }
  fails(() => openRoot(name(join(path, "loop"))), "ELOOP");
});

test("a symlink that another user could have made is refused", async ({ skip }) => {
  if (!isRoot) skip("only root can give symlinks away");
  const path = await scratchDirectory("root");
  for (const part of ["theirs", "open", "sticky", "target"]) mkdirSync(join(path, part));
  symlinkSync("target", join(path, "their-link"));
  lchownSync(join(path, "their-link"), 1000, 1000);
  fails(() => openRoot(name(join(path, "their-link"))), "ELOOP");
  for (const [part, change, opens] of [
    ["theirs", (at: string) => chownSync(at, 1000, 1000), false],
    ["open", (at: string) => chmodSync(at, 0o777), false],
    ["sticky", (at: string) => chmodSync(at, 0o1777), true],
  ] as const) {
    symlinkSync("../target", join(path, part, "link"));
    change(join(path, part));
    if (opens) openRoot(name(join(path, part, "link"))).close();
    else fails(() => openRoot(name(join(path, part, "link"))), "ELOOP");
  }
});

test("missing directories are made, closed to everybody else", async () => {
  const path = await scratchDirectory("root");
  using directory = openOrCreateRoot(name(join(path, "x/y/z")));
  assert.equal(directory.statSelf().inode, inodeOf(join(path, "x/y/z")));
  assert.equal(statSync(join(path, "x/y")).mode & 0o777, 0o700);
  openOrCreateRoot(name(join(path, "x/y"))).close();
});

test("a path longer than PATH_MAX is opened", async () => {
  const path = await scratchDirectory("root");
  const part = "p".repeat(250);
  let fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  for (let level = 0; level < 20; level++) {
    mkdirSync(`/proc/self/fd/${fd}/${part}`);
    const next = openSync(`/proc/self/fd/${fd}/${part}`, constants.O_RDONLY | constants.O_DIRECTORY);
    closeSync(fd);
    fd = next;
  }
  closeSync(fd);
  const long = `${path}/${Array.from({ length: 20 }, () => part).join("/")}`;
  assert.ok(long.length > 5000);
  using directory = openRoot(name(long));
  assert.deepEqual(directory.names(), []);
});

test.run();
