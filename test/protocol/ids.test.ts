/** Goal: ids are read from exactly one text each, by docs/specs/identifiers.md. Method: vectors made in Python. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { isCostorError } from "#protocol/errors.ts";
import {
  formatPrimeCid,
  makeUuidV7,
  parseAgentId,
  parsePrimeCid,
  parsePrimeId,
  parseSessionId,
  parseSiteId,
  parseSnapshotId,
  primeIdFromBytes,
  primeIdToBytes,
  uuidToBytes,
} from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly kind: "hex" | "uuid" | "cid";
  readonly text: string;
  /** Absent: refused. */
  readonly id?: string;
}

const readers: Readonly<Record<Case["kind"], readonly ((text: string) => string)[]>> = {
  hex: [parsePrimeId, parseSiteId],
  uuid: [parseAgentId, parseSnapshotId, parseSessionId],
  cid: [parsePrimeCid],
};

const refuses = (read: () => unknown, comment: string): void =>
  assert.throws(read, (error) => isCostorError(error, "bad-id"), comment);

const test = suite("ids");

for (const { comment, kind, text, id } of readVectors<Case>("identifiers")) {
  test(`vector: ${kind}: ${comment}`, () => {
    for (const read of readers[kind]) {
      if (id === undefined) refuses(() => read(text), comment);
      else assert.equal(read(text), id);
    }
    if (kind === "cid" && id !== undefined) assert.equal(formatPrimeCid(parsePrimeId(id)), text);
  });
}

test("what is no text is refused", () => {
  for (const sample of [undefined, null, 0, {}, ["ab".repeat(32)], Buffer.alloc(32)])
    for (const read of [parsePrimeId, parseSiteId, parseAgentId]) refuses(() => read(sample), String(sample));
});

test("bytes and text of a PrimeId stand for each other", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const id = primeIdFromBytes(bytes);
      assert.equal(parsePrimeId(id), id);
      assert.deepEqual(primeIdToBytes(id), Buffer.from(bytes));
      assert.equal(parsePrimeCid(formatPrimeCid(id)), id);
    }),
  );
  for (const length of [0, 31, 33]) refuses(() => primeIdFromBytes(Buffer.alloc(length)), `${length} bytes`);
});

test("a view into a larger buffer gives its own bytes", () => {
  const bytes = Buffer.alloc(100, 1).fill(2, 10, 42);
  assert.equal(primeIdFromBytes(bytes.subarray(10, 42)), "02".repeat(32));
});

test("a UUIDv7 has its time, version and variant, and chance everywhere else", () => {
  // The example of RFC 9562, A.6.
  const fill = (bytes: Uint8Array): void => bytes.set(Buffer.from("0000000000000cc318c4dc0c0c07398f", "hex"));
  assert.equal(makeUuidV7(0x017f22e279b0, fill), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
  assert.equal(
    makeUuidV7(2 ** 48 - 1, (bytes) => bytes.fill(0xff)),
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
  );
  assert.equal(
    makeUuidV7(0, (bytes) => bytes.fill(0)),
    "00000000-0000-7000-8000-000000000000",
  );
  const made = new Set(Array.from({ length: 1000 }, () => makeUuidV7(1_700_000_000_000)));
  assert.equal(made.size, 1000);
  for (const id of made) assert.equal(uuidToBytes(parseAgentId(id)).readUIntBE(0, 6), 1_700_000_000_000);
});

test.run();
