/**
 * Goal: listings, searches, versions and differences say exactly what the trees hold, and read no more of them than needed.
 * Method: trees made of primes by hand, and a count of the primes that were fetched.
 */
import assert from "node:assert/strict";
import { diffTrees } from "#protocol/tree-diff.ts";
import { findObjects } from "#agent/query/find-objects.ts";
import { listPath } from "#agent/query/list-directory.ts";
import { parseNamePattern } from "#agent/query/name-pattern.ts";
import { chooseSnapshot } from "#agent/query/snapshot-tree.ts";
import { listVersions } from "#agent/query/versions.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { parseSnapshotId } from "#protocol/ids.ts";
import type { FileObject } from "#protocol/tree.ts";
import { suite } from "#test/support/suite.ts";
import { path, type Sample, SampleSnapshots } from "./sample-snapshots.ts";

const test = suite("queries");
const refuse = (at: string): never => assert.fail(`damage at ${at}`);
const glob = (text: string) => parseNamePattern(text, { isRegex: false, ignoresCase: false });

test("a listing has the objects of one directory, or all below, or the one object", async () => {
  const samples = new SampleSnapshots();
  const snapshot = samples.snapshot({ home: { ann: { "a.txt": "1", "b.txt": "2" } }, zoo: "z" });
  const list = async (at: string, isRecursive: boolean) =>
    (await Array.fromAsync(listPath(samples.reader, snapshot, path(at), isRecursive, refuse))).map(
      (listed) => listed.path,
    );
  assert.deepEqual(await list("/", false), ["/home", "/zoo"]);
  assert.deepEqual(await list("/", true), ["/home", "/home/ann", "/home/ann/a.txt", "/home/ann/b.txt", "/zoo"]);
  assert.deepEqual(await list("//home/./".replace("/./", "/"), false), ["/home/ann"]);
  assert.deepEqual(await list("/home/ann/b.txt", true), ["/home/ann/b.txt"]);
  await assert.rejects(list("/home/bob", false), { code: "path-unknown" });
  await assert.rejects(list("/zoo/x", false), { code: "path-unknown" });
});

test("a tree of 2,000 levels is listed and searched without deep recursion", async () => {
  const samples = new SampleSnapshots();
  let node = samples.maker.inline([samples.maker.file("leaf.txt", Buffer.from("x"))]);
  for (let depth = 0; depth < 2_000; depth++) node = samples.maker.node([samples.maker.directory("d", node)]);
  const snapshot = { ...samples.snapshot({}), root: node };
  let deepest = "" as ByteString;
  for await (const listed of listPath(samples.reader, snapshot, path("/"), true, refuse)) deepest = listed.path;
  assert.equal(deepest, `${"/d".repeat(2_000)}/leaf.txt`);
  const found = await findObjects(samples.reader, [snapshot], glob("leaf.*"));
  assert.deepEqual(
    found.map((one) => one.path),
    [deepest],
  );
});

test("find names each path once, with the ranges of snapshots that hold it", async () => {
  const samples = new SampleSnapshots();
  const all: Sample = { home: { "a.pdf": "1", "b.pdf": "2" }, etc: { "x.conf": "c" } };
  const without: Sample = { home: { "b.pdf": "2" }, etc: { "x.conf": "c" } };
  const snapshots = [all, all, without, all, all].map((sample) => samples.snapshot(sample));
  const found = await findObjects(samples.reader, snapshots, glob("*.pdf"));
  assert.deepEqual(
    found.map(({ path: at, ranges }) => [at, ranges]),
    [
      [
        "/home/a.pdf",
        [
          { first: 0, last: 1 },
          { first: 3, last: 4 },
        ],
      ],
      ["/home/b.pdf", [{ first: 0, last: 4 }]],
    ],
  );
});

test("find reads a subtree that snapshots share once, wherever it lies", async () => {
  const samples = new SampleSnapshots();
  const library: Sample = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`d${index}`, { "same.txt": `${index}`, "other.bin": "b" }]),
  );
  const snapshots = Array.from({ length: 20 }, (_, index) =>
    samples.snapshot({ library, moved: { library }, log: `${index}` }),
  );
  const reader = samples.reader;
  const found = await findObjects(reader, snapshots, glob("same.txt"));
  assert.equal(found.length, 60);
  assert.ok(found.every(({ ranges }) => ranges.length === 1 && ranges[0]!.last === 19));
  // 31 nodes of the library, one of `moved`, and one root a snapshot.
  assert.equal(samples.fetchedIds.length, 31 + 1 + 20);
});

