/**
 * Goal: nodes and reference pages mean what docs/specs/trees.md says, one encoding each, and nothing else is read.
 * Method: vectors made in Python, random directories, and one that exceeds each limit.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { ByteString } from "#protocol/byte-string.ts";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import {
  type DirectoryPage,
  type ExtendedAttribute,
  type TreeObject,
  encodeIndex,
  encodeLeaf,
  encodeReferencePage,
  isObjectName,
  objectWeightBytes,
} from "#protocol/tree.ts";
import { type TreeNode, decodeNode, decodeReferencePage } from "#protocol/tree-decoding.ts";
import { count } from "#test/support/level.ts";
import { plainFile, plainTree, sampleDirectory, sampleName, sampleSlice } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly form: "node" | "references";
  readonly hex: string;
  /** Absent: refused. */
  readonly holds?: unknown;
}

const encodeNode = (node: TreeNode): Buffer => ("objects" in node ? encodeLeaf(node.objects) : encodeIndex(node.pages));

const refuses = (read: () => unknown, comment: string): void =>
  assert.throws(read, (error) => isCostorError(error, "tree-invalid") || isCostorError(error, "bad-encoding"), comment);

const test = suite("tree", { timeoutMs: 120_000 });

for (const { comment, form, hex, holds } of readVectors<Case>("trees")) {
  test(`vector: ${form}: ${comment}`, () => {
    const bytes = fromHex(hex);
    if (form === "node") {
      if (holds === undefined) return refuses(() => decodeNode(bytes), comment);
      const node = decodeNode(bytes);
      assert.deepEqual(plainTree(node), holds);
      assert.equal(encodeNode(node).toString("hex"), hex);
    } else {
      if (holds === undefined) return refuses(() => decodeReferencePage(bytes), comment);
      const slices = decodeReferencePage(bytes);
      assert.deepEqual(plainTree(slices), holds);
      assert.equal(encodeReferencePage(slices).toString("hex"), hex);
    }
  });
}

test("objects of every type come back as they went, and are encoded equally again", () => {
  fc.assert(
    fc.property(sampleDirectory, (objects) => {
      const leaf = encodeLeaf(objects);
      const node = decodeNode(leaf);
      assert.ok("objects" in node);
      assert.deepEqual(plainTree(node.objects), plainTree(objects));
      assert.deepEqual(encodeLeaf(node.objects), leaf);
    }),
    { numRuns: count(2000, 50_000) },
  );
});

test("indexes and reference pages come back as they went", () => {
  const pages: fc.Arbitrary<DirectoryPage[]> = fc
    .uniqueArray(fc.record({ firstName: sampleName, slice: sampleSlice }), { selector: ({ firstName }) => firstName })
    .map((all) => all.toSorted((one, other) => (one.firstName < other.firstName ? -1 : 1)));
  fc.assert(
    fc.property(pages, fc.array(sampleSlice), (index, slices) => {
      assert.deepEqual(plainTree(decodeNode(encodeIndex(index))), plainTree({ pages: index }));
      assert.deepEqual(plainTree(decodeReferencePage(encodeReferencePage(slices))), plainTree(slices));
    }),
    { numRuns: count(1000, 20_000) },
  );
});

test("a node that is damaged is refused, or is another node in its one encoding", () => {
  fc.assert(
    fc.property(sampleDirectory, fc.nat(), fc.integer({ min: 1, max: 255 }), (objects, at, flip) => {
      const leaf = encodeLeaf(objects);
      leaf[at % leaf.length]! ^= flip;
      let node: TreeNode;
      try {
        node = decodeNode(leaf);
      } catch (error) {
        assert.ok(isCostorError(error), String(error));
        return;
      }
      if ("objects" in node) assert.deepEqual(plainTree(decodeNode(encodeNode(node))), plainTree(node));
    }),
    { numRuns: count(3000, 100_000) },
  );
});

test("keys that are not known and longer lists are passed over: room for later versions", () => {
  const object = { ...plainFile("a"), user: "root", xattrs: [xattr("user.a", 1)] };
  const { e, o, p } = decodeCbor(encodeLeaf([object])) as { e: CborMap[]; o: CborValue[][]; p: CborValue[] };
  const later = encodeCbor({ e: [{ ...e[0], zz: 1 }], o: [[...o[0]!, "more"]], p, q: [] });
  assert.deepEqual(plainTree(decodeNode(later)), plainTree({ objects: [object] }));
});

