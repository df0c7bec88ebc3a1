// Goal: a walk goes to any depth with few descriptors and never comes back to another directory than it left.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import { OsError } from "#agent/files/os-error.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { statInode } from "#agent/files/stat.ts";
import { DirectoryStack } from "#agent/files/walk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("walks");
const name = byteStringFromText;
const levelsCount = limits.openDirectoriesCount + 10;
const descriptorsCount = () => readdirSync("/proc/self/fd").length;
const isStale = (error: unknown) =>
  error instanceof OsError && (error.code === "ESTALE" || error.code === "ENOTDIR" || error.code === "ENOENT");

/** A tree `root/0/1/2/…` and a walk at its bottom. */
async function deepWalk() {
  const folder = await scratchDirectory("walk");
  const path = join(folder, "root");
  mkdirSync(join(path, ...Array.from({ length: levelsCount }, (_, index) => `${index}`)), { recursive: true });
  const stack = new DirectoryStack(openRoot(name(path)));
  for (let level = 0; level < levelsCount; level++) stack.push(name(`${level}`));
  return { folder, path, stack };
}

test("the way up is the way down, with a bounded count of descriptors", async () => {
  const before = descriptorsCount();
  const { stack } = await deepWalk();
  assert.equal(descriptorsCount() - before, limits.openDirectoriesCount + 1);
  assert.equal(stack.depthCount, levelsCount);
  for (let level = levelsCount - 1; level >= 0; level--) {
    assert.equal(stack.currentName, `${level}`);
    assert.deepEqual(stack.pop().names(), [`${level}`]);
    assert.equal(stack.current.statSelf().inode, statInode(stack.currentStat));
  }
  assert.equal(stack.depthCount, 0);
  stack.close();
  assert.equal(descriptorsCount(), before);
});

test("a directory that is moved away during the walk is left behind, by the names from the root", async () => {
  const { folder, path, stack } = await deepWalk();
  const moved = join(path, ...Array.from({ length: levelsCount - 1 }, (_, index) => `${index}`));
  stack.popTo(levelsCount - 1);
  // Everything above what is open is forgotten now; ".." of the lowest open one leads to the new place.
  while (stack.depthCount > levelsCount - limits.openDirectoriesCount + 1) stack.pop();
  const at = join(path, ...Array.from({ length: stack.depthCount }, (_, index) => `${index}`));
  assert.ok(moved.startsWith(at));
  renameSync(at, join(folder, "elsewhere"));
  stack.pop();
  assert.deepEqual(stack.current.names(), []);
  assert.equal(stack.names().length, stack.depthCount);
  stack.close();
});

test("an ancestor that was exchanged is not entered again", async () => {
  for (const replacement of ["directory", "symlink", "nothing"]) {
    const { folder, path, stack } = await deepWalk();
    const level3 = join(path, "0/1/2/3");
    renameSync(level3, join(folder, "taken"));
    if (replacement === "directory") mkdirSync(level3);
    if (replacement === "symlink") symlinkSync(join(folder, "taken"), level3);
    // Going up from the moved tree leads out of it at its top; by name another directory is there.
    while (stack.depthCount > 4) stack.pop();
    assert.equal(
      stack.pop().statSelf().inode,
      openRoot(name(join(path, "0/1/2"))).statSelf().inode,
      "what lies above still stands",
    );
    stack.close();

    const second = await deepWalk();
    const level2 = join(second.path, "0/1/2");
    renameSync(join(level2, "3"), join(second.folder, "3"));
    renameSync(level2, join(second.folder, "2"));
    if (replacement === "directory") mkdirSync(level2);
    if (replacement === "symlink") symlinkSync(join(second.folder, "2"), level2);
    while (second.stack.depthCount > 4) second.stack.pop();
    assert.throws(() => second.stack.pop(), isStale, replacement);
    assert.equal(
      second.stack.popTo(2).names().includes(name("2")),
      replacement !== "nothing",
      "the walk can go on higher up",
    );
    second.stack.close();
  }
});

test.run();
