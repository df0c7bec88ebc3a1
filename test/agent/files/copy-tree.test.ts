// Goal: what is captured and placed is what was there, for everything that a file system can hold. Method: a tree with
// all of it is copied by the primitives alone and compared by code that shares nothing with them.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { treeDifferences, compareTrees } from "#test/support/compare-trees.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { copyTree } from "./copy-tree.ts";

const isRoot = process.geteuid!() === 0;
const isFull = process.env["COSTOR_TEST_LEVEL"] === "full";
const test = suite("capture and placing", { timeoutMs: isFull ? 600_000 : 60_000 });

async function twoDirectories(name: string): Promise<{ source: string; target: string }> {
  const folder = await scratchDirectory(name);
  const paths = { source: join(folder, "source"), target: join(folder, "target") };
  mkdirSync(paths.source);
  mkdirSync(paths.target);
  return paths;
}

const descriptorsCount = (): number => readdirSync("/proc/self/fd").length;

test("a tree with everything in it comes back exactly", async () => {
  const { source, target } = await twoDirectories("everything");
  const made = makeTree(source, isFull ? { deepLevelsCount: 10_000, wideEntriesCount: 200_000 } : {});
  if (isRoot) assert.deepEqual(made.leftOut, []);
  const before = descriptorsCount();
  const report = copyTree(source, target);
  assert.equal(descriptorsCount(), before, "descriptors left open");
  assert.deepEqual(report.problems, []);
  assert.deepEqual(report.conflicts, []);
  if (isRoot) assert.deepEqual(report.notes, []);
  const comparison = compareTrees(source, target, { ignoresOwners: !isRoot });
  assert.deepEqual(comparison.differences, []);
  assert.equal(comparison.socketsLeftOutCount, 1);
  assert.ok(comparison.objectsCount > 3000);
});

test("10,000 levels are walked down and up again", async () => {
  const { source, target } = await twoDirectories("levels");
  makeTree(source, { deepLevelsCount: 10_000, wideEntriesCount: 1, sparseBytes: 1 << 20 });
  copyTree(source, target);
  assert.deepEqual(treeDifferences(source, target, { ignoresOwners: !isRoot }), []);
});

test.run();
