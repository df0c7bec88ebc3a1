// Goal: the comparer sees every kind of difference, one at a time, and none between equal trees.
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  cpSync,
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { compareTrees, treeDifferences } from "./compare-trees.ts";
import { makeNode, setRawXattr, setTimesNs } from "./raw-files.ts";
import { scratchDirectory } from "./scratch.ts";
import { suite } from "./suite.ts";

const isRoot = process.geteuid!() === 0;
const test = suite("comparing trees");

function build(root: string): void {
  const at = (entry: string) => join(root, entry);
  mkdirSync(at("directory"), { recursive: true });
  writeFileSync(at("directory/file"), Buffer.alloc(3 << 20, 5));
  writeFileSync(at("one"), "linked");
  linkSync(at("one"), at("two"));
  writeFileSync(at("three"), "linked");
  symlinkSync("target", at("link"));
  makeNode(Buffer.from(at("fifo")), 0o010644);
  writeFileSync(at("sparse"), "");
  truncateSync(at("sparse"), 1 << 20);
  setRawXattr(Buffer.from(at("one")), "user.x", Buffer.of(1));
  if (isRoot) makeNode(Buffer.from(at("device")), 0o020600, 1, 3);
  for (const entry of ["directory/file", "one", "three", "link", "fifo", "sparse", "device", "directory", "."]) {
    if (entry !== "device" || isRoot) setTimesNs(Buffer.from(at(entry)), 1_000_000_007n);
  }
}

async function pair() {
  const folder = await scratchDirectory("compare");
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  build(a);
  build(b);
  return { a, b, at: (entry: string) => join(b, entry) };
}

/** Sets the time back, so that only the change itself is a difference. */
const keepTimes = (root: string, ...entries: string[]) => {
  for (const entry of [...entries, "."]) setTimesNs(Buffer.from(join(root, entry)), 1_000_000_007n);
};

test("equal trees have no difference", async () => {
  const { a, b } = await pair();
  const comparison = compareTrees(a, b);
  assert.deepEqual(comparison.differences, []);
  assert.equal(comparison.objectsCount, isRoot ? 9 : 8);
  assert.equal(comparison.fileBytes, BigInt((3 << 20) + 18 + (1 << 20)));
});

const changes: [
  what: string,
  change: (at: (entry: string) => string) => void,
  entries: string[],
  difference: RegExp,
][] = [
  [
    "one byte",
    (at) => patch(at("directory/file"), 2_500_000),
    ["directory/file"],
    /"directory\/file" differs in its bytes at 2097152/,
  ],
  ["a size", (at) => writeFileSync(at("three"), "linkee!"), ["three"], /"three" has size 6 and 7/],
  ["a mode", (at) => chmodSync(at("three"), 0o4644), [], /"three" has mode 644 and 4644/],
  [
    "a nanosecond",
    (at) => setTimesNs(Buffer.from(at("three")), 1_000_000_008n),
    [],
    /"three" has mtime 1000000007 and 1000000008/,
  ],
  [
    "a directory's nanosecond",
    (at) => setTimesNs(Buffer.from(at("directory")), 1_000_000_008n),
    [],
    /"directory" has mtime/,
  ],
  ["the root's mode", (at) => chmodSync(at("."), 0o700), [], /"\." has mode/],
  [
    "an attribute's byte",
    (at) => setRawXattr(Buffer.from(at("one")), "user.x", Buffer.of(2)),
    [],
    /"(one|two)" has extended attributes user.x=01 and user.x=02/,
  ],
  [
    "a link that is a copy",
    (at) => (
      unlinkSync(at("two")),
      cpSync(at("one"), at("two")),
      setRawXattr(Buffer.from(at("two")), "user.x", Buffer.of(1))
    ),
    ["two"],
    /first name of its inode/,
  ],
  [
    "a copy that is a link",
    (at) => (unlinkSync(at("three")), linkSync(at("one"), at("three"))),
    ["three"],
    /first name of its inode/,
  ],
  [
    "a link's target",
    (at) => (unlinkSync(at("link")), symlinkSync("Target", at("link"))),
    ["link"],
    /"link" has target target and Target/,
  ],
  ["a hole that was filled", (at) => patch(at("sparse"), 500_000, 0), ["sparse"], /"sparse" has data extents/],
  [
    "a type",
    (at) => (unlinkSync(at("fifo")), writeFileSync(at("fifo"), "")),
    ["fifo"],
    /"fifo" has type 10000 and 100000/,
  ],
  [
    "something missing",
    (at) => unlinkSync(at("directory/file")),
    ["directory"],
    /"directory\/file" is missing in the second tree/,
  ],
  [
    "something more",
    (at) => writeFileSync(at("directory/more"), ""),
    ["directory"],
    /"directory\/more" is in the second tree only/,
  ],
];
if (isRoot) {
  changes.push(
    ["an owner", (at) => chownSync(at("three"), 1, 2), [], /"three" has owner 0:0 and 1:2/],
    [
      "a device number",
      (at) => (unlinkSync(at("device")), makeNode(Buffer.from(at("device")), 0o020600, 1, 5)),
      ["device"],
      /"device" has device number/,
    ],
  );
}

for (const [what, change, entries, difference] of changes) {
  test(`${what} is a difference`, async () => {
    const { a, b, at } = await pair();
    change(at);
    keepTimes(b, ...entries);
    const differences = treeDifferences(a, b);
    assert.ok(
      differences.some((line) => difference.test(line)),
      `${differences}`,
    );
  });
}

function patch(path: string, offset: number, value = 6): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.of(value), 0, 1, offset);
  closeSync(fd);
}

test("sockets of the first tree may be missing, any other object not", async () => {
  const { a, b } = await pair();
  makeNode(Buffer.from(join(a, "socket")), 0o140644);
  keepTimes(a);
  const comparison = compareTrees(a, b);
  assert.deepEqual([comparison.differences.length, comparison.socketsLeftOutCount], [0, 1]);
  assert.equal(treeDifferences(b, a).length, 1);
});

test("what is to be ignored is, and nothing else", async () => {
  const { a, b, at } = await pair();
  setRawXattr(Buffer.from(at("one")), "user.y", Buffer.of(2));
  patch(at("sparse"), 500_000, 0);
  mkdirSync(at("skipped"));
  keepTimes(b, "sparse");
  chmodSync(at("."), 0o700);
  const excludes = (path: string) => path === "skipped";
  assert.deepEqual(
    treeDifferences(a, b, { ignoresXattrs: true, ignoresExtents: true, excludes, comparesRoots: false }),
    [],
  );
  assert.ok(treeDifferences(a, b, { excludes, comparesRoots: false }).length >= 2);
});

test("no more differences are told than asked for", async () => {
  const { a, b, at } = await pair();
  for (let index = 0; index < 100; index++) writeFileSync(at(`directory/${index}`), "");
  assert.equal(treeDifferences(a, b, { differencesMaxCount: 5 }).length, 5);
});

test.run();