test("a pattern with a slash is for paths, and does not take over what was found elsewhere", async () => {
  const samples = new SampleSnapshots();
  const same: Sample = { "x.txt": "1" };
  const snapshot = samples.snapshot({ a: { deep: same }, b: same, "x.txt": "2" });
  const found = async (pattern: string) =>
    (await findObjects(samples.reader, [snapshot], glob(pattern))).map((one) => one.path);
  assert.deepEqual(await found("/b/*.txt"), ["/b/x.txt"]);
  assert.deepEqual(await found("a/**/*.txt"), ["/a/deep/x.txt"]);
  assert.deepEqual(await found("**/x.txt"), ["/a/deep/x.txt", "/b/x.txt", "/x.txt"]);
  assert.deepEqual(await found("/*"), ["/a", "/b", "/x.txt"]);
});

test("patterns match text by characters, bytes that are no UTF-8 by wildcards, and regular expressions anywhere", () => {
  const cases: [pattern: string, init: { isRegex?: boolean; ignoresCase?: boolean }, yes: string[], no: string[]][] = [
    ["?.txt", {}, ["a.txt", "ü.txt", "😀.txt"], ["ab.txt", ".txt"]],
    ["[a-cü].txt", {}, ["b.txt", "ü.txt"], ["d.txt"]],
    ["[!a-c].txt", {}, ["d.txt"], ["a.txt"]],
    ["a\\*b", {}, ["a*b"], ["axb"]],
    ["(x)+.{1}$", {}, ["(x)+.{1}$"], ["x"]],
    ["😀*", {}, ["😀1"], ["1"]],
    ["REPORT*", { ignoresCase: true }, ["report.pdf"], ["my report"]],
    ["^a.*z$", { isRegex: true }, ["a to z"], ["to z"]],
    ["\\d{4}", { isRegex: true }, ["photo 2026.jpg"], ["photo.jpg"]],
  ];
  for (const [text, init, yes, no] of cases) {
    const pattern = parseNamePattern(text, { isRegex: false, ignoresCase: false, ...init });
    for (const name of yes) assert.equal(pattern.matches(path(name)), true, `${text} ${name}`);
    for (const name of no) assert.equal(pattern.matches(path(name)), false, `${text} ${name}`);
  }
  assert.equal(glob("a?b*").matches("a\xffb\xfe\xfd" as ByteString), true);
  assert.equal(glob("a\ufffdb").matches("a\xffb" as ByteString), false);
  assert.equal(glob("new\nline").matches("new\nline" as ByteString), true);
  assert.throws(() => parseNamePattern("(", { isRegex: true, ignoresCase: false }), { code: "bad-usage" });
  assert.throws(() => glob(""), { code: "bad-usage" });
});

test("versions lists each distinct content once, with its first and last snapshot", async () => {
  const samples = new SampleSnapshots();
  const contents = ["one", "one", "two", undefined, "one", "three"];
  const snapshots = contents.map((content, index) =>
    samples.snapshot(content === undefined ? { n: `${index}` } : { n: `${index}`, doc: { "a.txt": content } }),
  );
  const versions = await listVersions(samples, snapshots, path("/doc/a.txt"));
  assert.deepEqual(
    versions.map(({ first, last, snapshotsCount }) => [first, last, snapshotsCount]),
    [
      [0, 4, 3],
      [2, 2, 1],
      [5, 5, 1],
    ],
  );
  assert.deepEqual(await listVersions(samples, snapshots, path("/doc/none")), []);
});

test("a small file that moved to another bundle with the same bytes is the same version, and no difference", async () => {
  const samples = new SampleSnapshots();
  const prime = samples.maker.seal(Buffer.from("xxhello"), "content");
  const plain = samples.maker.file("a", Buffer.from("hello")) as FileObject;
  const moved: FileObject = { ...plain, content: { slices: [{ prime, offsetBytes: 2, lengthBytes: 5 }] } };
  const other: FileObject = { ...plain, content: { slices: [{ prime, offsetBytes: 1, lengthBytes: 5 }] } };
  const snapshots = [plain, moved, other].map((file) => samples.snapshot({ a: file }));
  const versions = await listVersions(samples, snapshots, path("/a"));
  assert.deepEqual(
    versions.map(({ first, last }) => [first, last]),
    [
      [0, 1],
      [2, 2],
    ],
  );
  assert.deepEqual(
    await Array.fromAsync(diffTrees(samples, snapshots[0]!.root, snapshots[1]!.root, { onDamage: refuse })),
    [],
  );
  assert.equal(
    (await Array.fromAsync(diffTrees(samples, snapshots[1]!.root, snapshots[2]!.root, { onDamage: refuse }))).length,
    1,
  );
});

