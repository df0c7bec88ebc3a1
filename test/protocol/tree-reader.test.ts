/**
 * Goal: a reader finds everything that was written, opens no more than it needs, keeps a bounded amount, and is deceived by
 * nothing. Method: trees sealed into a map in memory, with the pages cut as an agent would, then damaged.
 */
import assert from "node:assert/strict";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError, type ErrorCode, isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { deriveScope } from "#protocol/scope.ts";
import { sealPrime } from "#protocol/sealing.ts";
import {
  type Content,
  type ContentSlice,
  type DirectoryPage,
  type NodePointer,
  type TreeObject,
  encodeIndex,
  encodeLeaf,
  encodeReferencePage,
} from "#protocol/tree.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { noise } from "#test/support/noise.ts";
import { plainFile, plainTree } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";

const scope = deriveScope(Buffer.alloc(32, 5));

/** A site's primes, and which of them were fetched. */
class Primes {
  readonly stored = new Map<PrimeId, Uint8Array>();
  fetched: PrimeId[] = [];

  seal(bytes: Uint8Array, kind: "tree" | "content" = "tree"): ContentSlice {
    const { reference, stored } = sealPrime(bytes, kind, scope);
    this.stored.set(reference.id, stored);
    return { prime: reference, offsetBytes: 0, lengthBytes: bytes.length };
  }

  async fetchPrime(id: PrimeId): Promise<Uint8Array> {
    this.fetched.push(id);
    const stored = this.stored.get(id);
    if (!stored) throw new CostorError("prime-missing", `prime ${id} is not here`);
    return stored;
  }
}

const numbered = (number: number): string => `file ${String(number).padStart(6, "0")}`;
const named = (name: string): ByteString => name as ByteString;

/** The node of a wide directory in pages of `pageCount` files, under an index or an index over indexes. */
function sealWide(primes: Primes, count: number, pageCount: number, levels = 1): NodePointer {
  let pages: DirectoryPage[] = [];
  for (let at = 0; at < count; at += pageCount) {
    const objects = Array.from({ length: Math.min(pageCount, count - at) }, (_, i) => plainFile(numbered(at + i)));
    pages.push({ firstName: objects[0]!.name, slice: primes.seal(encodeLeaf(objects)) });
  }
  for (let level = 1; level < levels; level++) {
    const upper: DirectoryPage[] = [];
    for (let at = 0; at < pages.length; at += 3) {
      upper.push({ firstName: pages[at]!.firstName, slice: primes.seal(encodeIndex(pages.slice(at, at + 3))) });
    }
    pages = upper;
  }
  return { slice: primes.seal(encodeIndex(pages)) };
}

async function namesOf(reader: TreeReader, node: NodePointer): Promise<string[]> {
  const names: string[] = [];
  for await (const object of reader.objects(node)) names.push(object.name);
  return names;
}

async function contentOf(reader: TreeReader, content: Content): Promise<ContentSlice[]> {
  const slices: ContentSlice[] = [];
  for await (const slice of reader.content(content)) slices.push(slice);
  return slices;
}

