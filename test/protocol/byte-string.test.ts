/**
 * Goal: names keep their bytes, and what is shown of them moves no cursor and tells them apart, by
 * docs/specs/identifiers.md. Method: vectors made in Python, and random names read back from what is shown.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  type ByteString,
  byteStringFromBytes,
  byteStringFromText,
  byteStringToBytes,
  displayName,
} from "#protocol/byte-string.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly bytes: string;
  readonly shown: string;
}

/** Names as bytes: noise, texts, and pieces of both, with what matters to terminals more often than chance would. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ unit: "binary", maxLength: 6 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      "\x1b[2J",
      "\\",
      "\\x41",
      "\u202e",
      "\u200b",
      "\u2066",
      "\ufe0f",
      "\u3164",
      "\u00a0",
      "/",
      "\n",
      "é",
      " ",
    )
    .map((text) => Buffer.from(text)),
  fc.constantFrom("e9", "c0af", "eda080", "f4908080", "c3", "9b").map(fromHex),
);
const name = fc.array(piece, { maxLength: 8 }).map((pieces) => byteStringFromBytes(Buffer.concat(pieces)));

/** The name that is shown so, by undoing each escape. */
const nameOf = (shown: string): ByteString =>
  shown
    .split(/(\\\\|\\x[0-9a-f]{2})/)
    .map((part, index) =>
      index % 2 === 0
        ? byteStringFromText(part)
        : part === "\\\\"
          ? "\\"
          : String.fromCharCode(Number.parseInt(part.slice(2), 16)),
    )
    .join("") as ByteString;

const test = suite("byte string");

for (const { comment, bytes, shown } of readVectors<Case>("names")) {
  test(`vector: ${comment}`, () => assert.equal(displayName(byteStringFromBytes(fromHex(bytes))), shown));
}

test("nothing that is shown is a control, changes the direction of text, or cannot be seen", () => {
  fc.assert(
    fc.property(name, (sample) => {
      assert.doesNotMatch(displayName(sample), /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]/u);
    }),
    { numRuns: count(5000, 200_000) },
  );
});

test("a name can be told from what is shown of it, so no two look the same", () => {
  fc.assert(
    fc.property(name, (sample) => assert.equal(nameOf(displayName(sample)), sample)),
    { numRuns: count(5000, 200_000) },
  );
});

test("each of the 256 bytes alone, and each pair", () => {
  const seen = new Set<string>();
  for (let one = 0; one < 256; one++) {
    seen.add(displayName(String.fromCharCode(one) as ByteString));
    for (let other = 0; other < 256; other++) seen.add(displayName(String.fromCharCode(one, other) as ByteString));
  }
  assert.equal(seen.size, 256 + 65_536);
});

test("bytes and byte strings stand for each other, and compare alike", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (one, other) => {
      const [left, right] = [byteStringFromBytes(one), byteStringFromBytes(other)];
      assert.deepEqual(byteStringToBytes(left), Buffer.from(one));
      assert.equal(left < right, Buffer.compare(one, other) < 0);
      assert.equal(left === right, Buffer.compare(one, other) === 0);
    }),
  );
  assert.deepEqual(byteStringToBytes(byteStringFromText("é水")), Buffer.from("é水"));
  assert.equal(byteStringFromBytes(Buffer.from("xyz").subarray(1)), "yz");
});

test.run();
