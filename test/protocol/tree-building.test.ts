/**
 * Goal: pages end where docs/specs/trees.md says, within their bounds, and a change moves only the cuts next to it.
 * Method: vectors made in Python, and simulated directories.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { ByteString } from "#protocol/byte-string.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { deriveScope } from "#protocol/scope.ts";
import {
  type ContentSlice,
  type FileObject,
  encodeLeaf,
  encodeReferencePage,
  objectWeightBytes,
} from "#protocol/tree.ts";
import { endsPage, endsReferencePage } from "#protocol/tree-building.ts";
import { plainFile } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

type Case = { readonly comment: string; readonly ends: boolean } & (
  | { readonly scopeSecret: string; readonly name: string; readonly pageBytes: number }
  | { readonly key: string; readonly count: number }
);

const scope = deriveScope(Buffer.alloc(32, 3));

const sliceOf = (key: Uint8Array): ContentSlice => ({
  prime: { id: primeIdFromBytes(createHash("sha256").update(key).digest()), key, lengthBytes: limits.primePlainBytes },
  offsetBytes: 0,
  lengthBytes: limits.primePlainBytes,
});

/** A directory's names page by page. */
function pagesOf(objects: readonly FileObject[]): FileObject[][] {
  const pages: FileObject[][] = [[]];
  let pageBytes = 0;
  for (const object of objects) {
    pages.at(-1)!.push(object);
    pageBytes += objectWeightBytes(object);
    if (!endsPage(scope, object.name, pageBytes)) continue;
    pages.push([]);
    pageBytes = 0;
  }
  return pages.filter((page) => page.length > 0);
}

const keysOf = (pages: readonly (readonly { name: ByteString }[])[]): Set<string> =>
  new Set(pages.map((page) => page.map(({ name }) => name).join("/")));

/** How many pages of `pages` are not among `known`. */
const newCountOf = (pages: FileObject[][], known: ReadonlySet<string>): number =>
  [...keysOf(pages)].filter((page) => !known.has(page)).length;

const makeDirectory = (count: number): FileObject[] =>
  Array.from({ length: count }, (_, number) => {
    const key = createHash("sha256").update(`${number}`).digest();
    return plainFile(`file ${String(number).padStart(7, "0")}`, sliceOf(key));
  });

const test = suite("tree building");

for (const vector of readVectors<Case>("page-cuts")) {
  test(`vector: ${vector.comment}`, () => {
    const ends =
      "name" in vector
        ? endsPage(
            deriveScope(fromHex(vector.scopeSecret)),
            fromHex(vector.name).toString("latin1") as ByteString,
            vector.pageBytes,
          )
        : endsReferencePage(sliceOf(fromHex(vector.key)), vector.count);
    assert.equal(ends, vector.ends);
  });
}

test("pages of a wide directory are larger than the least and far below the limit when encoded", () => {
  const pages = pagesOf(makeDirectory(30_000));
  assert.ok(pages.length > 8, `${pages.length} pages`);
  for (const page of pages) assert.ok(encodeLeaf(page).length < limits.treePageBytes);
  for (const page of pages.slice(0, -1)) {
    assert.ok(page.reduce((sum, object) => sum + objectWeightBytes(object), 0) >= 128 * 1024);
  }
});

test("a name more, a name less and a name that grows change a few pages of many", () => {
  const directory = makeDirectory(40_000);
  const known = keysOf(pagesOf(directory));
  assert.ok(known.size > 16, `${known.size} pages`);
  const xattrs = [{ name: "user.a" as ByteString, value: Buffer.alloc(10_000) }];
  const changes: Record<string, (at: number, object: FileObject) => FileObject[]> = {
    inserted: (at, { name }) => directory.toSpliced(at + 1, 0, plainFile(`${name} x`)),
    deleted: (at) => directory.toSpliced(at, 1),
    grown: (at, object) => directory.with(at, { ...object, xattrs }),
  };
  for (const [what, change] of Object.entries(changes)) {
    // Cuts that came apart fall together again with a chance of about a half at each page: now and then it takes ten.
    const counts = Array.from({ length: 9 }, (_, part) => part * 3000 + 100)
      .map((at) => newCountOf(pagesOf(change(at, directory[at]!)), known))
      .toSorted((one, other) => one - other);
    assert.ok(counts[4]! <= (what === "grown" ? 4 : 2), `${what}: ${counts.join()} of ${known.size} pages are new`);
  }
});

test("another scope cuts elsewhere", () => {
  const other = deriveScope(Buffer.alloc(32, 4));
  const names = makeDirectory(20_000).map(({ name }) => name);
  const cuts = (its: typeof scope) => names.filter((name) => endsPage(its, name, 128 * 1024));
  const others = new Set(cuts(other));
  const shared = cuts(scope).filter((name) => others.has(name));
  assert.ok(cuts(scope).length > 90 && shared.length < 15, `${shared.length} of ${cuts(scope).length}`);
});

test("a page of references ends at the limit at the latest, and fits a tree page", () => {
  const slices: ContentSlice[] = [];
  for (let isEnd = false; !isEnd;) {
    const key = randomBytes(32);
    key[0] = 1;
    slices.push(sliceOf(key));
    isEnd = endsReferencePage(slices.at(-1)!, slices.length);
  }
  assert.equal(slices.length, limits.referencePageCount);
  assert.ok(encodeReferencePage(slices).length <= limits.treePageBytes);
});

test("a slice more in a long list changes the pages around it only", () => {
  const pagesOfList = (slices: readonly ContentSlice[]): Set<string> => {
    const pages: string[][] = [[]];
    for (const slice of slices) {
      pages.at(-1)!.push(slice.prime.id);
      if (endsReferencePage(slice, pages.at(-1)!.length)) pages.push([]);
    }
    return new Set(pages.map((page) => page.join()));
  };
  const slices = Array.from({ length: 12_000 }, (_, at) => sliceOf(createHash("sha256").update(`k${at}`).digest()));
  const known = pagesOfList(slices);
  assert.ok(known.size > 5);
  const changed = slices.toSpliced(6000, 0, sliceOf(randomBytes(32).fill(1, 0, 1)));
  assert.ok([...pagesOfList(changed)].filter((page) => !known.has(page)).length <= 2);
});

test.run();
