/** Goal: node pointers cross the wire unchanged, within the schema both sides use, and nothing else is taken for one. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import * as v from "valibot";
import { isCostorError } from "#protocol/errors.ts";
import { nodePointer } from "#protocol/http.ts";
import { parsePrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire, nodePointerKey, nodePointerToWire } from "#protocol/node-pointer.ts";
import type { NodePointer } from "#protocol/tree.ts";
import { plainTree, sampleSlice } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";

const samplePointer: fc.Arbitrary<NodePointer> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }).map((inline) => ({ inline })),
  sampleSlice.map((slice) => ({ slice })),
);

const slice = {
  id: "ab".repeat(32),
  key: Buffer.alloc(32).toString("base64"),
  primeBytes: 100,
  offsetBytes: 0,
  lengthBytes: 100,
};

const test = suite("node pointer");

test("every pointer comes back through JSON and the schema as it went", () => {
  fc.assert(
    fc.property(samplePointer, (pointer) => {
      const wire = v.parse(nodePointer, JSON.parse(JSON.stringify(nodePointerToWire(pointer))));
      assert.deepEqual(plainTree(nodePointerFromWire(wire)), plainTree(pointer));
    }),
  );
});

test("the largest inlined root passes the schema, and no larger one", () => {
  const wireOf = (bytes: number) => nodePointerToWire({ inline: Buffer.alloc(bytes) });
  assert.ok(v.is(nodePointer, wireOf(limits.rootInlineBytes)));
  assert.ok(!v.is(nodePointer, wireOf(limits.rootInlineBytes + 3)));
});

test("the schema refuses what is no pointer", () => {
  assert.ok(v.is(nodePointer, { slice }));
  const bad: unknown[] = [
    null,
    {},
    { inline: 5 },
    { inline: "not base64!" },
    { inline: "", slice },
    { slice: { ...slice, id: "AB".repeat(32) } },
    { slice: { ...slice, id: "ab".repeat(31) } },
    { slice: { ...slice, key: Buffer.alloc(64).toString("base64") } },
    { slice: { ...slice, primeBytes: limits.primePlainBytes + 1 } },
    { slice: { ...slice, offsetBytes: -1 } },
    { slice: { ...slice, offsetBytes: 0.5 } },
    { slice: { ...slice, lengthBytes: limits.primePlainBytes + 1 } },
    { slice: { ...slice, lengthBytes: undefined } },
    { slice: { ...slice, more: 1 } },
    { slice, more: 1 },
  ];
  for (const sample of bad) assert.ok(!v.is(nodePointer, sample), JSON.stringify(sample));
});

test("a key of another length and a slice beyond its prime are refused", () => {
  const bad = [
    { ...slice, key: Buffer.alloc(31).toString("base64") },
    { ...slice, key: "" },
    { ...slice, offsetBytes: 1 },
    { ...slice, lengthBytes: 101 },
  ];
  for (const sample of bad) {
    assert.throws(
      () => nodePointerFromWire({ slice: sample }),
      (error) => isCostorError(error, "bad-request"),
    );
  }
  assert.throws(
    () => nodePointerFromWire({ slice: { ...slice, id: "x" } }),
    (error) => isCostorError(error, "bad-id"),
  );
});

test("keys are equal for equal bytes only, and an inlined node has none", () => {
  const prime = { id: parsePrimeId(slice.id), key: Buffer.alloc(32), lengthBytes: 100 };
  const pointer = (offsetBytes: number, lengthBytes: number, id = prime.id): NodePointer => ({
    slice: { prime: { ...prime, id }, offsetBytes, lengthBytes },
  });
  const pointers = [pointer(0, 10), pointer(0, 11), pointer(1, 10), pointer(0, 10, parsePrimeId("cd".repeat(32)))];
  assert.equal(new Set(pointers.map(nodePointerKey)).size, pointers.length);
  assert.equal(nodePointerKey(pointer(0, 10)), nodePointerKey(pointer(0, 10)));
  assert.equal(nodePointerKey({ inline: Buffer.alloc(3) }), undefined);
});

test.run();