const withXattrs = (xattrs: ExtendedAttribute[]): TreeObject => ({ ...plainFile("a"), xattrs });
const xattr = (name: string, lengthBytes: number): ExtendedAttribute => ({
  name: name as ByteString,
  value: Buffer.alloc(lengthBytes),
});
/** Attributes of so many bytes together, names included. */
function xattrsOf(totalBytes: number): ExtendedAttribute[] {
  const all: ExtendedAttribute[] = [];
  for (let rest = totalBytes, number = 10; rest > 0; number++) {
    const lengthBytes = Math.min(rest, 60_000);
    all.push(xattr(`${number}`, lengthBytes - 2));
    rest -= lengthBytes;
  }
  return all;
}

test("limits: the largest passes, and what is one larger does not", () => {
  const slice = (lengthBytes: number) => ({
    prime: { id: "ab".repeat(32) as never, key: Buffer.alloc(32), lengthBytes },
    offsetBytes: 0,
    lengthBytes,
  });
  const cases: readonly (readonly [string, (bytes: number) => TreeObject, number])[] = [
    ["nameBytes", (bytes) => plainFile("x".repeat(bytes)), limits.nameBytes],
    [
      "linkTargetBytes",
      (bytes) => ({ ...plainFile("a"), type: "symlink", target: "x".repeat(bytes) as ByteString }),
      limits.linkTargetBytes,
    ],
    ["nameBytes of an attribute", (bytes) => withXattrs([xattr("x".repeat(bytes), 0)]), limits.nameBytes],
    ["xattrValueBytes", (bytes) => withXattrs([xattr("user.a", bytes)]), limits.xattrValueBytes],
    ["xattrTotalBytes", (bytes) => withXattrs(xattrsOf(bytes)), limits.xattrTotalBytes],
    ["primePlainBytes", (bytes) => plainFile("a", slice(bytes)), limits.primePlainBytes],
  ];
  for (const [limit, make, bytes] of cases) {
    assert.doesNotThrow(() => decodeNode(encodeLeaf([make(bytes)])), limit);
    refuses(() => decodeNode(encodeLeaf([make(bytes + 1)])), limit);
  }
  const paged = (depth: number): TreeObject => ({ ...plainFile("a"), content: { pages: [slice(9)], depth } });
  assert.doesNotThrow(() => decodeNode(encodeLeaf([paged(8)])));
  refuses(() => decodeNode(encodeLeaf([paged(9)])), "depth");
});

test("limits: the largest index and reference page that a writer makes pass, and larger pages do not", () => {
  const sliceOf = (number: number) => ({
    prime: { id: number.toString(16).padStart(64, "0") as never, key: Buffer.alloc(32, number), lengthBytes: 4e6 },
    offsetBytes: 70_000,
    lengthBytes: 70_000,
  });
  const index = Array.from({ length: 4096 }, (_, number) => ({
    firstName: `${number}`.padStart(limits.nameBytes, "0") as ByteString,
    slice: sliceOf(number),
  }));
  assert.deepEqual(plainTree(decodeNode(encodeIndex(index))), plainTree({ pages: index }));
  const references = Array.from({ length: limits.referencePageCount }, (_, number) => sliceOf(number));
  assert.equal(decodeReferencePage(encodeReferencePage(references)).length, references.length);
  refuses(() => decodeReferencePage(encodeReferencePage([...references, sliceOf(0)])), "referencePageCount");

  const headBytes = encodeCbor({ c: [], e: [], o: [], p: [], q: Buffer.alloc(100_000) }).length - 100_000;
  const page = (bytes: number) => encodeCbor({ c: [], e: [], o: [], p: [], q: Buffer.alloc(bytes - headBytes) });
  for (const decode of [decodeNode, decodeReferencePage]) {
    assert.doesNotThrow(() => decode(page(limits.treePageBytes)));
    refuses(() => decode(page(limits.treePageBytes + 1)), "treePageBytes");
  }
});

test("a name that no directory can hold is none", () => {
  for (const name of ["", ".", "..", "/", "a/b", "\0", "a\0", "x".repeat(limits.nameBytes + 1)])
    assert.ok(!isObjectName(name), JSON.stringify(name));
  for (const name of ["...", ".a", "..a", " ", "\n", "\xff", "x".repeat(limits.nameBytes)])
    assert.ok(isObjectName(name), JSON.stringify(name));
});

test("what an object weighs is near what it takes in a leaf without tables", () => {
  fc.assert(
    fc.property(sampleDirectory, (objects) => {
      for (const object of objects) {
        const bytes = encodeLeaf([object]).length;
        const weight = objectWeightBytes(object);
        const tables = 150 + 84 * 6 + 2 * Buffer.byteLength(`${object.user}${object.group}`);
        assert.ok(weight <= bytes + 84 * 6 && bytes <= weight + tables, `${weight} for ${bytes} bytes`);
      }
    }),
    { numRuns: 300 },
  );
});

test.run();