const rejects = (promise: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(promise, (error) => isCostorError(error, code));

const indexOf = (
  primes: Primes,
  pages: readonly (readonly [first: string, objects: readonly string[]])[],
): NodePointer => ({
  inline: encodeIndex(
    pages.map(([first, objects]) => ({
      firstName: named(first),
      slice: primes.seal(encodeLeaf(objects.map((name) => plainFile(name)))),
    })),
  ),
});

const test = suite("tree reader", { timeoutMs: 120_000 });

let primes: Primes;
let reader: TreeReader;
test.before.each(() => {
  primes = new Primes();
  reader = new TreeReader(primes);
});

test("inlined nodes and slices of a prime, at any offset, are read alike", async () => {
  const leaf = encodeLeaf([plainFile("a"), plainFile("b")]);
  const { prime } = primes.seal(Buffer.concat([Buffer.alloc(77, 1), leaf, Buffer.alloc(9, 2)]));
  const slice: NodePointer = { slice: { prime, offsetBytes: 77, lengthBytes: leaf.length } };
  for (const node of [{ inline: leaf }, slice]) assert.deepEqual(await namesOf(reader, node), ["a", "b"]);
  assert.deepEqual(await namesOf(reader, { inline: encodeLeaf([]) }), []);
});

for (const levels of [1, 2, 4]) {
  test(`a wide directory under ${levels} levels of indexes is listed in order, and each name found`, async () => {
    const node = sealWide(primes, 5000, 100, levels);
    assert.deepEqual(
      await namesOf(reader, node),
      Array.from({ length: 5000 }, (_, number) => numbered(number)),
    );
    for (const number of [0, 99, 100, 101, 2499, 4999]) {
      assert.equal((await reader.child(node, named(numbered(number))))?.name, numbered(number));
    }
    for (const absent of ["", "a", "file 000099x", "file 0001000", "zzz", "file"]) {
      assert.equal(await reader.child(node, named(absent)), undefined, absent);
    }
  });
}

test("to find a name, one page of each level is opened", async () => {
  const node = sealWide(primes, 5000, 100, 2);
  await reader.child(node, named(numbered(3210)));
  assert.equal(primes.fetched.length, 3);
});

test("pages are opened one after the other, as their objects are asked for", async () => {
  const node = sealWide(primes, 5000, 100);
  for await (const object of reader.objects(node)) if (object.name === numbered(150)) break;
  assert.equal(primes.fetched.length, 3);
});

test("a path is followed through inlined and sealed directories; what is no directory ends it", async () => {
  const directory = (name: string, node: NodePointer): TreeObject => ({
    name: named(name),
    type: "directory",
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    node,
  });
  const wide = directory("wide", sealWide(primes, 300, 100));
  const inner = directory("inner", { inline: encodeLeaf([plainFile("file"), wide]) });
  const root: NodePointer = { slice: primes.seal(encodeLeaf([inner])) };
  const find = async (path: string) => (await reader.find(root, path.split("/").map(named)))?.name;
  assert.equal(await find("inner/wide/file 000250"), "file 000250");
  assert.equal(await find("inner/wide"), "wide");
  assert.equal(await find("inner/file"), "file");
  for (const absent of ["nowhere", "inner/nowhere", "inner/file/below", "inner/wide/file", "nowhere/wide"])
    assert.equal(await find(absent), undefined, absent);
  assert.equal(await reader.find(root, []), undefined);
});

test("content comes in order from slices and from reference pages at depth 1, 2 and 3", async () => {
  const slices = Array.from({ length: 700 }, (_, number) => primes.seal(Buffer.from(`chunk ${number}`), "content"));
  assert.deepEqual(await contentOf(reader, { slices }), slices);
  let list = slices;
  for (let depth = 1; depth <= 3; depth++) {
    const pages: ContentSlice[] = [];
    for (let at = 0; at < list.length; at += 8) pages.push(primes.seal(encodeReferencePage(list.slice(at, at + 8))));
    assert.deepEqual(plainTree(await contentOf(reader, { pages, depth })), plainTree(slices), `depth ${depth}`);
    list = pages;
  }
});

test("reference pages are opened as their slices are asked for", async () => {
  const slice = primes.seal(Buffer.from("chunk"), "content");
  const pages = Array.from({ length: 5 }, (_, number) =>
    primes.seal(encodeReferencePage(Array.from({ length: number + 1 }, () => slice))),
  );
  for await (const _ of reader.content({ pages, depth: 1 })) break;
  assert.equal(primes.fetched.length, 1);
});

test("names out of order or twice are refused, within a page and across pages", async () => {
  await rejects(namesOf(reader, { inline: encodeLeaf([plainFile("b"), plainFile("a")]) }), "tree-invalid");
  await rejects(namesOf(reader, { inline: encodeLeaf([plainFile("a"), plainFile("a")]) }), "tree-invalid");
  const across = [
    indexOf(primes, [
      ["a", ["a", "m"]],
      ["b", ["b", "c"]],
    ]),
    indexOf(primes, [
      ["a", ["a", "b"]],
      ["b", ["b", "c"]],
    ]),
  ];
  for (const node of across) await rejects(namesOf(reader, node), "tree-invalid");
  const inner = indexOf(primes, [
    ["a", ["a"]],
    ["z", ["z"]],
  ]) as { inline: Uint8Array };
  const over: NodePointer = {
    inline: encodeIndex([
      { firstName: named("a"), slice: primes.seal(inner.inline) },
      { firstName: named("b"), slice: primes.seal(encodeLeaf([plainFile("b")])) },
    ]),
  };
  await rejects(namesOf(reader, over), "tree-invalid");
});

test("a page that begins with another name than its index says is refused: it would be listed and not found", async () => {
  await rejects(namesOf(reader, indexOf(primes, [["b", ["a", "b"]]])), "tree-invalid");
  await rejects(namesOf(reader, indexOf(primes, [["a", ["b"]]])), "tree-invalid");
});

test("indexes nested deeper than any directory needs are refused", async () => {
  let node = encodeLeaf([plainFile("a")]);
  for (let level = 0; level < 8; level++) node = encodeIndex([{ firstName: named("a"), slice: primes.seal(node) }]);
  assert.deepEqual(await namesOf(reader, { inline: node }), ["a"]);
  assert.equal((await reader.child({ inline: node }, named("a")))?.name, "a");
  const deeper = { inline: encodeIndex([{ firstName: named("a"), slice: primes.seal(node) }]) };
  await rejects(namesOf(reader, deeper), "tree-invalid");
  await rejects(reader.child(deeper, named("a")), "tree-invalid");
});

test("a damaged, a foreign and a missing prime, a wrong key, length and kind are told", async () => {
  const leaf = encodeLeaf([plainFile("a")]);
  const slice = primes.seal(leaf);
  const { id, key, lengthBytes } = slice.prime;
  const stored = primes.stored.get(id)!;
  const read = (prime: ContentSlice["prime"]) => new TreeReader(primes).readSlice({ ...slice, prime });
  for (let at = 0; at < stored.length; at += 7) {
    const damaged = Buffer.from(stored);
    damaged[at]! ^= 1;
    primes.stored.set(id, damaged);
    await rejects(read(slice.prime), "prime-corrupt");
  }
  primes.stored.set(id, primes.stored.get(primes.seal(Buffer.from("other")).prime.id)!);
  await rejects(read(slice.prime), "prime-corrupt");
  primes.stored.set(id, stored);
  assert.ok(leaf.equals(await read(slice.prime)));
  await rejects(read({ id, key: Buffer.from(key).fill(0, 31), lengthBytes }), "prime-corrupt");
  await rejects(read({ id, key, lengthBytes: lengthBytes + 1 }), "prime-corrupt");
  await rejects(read(primes.seal(leaf, "content").prime), "prime-corrupt");
  primes.stored.delete(id);
  await rejects(read(slice.prime), "prime-missing");
});

test("a prime that was opened once opens with no other key", async () => {
  const slice = primes.seal(encodeLeaf([plainFile("a")]));
  await reader.readSlice(slice);
  const wrong = { ...slice, prime: { ...slice.prime, key: Buffer.alloc(32) } };
  await rejects(reader.readSlice(wrong), "prime-corrupt");
  await reader.readSlice(slice);
});

test("a failed fetch is not remembered", async () => {
  const slice = primes.seal(encodeLeaf([plainFile("a")]));
  const stored = primes.stored.get(slice.prime.id)!;
  primes.stored.delete(slice.prime.id);
  await rejects(reader.readSlice(slice), "prime-missing");
  primes.stored.set(slice.prime.id, stored);
  assert.equal((await reader.readSlice(slice)).length, slice.lengthBytes);
});

test("what was opened last is kept, up to 16 MiB; two readers of one prime fetch it once", async () => {
  const slices = Array.from({ length: 10 }, (_, number) => primes.seal(noise(`${number}`, 2 ** 21)));
  await Promise.all([reader.readSlice(slices[0]!), reader.readSlice(slices[0]!)]);
  assert.equal(primes.fetched.length, 1);
  for (const slice of slices) await reader.readSlice(slice);
  primes.fetched = [];
  // 8 of 2 MiB fit: the last ones.
  for (const slice of slices.slice(2)) await reader.readSlice(slice);
  assert.equal(primes.fetched.length, 0);
  await reader.readSlice(slices[0]!);
  await reader.readSlice(slices[1]!);
  assert.equal(primes.fetched.length, 2);
  await reader.readSlice(slices[2]!);
  assert.equal(primes.fetched.length, 3);
});

test("a slice of a content prime is no node", async () => {
  await rejects(namesOf(reader, { slice: primes.seal(encodeLeaf([]), "content") }), "prime-corrupt");
});

test.run();
