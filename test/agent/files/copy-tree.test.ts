// Goal: what is captured and placed is what was there, for everything that a file system can hold. Method: a tree with
// all of it is copied by the primitives alone and compared by code that shares nothing with them.
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { treeDifferences, compareTrees } from "#test/support/compare-trees.ts";
import { makeTree } from "#test/support/make-tree.ts";
import { setTimesNs } from "#test/support/raw-files.ts";
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

/** A small source, and a target with something in the way of everything. */
async function twoTrees() {
  const { source, target } = await twoDirectories("modes");
  const at = (side: string, entry: string) => join(side, entry);
  for (const side of [source, target]) {
    mkdirSync(at(side, "directory"));
    for (const entry of ["same", "newer", "older", "directory/inner"]) writeFileSync(at(side, entry), "equal size");
    symlinkSync("somewhere", at(side, "link"));
    for (const entry of ["same", "newer", "older", "directory/inner", "link"])
      setTimesNs(Buffer.from(at(side, entry)), 1_000n);
  }
  writeFileSync(at(source, "type"), "a file");
  writeFileSync(at(target, "newer"), "in target!");
  writeFileSync(at(target, "older"), "in target!");
  writeFileSync(at(target, "same"), "same time!");
  setTimesNs(Buffer.from(at(target, "newer")), 2_000n);
  setTimesNs(Buffer.from(at(target, "older")), 500n);
  setTimesNs(Buffer.from(at(target, "same")), 1_000n);
  mkdirSync(at(target, "type"));
  writeFileSync(at(target, "type/extra"), "");
  mkdirSync(at(target, "extra directory/inner"), { recursive: true });
  writeFileSync(at(target, "directory/extra"), "");
  const read = (entry: string) => readFileSync(at(target, entry), "utf8");
  return { source, target, read, contents: () => ["same", "newer", "older"].map(read) };
}

test("each overwrite mode replaces what it says, and no more", async () => {
  const [restored, inTarget, sameTime] = ["equal size", "in target!", "same time!"];
  for (const [mode, expected] of [
    ["never", [sameTime, inTarget, inTarget]],
    ["if-changed", [sameTime, restored, restored]],
    ["if-newer", [sameTime, inTarget, restored]],
    ["always", [restored, restored, restored]],
  ] as const) {
    const { source, target, read, contents } = await twoTrees();
    const report = copyTree(source, target, { mode });
    assert.deepEqual(contents(), expected, mode);
    assert.deepEqual(report.conflicts, ["type"], "a directory gives way only to deleting");
    assert.equal(read("directory/extra"), "");
    assert.equal(report.problems.length, 0);
  }
});

test("deleting makes the target equal, whatever was in it", async () => {
  const { source, target } = await twoTrees();
  assert.deepEqual(copyTree(source, target, { mode: "always", deletes: true }).conflicts, []);
  assert.deepEqual(treeDifferences(source, target, { ignoresOwners: !isRoot }), []);
});

test("a second restore of a nasty tree over the first changes nothing, and over damage repairs it", async () => {
  const { source, target } = await twoDirectories("again");
  makeTree(source, { deepLevelsCount: 50, wideEntriesCount: 50, sparseBytes: 1 << 30 });
  copyTree(source, target);
  for (const mode of ["never", "if-newer", "if-changed", "always"] as const) {
    assert.deepEqual(copyTree(source, target, { mode, deletes: true }).conflicts, [], mode);
    assert.deepEqual(treeDifferences(source, target, { ignoresOwners: !isRoot }), [], mode);
  }
  rmSync(join(target, "links"), { recursive: true });
  writeFileSync(join(target, "links"), "a file where a directory was");
  for (const entry of ["sizes/random-1", "specials/fifo", "attributes/link"]) {
    rmSync(join(target, entry));
    mkdirSync(join(target, entry, "in the way"), { recursive: true });
  }
  chmodSync(join(target, "attributes/acl"), 0o777);
  copyTree(source, target, { mode: "if-changed", deletes: true });
  assert.deepEqual(treeDifferences(source, target, { ignoresOwners: !isRoot }), []);
});

test("without root all but owners and devices comes back", async ({ skip }) => {
  if (!isRoot) skip("needs root, to give it up; the other tests show the same then");
  const { source, target } = await twoDirectories("nobody");
  process.setegid!(65_534);
  chownSync(join(source, ".."), 65_534, 65_534);
  for (const path of [source, target]) chownSync(path, 65_534, 65_534);
  process.seteuid!(65_534);
  try {
    makeTree(source, { deepLevelsCount: 50, wideEntriesCount: 50, sparseBytes: 1 << 20, hasUnreadable: false });
    const report = copyTree(source, target);
    assert.deepEqual([report.problems, report.conflicts, report.notes], [[], [], []]);
    assert.deepEqual(treeDifferences(source, target), []);
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
});

test.run();
