/** Goal: whatever paths a person names, each object is backed up once, under the path that it really has. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type RootNode, arrangeRoots } from "#agent/backup/roots.ts";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("roots");

const rootsOf = (...paths: string[]): string[] => arrangeRoots(paths.map(byteStringFromText)).roots;

/** The tree of names, roots as `true` where nothing more lies below them. */
function shape(node: RootNode): unknown {
  if (node.root !== undefined && node.children.size === 0) return true;
  return Object.fromEntries([...node.children].map(([name, child]) => [name, shape(child)]));
}

test("roots hang in the tree of names from / down", () => {
  const { top, roots } = arrangeRoots(["/srv/b", "/home/ann", "/srv/a"].map(byteStringFromText));
  assert.deepEqual(roots, ["/home/ann", "/srv/a", "/srv/b"]);
  assert.deepEqual(shape(top), { srv: { b: true, a: true }, home: { ann: true } });
});

test("a root in another one is covered by it, whichever is named first, and so is one named twice", () => {
  for (const paths of [
    ["/srv", "/srv/a/b", "/srv/"],
    ["/srv/a/b", "/srv/a", "/srv"],
    ["/srv/./a", "/srv", "//srv"],
  ])
    assert.deepEqual(rootsOf(...paths), ["/srv"]);
  assert.deepEqual(rootsOf("/srv/a", "/srv/ab"), ["/srv/a", "/srv/ab"]);
});

test("/ covers everything; the ways to roots in it are kept", () => {
  const { top, roots } = arrangeRoots(["/srv", "/", "/mnt/disk"].map(byteStringFromText));
  assert.deepEqual([roots, top.root], [["/"], "/"]);
  assert.deepEqual(shape(top), { srv: true, mnt: { disk: true } });
});

test("more roots than a snapshot can name are refused before anything is done", () => {
  const paths = Array.from({ length: limits.rootsCount + 1 }, (_, index) => `/srv/${index}`);
  assert.equal(rootsOf(...paths.slice(1)).length, limits.rootsCount);
  assert.throws(() => rootsOf(...paths), { code: "bad-usage" });
  // What another root covers does not count.
  assert.deepEqual(rootsOf(...paths, "/srv"), ["/srv"]);
  const long = Array.from({ length: 200 }, (_, index) => `/nowhere/${index}${`/${"l".repeat(250)}`.repeat(12)}`);
  assert.throws(() => rootsOf(...long), { code: "bad-usage" });
});

test("symlinks above the last name are resolved, the last one is kept: it may be the symlink that is meant", async () => {
  const directory = await scratchDirectory("roots");
  mkdirSync(join(directory, "real/inner"), { recursive: true });
  symlinkSync("real", join(directory, "link"));
  assert.deepEqual(rootsOf(join(directory, "link/inner")), [join(directory, "real/inner")]);
  assert.deepEqual(rootsOf(join(directory, "link")), [join(directory, "link")]);
  assert.deepEqual(rootsOf(join(directory, "link/inner"), join(directory, "real")), [join(directory, "real")]);
  assert.deepEqual(rootsOf(join(directory, "link/not/there")), [join(directory, "link/not/there")]);
});

test("names are bytes, and what is no absolute path is refused", async () => {
  assert.deepEqual(arrangeRoots(["/nowhere/\xff\xfe/x" as ByteString]).roots, ["/nowhere/\xff\xfe/x"]);
  for (const bad of ["relative", "", "/a/../b"]) assert.throws(() => rootsOf(bad), { code: "bad-usage" });
});

test("a path longer than the system takes in one piece is a root as it is", () => {
  const long = `/nowhere${`/${"l".repeat(250)}`.repeat(20)}`;
  assert.deepEqual(rootsOf(long), [long]);
});

test.run();
