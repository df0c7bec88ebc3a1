// Goal: a walk visits everything once, in order, at any depth and width, with bounded memory. Method: trees that are
// known, and a reader that counts.
import assert from "node:assert/strict";
import type { ExportStart } from "#node/export/export-source.ts";
import { findExportStart } from "#node/export/export-source.ts";
import { LinkTable } from "#node/export/link-table.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import { aclKeywordOf, aclTextOf } from "#node/export/posix-acl.ts";
import { pathOfPlace, walkSubtree } from "#node/export/subtree-walk.ts";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { suite } from "#test/support/suite.ts";
import { SealedPrimes, whole } from "./captured-tree.ts";

const test = suite("subtree walk");
const primes = new SealedPrimes();

async function pathsBelow(start: ExportStart, source = primes.source()): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path, place } of walkSubtree(source.tree, start)) {
    assert.equal(pathOfPlace(place), path);
    paths.push(path);
  }
  return paths;
}

test("directories come before what they hold, names in byte order", async () => {
  const node = primes.node([
    primes.file("z", ""),
    primes.directory("b", [primes.file("2", ""), primes.directory("1", [primes.file("x", "")])]),
    primes.file("b.txt", ""),
    { ...primes.file("", ""), name: "\xff" as ByteString },
    primes.directory("empty", []),
  ]);
  assert.deepEqual(await pathsBelow({ node }), ["b", "b/1", "b/1/x", "b/2", "b.txt", "empty", "z", "\xff"]);
});

test("an export of one object has its name at the top", async () => {
  const root = primes.node([primes.directory("a", [primes.directory("b", [primes.file("c", "")])])]);
  const names = (path: string) => path.split("/").map(byteStringFromText);
  const source = primes.source();
  assert.deepEqual(await pathsBelow(await findExportStart(source, root, names("a/b"))), ["b", "b/c"]);
  assert.deepEqual(await pathsBelow(await findExportStart(source, root, names("a/b/c"))), ["c"]);
  assert.deepEqual(await pathsBelow(await findExportStart(source, root, [])), ["a", "a/b", "a/b/c"]);
  await assert.rejects(findExportStart(source, root, names("a/nothing")), { code: "path-unknown" });
});

test("10,000 levels with siblings on both sides of each are walked whole", async () => {
  let top: TreeObject = primes.file("m", "bottom");
  for (let level = 0; level < 10_000; level++)
    top = primes.directory("m", [primes.file("a", ""), top, primes.file("z", "")]);
  let count = 0;
  let longest = 0;
  const last: string[] = [];
  for await (const { path } of walkSubtree(primes.source().tree, { object: top })) {
    count++;
    longest = Math.max(longest, path.length);
    last.push(path);
    if (last.length > 2) last.shift();
  }
  assert.equal(count, 30_001);
  assert.equal(longest, 2 * 10_001 - 1);
  assert.deepEqual(last, ["m/m/z", "m/z"]);
});

test("a wide directory above a deep one is continued where the walk left it", async () => {
  let deep: TreeObject = primes.file("bottom", "");
  for (let level = 0; level < 100; level++) deep = primes.directory("d", [deep]);
  const names = Array.from({ length: 2000 }, (_, index) => String(index).padStart(4, "0"));
  const objects = names.map((name) =>
    name.endsWith("500") ? { ...deep, name: name as ByteString } : primes.file(name, ""),
  );
  const paths = await pathsBelow({ node: primes.node(objects) });
  assert.deepEqual(
    paths.filter((path) => path.length === 4),
    names,
  );
  assert.equal(paths.filter((path) => path.endsWith("bottom")).length, 2);
});

test("200,000 entries are walked while a few pages are open", async () => {
  const file = primes.file("x", "");
  const node = primes.node(
    Array.from({ length: 200_000 }, (_, index) => ({ ...file, name: String(index).padStart(6, "0") as ByteString })),
  );
  let count = 0;
  for await (const { path } of walkSubtree(primes.source().tree, { node }))
    assert.equal(path, String(count++).padStart(6, "0"));
  assert.equal(count, 200_000);
});

