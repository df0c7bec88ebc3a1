/** Goal: a directory's record gives back names, signatures, objects and its head exactly as they were kept. */
import assert from "node:assert/strict";
import * as fastCheck from "fast-check";
import {
  RecordPage,
  type RecordEntry,
  type RecordHead,
  SIGNATURE_BYTES,
  decodeHead,
  encodeHead,
  encodePage,
} from "#agent/backup/directory-record.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { type ContentSlice, type TreeObject, encodeLeaf } from "#protocol/tree.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("directory record");

const fifo = (name: string): TreeObject => ({
  mode: 0o600,
  uid: 1,
  gid: 2,
  mtimeNs: -5n,
  name: name as ByteString,
  type: "fifo",
});
const slice = (offsetBytes: number): ContentSlice => ({
  prime: { id: "ab".repeat(32) as PrimeId, key: Buffer.alloc(32, 9), lengthBytes: 4_000_000 },
  offsetBytes,
  lengthBytes: 77,
});
const head = (changes: Partial<RecordHead>): RecordHead => ({
  pageNumbers: [],
  pagesCheck: 0,
  node: { inline: Buffer.of() },
  totals: { objectsCount: 2 ** 40, filesCount: 2 ** 39, bytes: Number.MAX_SAFE_INTEGER },
  inlinedLevelsCount: 31,
  pageSlices: [],
  ...changes,
});

test("pages of any names and signatures come back, and their leaf is what goes into the tree", () => {
  const names = fastCheck.uniqueArray(
    fastCheck
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map((bytes) => Buffer.from(bytes).toString("latin1").replace(/[/\0]/g, "x"))
      .filter((name) => name !== "." && name !== ".."),
    { maxLength: 20 },
  );
  fastCheck.assert(
    fastCheck.property(names, fastCheck.nat(255), (unsorted, fill) => {
      const sorted = unsorted.toSorted();
      const entries = sorted.map((name, index): RecordEntry => ({
        object: fifo(name),
        signature: Buffer.alloc(SIGNATURE_BYTES, fill + index),
      }));
      const { page, leaf } = encodePage(entries);
      const read = new RecordPage(page);
      assert.deepEqual([read.count, read.names], [sorted.length, sorted]);
      assert.ok(read.leaf.equals(leaf) && leaf.equals(encodeLeaf(entries.map(({ object }) => object))));
      entries.forEach(({ object, signature }, index) => {
        assert.deepEqual(read.object(index), object);
        assert.ok(read.matches(index, Buffer.from(signature)) && read.signature(index).equals(signature));
        const other = Buffer.from(signature);
        other[index % SIGNATURE_BYTES]! ^= 1;
        assert.ok(!read.matches(index, other));
      });
    }),
    { numRuns: 50 },
  );
});

test("a head comes back with an inlined node, a node of its own, and one that is the first page's leaf", () => {
  const page = new RecordPage(encodePage([{ object: fifo("a"), signature: Buffer.alloc(SIGNATURE_BYTES) }]).page);
  const own = head({
    node: { inline: Buffer.from("node") },
    pageNumbers: [7, 2],
    pagesCheck: 0xffff_ffff,
    pageSlices: [slice(0), slice(1), slice(2)],
  });
  assert.deepEqual(decodeHead(encodeHead(own), page), own);
  const sliced = head({ node: { slice: slice(5) } });
  assert.deepEqual(decodeHead(encodeHead(sliced), page), sliced);
  const first = head({ node: { inline: page.leaf } });
  assert.deepEqual(decodeHead(encodeHead(first), page), first);
  assert.ok(!encodeHead(first).includes(page.leaf), "kept once");
});

test.run();