test("a difference is an addition, a removal, a change or only other attributes, in order of names", async () => {
  const samples = new SampleSnapshots();
  const file = samples.maker.file("x", Buffer.from("same"));
  const before = samples.snapshot({
    a: "1",
    dir: { gone: "g", keep: "k" },
    file: file,
    old: { x: { y: "1" } },
    swap: "text",
  });
  const after = samples.snapshot({
    a: "2",
    dir: { keep: "k", made: { deep: "m" } },
    file: { ...file, mode: 0o600 },
    swap: { "now a directory": "1" },
    z: { ...file, type: "symlink", target: path("a") } as never,
  });
  const found = await Array.fromAsync(diffTrees(samples, before.root, after.root, { onDamage: refuse }));
  assert.deepEqual(
    found.map(({ kind, path: at }) => `${kind} ${at}`),
    [
      "changed /a",
      "removed /dir/gone",
      "added /dir/made",
      "added /dir/made/deep",
      "metadata /file",
      "removed /old",
      "removed /old/x",
      "removed /old/x/y",
      "changed /swap",
      "added /swap/now a directory",
      "added /z",
    ],
  );
});

test("a difference does not read what both snapshots share", async () => {
  const samples = new SampleSnapshots();
  const shared: Sample = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`d${index}`, { f: `${index}` }]));
  const [before, after] = [
    samples.snapshot({ shared, changed: { a: "1" } }),
    samples.snapshot({ shared, changed: { a: "2", b: "3" } }),
  ];
  const found = await Array.fromAsync(diffTrees(samples, before.root, after.root, { onDamage: refuse }));
  assert.deepEqual(
    found.map(({ kind, path: at }) => `${kind} ${at}`),
    ["changed /changed/a", "added /changed/b"],
  );
  // Two roots, two nodes of `changed`, and two small contents of equal length that had to be compared.
  assert.equal(samples.fetchedIds.length, 6);
  assert.deepEqual(await Array.fromAsync(diffTrees(samples, before.root, before.root, { onDamage: refuse })), []);
});

test("a directory that cannot be read is told, and a listing and a difference go on after it", async () => {
  const samples = new SampleSnapshots();
  const before = samples.snapshot({ a: { x: "1" }, b: { y: "2" }, c: { z: "3" }, d: "4" });
  const after = samples.snapshot({ a: { x: "1" }, b: { other: "5" }, c: { z: "6" }, d: "7" });
  const node = await samples.reader.find(after.root, [path("b")]);
  assert.ok(node?.type === "directory" && "slice" in node.node);
  const { id } = node.node.slice.prime;
  samples.maker.primes.splice(
    samples.maker.primes.findIndex((prime) => prime.id === id),
    1,
  );
  const told: string[] = [];
  const onDamage = (at: string, { code }: { code: string }): void => void told.push(`${at} ${code}`);
  const listed = await Array.fromAsync(listPath(samples.reader, after, path("/"), true, onDamage));
  assert.deepEqual(
    listed.map((one) => one.path),
    ["/a", "/a/x", "/b", "/c", "/c/z", "/d"],
  );
  const found = await Array.fromAsync(diffTrees(samples, before.root, after.root, { onDamage }));
  assert.deepEqual(
    found.map(({ kind, path: at }) => `${kind} ${at}`),
    ["changed /c/z", "changed /d"],
  );
  assert.deepEqual(told, ["/b prime-missing", "/b prime-missing"]);
});

test("an abort ends a search", async () => {
  const samples = new SampleSnapshots();
  const controller = new AbortController();
  controller.abort(new CostorError("interrupted", "stop"));
  await assert.rejects(
    findObjects(samples.reader, [samples.snapshot({ a: "1" })], glob("*"), { signal: controller.signal }),
    { code: "interrupted" },
  );
});

test("a snapshot is named by its id, a beginning that is its alone, or latest", () => {
  const ids = [
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "01890a5d-ac96-774b-bcce-b302099a8058",
    "01890b00-0000-7000-8000-000000000000",
  ].map(parseSnapshotId);
  assert.equal(chooseSnapshot("latest", ids), ids[2]);
  assert.equal(chooseSnapshot(ids[1]!, ids), ids[1]);
  assert.equal(chooseSnapshot("01890B", ids), ids[2]);
  assert.throws(() => chooseSnapshot("01890a5d", ids), { code: "bad-id" });
  assert.throws(() => chooseSnapshot("02", ids), { code: "snapshot-unknown" });
  assert.throws(() => chooseSnapshot(".*", ids), { code: "snapshot-unknown" });
  assert.throws(() => chooseSnapshot("latest", []), { code: "snapshot-unknown" });
});

test.run();