test("a group leaves the table with its last name, and a full table remembers no more", () => {
  const table = new LinkTable({ limitCount: 1 });
  const object = (group: string): TreeObject => primes.file("f", "", { linkGroup: Buffer.from(group), linkCount: 3 });
  const place = (name: string) => ({ parent: undefined, name: name as ByteString });
  const first = place("a1");
  assert.equal(table.firstPlaceOf(object("aaaaaaaa"), first), undefined);
  assert.equal(table.firstPlaceOf(object("bbbbbbbb"), place("b1")), undefined);
  assert.equal(table.firstPlaceOf(object("bbbbbbbb"), place("b2")), undefined);
  assert.equal(table.firstPlaceOf(object("aaaaaaaa"), place("a2")), first);
  assert.equal(table.firstPlaceOf(object("aaaaaaaa"), place("a3")), first);
  assert.equal(table.firstPlaceOf(object("bbbbbbbb"), place("b3")), undefined);
  assert.equal(table.firstPlaceOf(object("bbbbbbbb"), place("b4"))?.name, "b3");
});

test("names of a file that changed between the looks at them are no links of each other", () => {
  const table = new LinkTable();
  const place = (name: string) => ({ parent: undefined, name: name as ByteString });
  const object = (content: string, mtimeNs: bigint): TreeObject => ({
    ...primes.file("f", content, { linkGroup: Buffer.from("aaaaaaaa"), linkCount: 4 }),
    mtimeNs,
  });
  for (const [name, content, mtimeNs, first] of [
    ["a", "old", 1n, undefined],
    ["b", "new", 2n, undefined],
    ["c", "longer", 2n, undefined],
    ["d", "new", 2n, "b"],
  ] as const)
    assert.equal(table.firstPlaceOf(object(content, mtimeNs), place(name))?.name, first);
});

test("files of one bundle open it once, and what is kept is bounded", async () => {
  const references = [1, 2, 3].map((value) => primes.seal(Buffer.alloc(1000, value), "content"));
  const fetched: string[] = [];
  const opened = new OpenedPrimes(
    { fetchPrime: async (id) => (fetched.push(id), primes.stored.get(id)!) },
    { limitBytes: 2000 },
  );
  const [first, second, third] = references.map(whole);
  for (const slice of [
    first!,
    { ...first!, offsetBytes: 10, lengthBytes: 5 },
    second!,
    first!,
    third!,
    first!,
    second!,
  ])
    await opened.openSlice(slice);
  assert.deepEqual(
    fetched,
    [first, second, third, second].map((slice) => slice!.prime.id),
  );
  await assert.rejects(opened.openSlice({ ...first!, offsetBytes: 999, lengthBytes: 2 }), { code: "tree-invalid" });
});

test("a prime that could not be fetched is asked for again", async () => {
  const reference = primes.seal(Buffer.alloc(10, 9), "content");
  let attempts = 0;
  const opened = new OpenedPrimes(
    { fetchPrime: async (id) => (attempts++ === 0 ? Promise.reject(new Error("once")) : primes.stored.get(id)!) },
    { limitBytes: 1 },
  );
  await assert.rejects(opened.openSlice(whole(reference)), /once/);
  assert.equal((await opened.openSlice(whole(reference))).length, 10);
});

test("ACLs become text with numeric ids, and nothing else does", () => {
  const value = Buffer.from(
    "02000000 0100 0600 ffffffff 0200 0500 e8030000 0400 0400 ffffffff 0800 0000 feffffff 1000 0700 ffffffff 2000 0000 ffffffff".replaceAll(
      " ",
      "",
    ),
    "hex",
  );
  assert.equal(aclTextOf(value), "user::rw-,user:1000:r-x,group::r--,group:4294967294:---,mask::rwx,other::---");
  for (const bad of [
    Buffer.alloc(0),
    value.subarray(1),
    value.subarray(0, -1),
    Buffer.from("0200000003000600ffffffff", "hex"),
    Buffer.from("0200000001000800ffffffff", "hex"),
  ]) {
    assert.equal(aclTextOf(bad), undefined);
  }
  assert.equal(aclKeywordOf("system.posix_acl_default" as ByteString), "SCHILY.acl.default");
  assert.equal(aclKeywordOf("user.x" as ByteString), undefined);
});

test.run();
