// Goal: removing takes exactly what is under a name, of any shape, and nothing that a symlink or a mount leads to.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { OsError } from "#agent/files/os-error.ts";
import { clearName, removeEntry } from "#agent/files/remove-tree.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const isRoot = process.geteuid!() === 0;
const test = suite("removing trees", { timeoutMs: 60_000 });
const name = byteStringFromText;

test("a tree with everything in it is removed, and nothing beside it", async () => {
  const path = await scratchDirectory("remove");
  mkdirSync(join(path, "tree"));
  mkdirSync(join(path, "kept"));
  writeFileSync(join(path, "kept/file"), "");
  makeTree(join(path, "tree"), { sparseBytes: 1 << 20, deepLevelsCount: 2000 });
  symlinkSync("../../kept", join(path, "tree/links/to-kept"));
  const before = readdirSync("/proc/self/fd").length;
  {
    using directory = openRoot(name(path));
    removeEntry(directory, name("tree"));
  }
  assert.deepEqual(readdirSync(path), ["kept"]);
  assert.deepEqual(readdirSync(join(path, "kept")), ["file"]);
  assert.equal(readdirSync("/proc/self/fd").length, before);
});

test("a file, a symlink and an empty directory are removed by themselves", async () => {
  const path = await scratchDirectory("remove");
  writeFileSync(join(path, "file"), "");
  symlinkSync("/", join(path, "link"));
  mkdirSync(join(path, "empty"));
  using directory = openRoot(name(path));
  for (const entry of ["file", "link", "empty"]) removeEntry(directory, name(entry));
  assert.deepEqual(readdirSync(path), []);
  assert.throws(
    () => removeEntry(directory, name("file")),
    (error) => error instanceof OsError && error.code === "ENOENT",
  );
});

test("directories that their owner has closed are removed without root too", async () => {
  const path = await scratchDirectory("remove");
  mkdirSync(join(path, "tree/closed/inner"), { recursive: true });
  writeFileSync(join(path, "tree/closed/inner/file"), "");
  if (isRoot)
    for (const part of [".", "tree", "tree/closed", "tree/closed/inner", "tree/closed/inner/file"])
      chownSync(join(path, part), 65_534, 65_534);
  chmodSync(join(path, "tree/closed/inner"), 0o500);
  chmodSync(join(path, "tree/closed"), 0);
  using directory = openRoot(name(path));
  if (isRoot) process.seteuid!(65_534);
  try {
    removeEntry(directory, name("tree"));
  } finally {
    if (isRoot) process.seteuid!(0);
  }
  assert.deepEqual(readdirSync(path), []);
});

test("another file system in the tree is left alone", async ({ skip }) => {
  if (!isRoot) skip("only root mounts");
  const path = await scratchDirectory("remove");
  const mounted = join(path, "tree/mounted");
  mkdirSync(mounted, { recursive: true });
  mkdirSync(join(path, "source"));
  for (const [kind, args] of [
    ["another file system", ["-t", "tmpfs", "none"]],
    ["the same one", ["--bind", join(path, "source")]],
  ] as const) {
    if (spawnSync("mount", [...args, mounted]).status !== 0) skip("mounting is not possible here");
    try {
      writeFileSync(join(mounted, "kept"), "");
      using directory = openRoot(name(path));
      assert.throws(
        () => removeEntry(directory, name("tree")),
        (error) => error instanceof OsError && error.code === "EXDEV",
        kind,
      );
      assert.ok(existsSync(join(mounted, "kept")), kind);
    } finally {
      spawnSync("umount", [mounted]);
    }
  }
});

test("what is to be kept stays with the directories above it, and a rehearsal tells the same without touching anything", async () => {
  const path = await scratchDirectory("remove");
  mkdirSync(join(path, "tree/a/b"), { recursive: true });
  mkdirSync(join(path, "tree/c"));
  for (const file of ["tree/a/b/kept", "tree/a/x", "tree/c/x"]) writeFileSync(join(path, file), "");
  using directory = openRoot(name(path));
  const keeps = (names: () => string[]): boolean => names().join("/") === "tree/a/b/kept";
  const everything = readdirSync(path, { recursive: true });
  assert.equal(removeEntry(directory, name("tree"), { isRehearsal: true }), true);
  assert.equal(removeEntry(directory, name("tree"), { keeps, isRehearsal: true }), false);
  assert.deepEqual(readdirSync(path, { recursive: true }), everything);
  assert.equal(removeEntry(directory, name("tree"), { keeps }), false);
  assert.deepEqual(readdirSync(path, { recursive: true }).sort(), ["tree", "tree/a", "tree/a/b", "tree/a/b/kept"]);
  assert.throws(
    () => clearName(directory, name("tree"), { keeps }),
    (error) => error instanceof OsError && error.code === "ENOTEMPTY",
  );
});

test("it stops when told to", async () => {
  const path = await scratchDirectory("remove");
  mkdirSync(join(path, "tree/a/b"), { recursive: true });
  using directory = openRoot(name(path));
  assert.throws(() => removeEntry(directory, name("tree"), { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.ok(existsSync(join(path, "tree")));
});

test.run();
