/** Goal: what a node leads to is all of it, and nothing else: a site checks by it that a snapshot is complete. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { ByteString } from "#protocol/byte-string.ts";
import { encodeIndex, encodeLeaf } from "#protocol/tree.ts";
import { decodeNode } from "#protocol/tree-decoding.ts";
import { linksOfNode } from "#protocol/tree-links.ts";
import { plainTree, sampleDirectory, sampleSlice } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("tree links");

/** Every prime id in an encoding, found by its bytes: those of the node's own table, and those in inlined nodes. */
const tableIdsOf = (value: unknown): string[] => {
  if (value === null || typeof value !== "object") return [];
  if ("prime" in value) return [(value.prime as { id: string }).id];
  if (value instanceof Uint8Array) return [];
  return Object.values(value).flatMap(tableIdsOf);
};

test("the links of a leaf name every prime that its objects name", () => {
  fc.assert(
    fc.property(sampleDirectory, (objects) => {
      const links = linksOfNode({ objects });
      const named = [
        ...links.content.map(({ id }) => id),
        ...links.pages.map(({ slice }) => slice.prime.id),
        ...links.nodes.flatMap((node) => ("slice" in node ? [node.slice.prime.id] : [])),
      ];
      assert.deepEqual(new Set(named), new Set(tableIdsOf(objects)));
      const contentIds = links.content.map(({ id }) => id);
      assert.equal(contentIds.length, new Set(contentIds).size, "each prime of content once");
    }),
    { numRuns: 500 },
  );
});

test("every directory is a link, inlined or not, and every page with its depth", () => {
  fc.assert(
    fc.property(sampleDirectory, (objects) => {
      const links = linksOfNode(decodeNode(encodeLeaf(objects)));
      const nodes = objects.flatMap((object) => (object.type === "directory" ? [object.node] : []));
      assert.deepEqual(plainTree(links.nodes), plainTree(nodes));
      const pages = objects.flatMap((object) => {
        if (object.type !== "file" || !("pages" in object.content)) return [];
        const { depth } = object.content;
        return object.content.pages.map((slice) => ({ slice, depth }));
      });
      assert.deepEqual(plainTree(links.pages), plainTree(pages));
    }),
    { numRuns: 500 },
  );
});

test("the links of an index are its pages, and nothing else", () => {
  fc.assert(
    fc.property(fc.array(sampleSlice, { maxLength: 20 }), (slices) => {
      const pages = slices.map((slice, at) => ({ firstName: `${1000 + at}` as ByteString, slice }));
      const links = linksOfNode(decodeNode(encodeIndex(pages)));
      assert.deepEqual(plainTree(links.nodes), plainTree(slices.map((slice) => ({ slice }))));
      assert.deepEqual([links.pages, links.content], [[], []]);
    }),
    { numRuns: 200 },
  );
});

test.run();
