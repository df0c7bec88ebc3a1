/**
 * Goal: cuts are those of docs/specs/chunking.md, whatever way a file is fed. Method: vectors made in Python, a second, plain
 * implementation, and properties over random content, feeding and starts.
 */
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { cutChunk } from "#protocol/chunking.ts";
import { gearScanMaxBytes } from "#protocol/gear-module.ts";
import { findCandidates, gearTable } from "#protocol/gear.ts";
import { limits } from "#protocol/limits.ts";
import { deriveScope, type Scope } from "#protocol/scope.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";
import { candidatesOf, chunkLengthsOf } from "./gear-in-javascript.ts";

interface Content {
  readonly kind: "stream" | "repeat";
  readonly seed?: string;
  readonly unit?: string;
  readonly lengthBytes: number;
  readonly insertAt?: number;
  readonly insert?: string;
}
interface Case {
  readonly comment: string;
  readonly gearSha256?: string;
  readonly first?: number;
  readonly scopeSecret: string;
  readonly content: Content;
  readonly chunkLengths: readonly number[];
}

const KIB = 1024;
const scope = deriveScope(Buffer.alloc(32, 3));

function contentOf({ kind, seed, unit, lengthBytes, insertAt, insert }: Content): Buffer {
  const bytes = kind === "stream" ? noise(seed!, lengthBytes) : Buffer.alloc(lengthBytes, fromHex(unit!));
  return insertAt === undefined
    ? bytes
    : Buffer.concat([bytes.subarray(0, insertAt), fromHex(insert!), bytes.subarray(insertAt)]);
}

function cutAll(bytes: Uint8Array, by: Scope, from = 0): number[] {
  const lengths: number[] = [];
  for (let start = from; start < bytes.length; start += lengths.at(-1)!)
    lengths.push(cutChunk(bytes, start, bytes.length, true, by));
  return lengths;
}

/** Cuts `bytes` as a reader does that gets it in pieces of `pieceBytes` and forgets what it has cut. */
function cutFed(bytes: Uint8Array, pieceBytes: number): number[] {
  const lengths: number[] = [];
  for (let start = 0, end = 0; start < bytes.length;) {
    const length = cutChunk(bytes.subarray(start, end), 0, end - start, end === bytes.length, scope);
    if (length > 0) {
      lengths.push(length);
      start += length;
    } else end = Math.min(end + pieceBytes, bytes.length);
  }
  return lengths;
}

const positionsOf = (lengths: readonly number[], from = 0): Set<number> => {
  let at = from;
  return new Set(lengths.map((length) => (at += length)));
};

const test = suite("chunking");

for (const vector of readVectors<Case>("chunking")) {
  test(`vector: ${vector.comment}`, () => {
    if (vector.gearSha256 !== undefined) {
      const bytes = Buffer.alloc(1024);
      gearTable.forEach((entry, index) => bytes.writeInt32BE(entry, index * 4));
      assert.equal(hash("sha256", bytes), vector.gearSha256);
      assert.equal(gearTable[0]! >>> 0, vector.first);
      return;
    }
    assert.deepEqual(cutAll(contentOf(vector.content), deriveScope(fromHex(vector.scopeSecret))), vector.chunkLengths);
  });
}

test("the WebAssembly scan finds what the plain loop finds, in any range", () => {
  const bytes = randomBytes(300 * KIB);
  const all = candidatesOf(bytes);
  fc.assert(
    fc.property(
      fc.integer({ min: 31, max: bytes.length - gearScanMaxBytes }),
      fc.integer({ min: 1, max: gearScanMaxBytes }),
      (from, lengthBytes) => {
        const to = from + lengthBytes;
        const candidates = findCandidates(bytes, from, to);
        const positions = Array.from({ length: candidates.count }, (_, index) => candidates.position(index));
        assert.deepEqual(
          positions,
          all.filter((position) => position > from && position <= to),
        );
        positions.forEach((position, index) => {
          assert.deepEqual(
            Buffer.from(candidates.blocks.subarray(index * 16, index * 16 + 16)),
            bytes.subarray(position - 16, position),
          );
        });
      },
    ),
    { numRuns: 200 },
  );
});

test("cuts are those of the plain implementation", () => {
  for (let round = 0; round < 3; round++) {
    const bytes = randomBytes(7 * 1024 * KIB + round);
    assert.deepEqual(cutAll(bytes, scope), chunkLengthsOf(bytes, scope.chunking));
  }
});

test("chunks end to end are the file, each within the bounds", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 6 * 1024 * KIB }),
      fc.constantFrom("noise", "text", "zeros"),
      (lengthBytes, kind) => {
        const bytes =
          kind === "noise"
            ? randomBytes(lengthBytes)
            : Buffer.alloc(lengthBytes, kind === "text" ? "some words, again and again\n" : 0);
        const lengths = cutAll(bytes, scope);
        assert.equal(
          lengths.reduce((sum, length) => sum + length, 0),
          lengthBytes,
        );
        for (const length of lengths) assert.ok(length <= limits.chunkMaxBytes);
        for (const length of lengths.slice(0, -1)) assert.ok(length >= limits.chunkMinBytes);
      },
    ),
    { numRuns: 15 },
  );
});

test("cuts do not depend on how the file is fed", () => {
  const bytes = randomBytes(5 * 1024 * KIB + 77);
  const expected = cutAll(bytes, scope);
  fc.assert(
    fc.property(fc.integer({ min: 100 * KIB, max: 5 * 1024 * KIB }), (pieceBytes) =>
      assert.deepEqual(cutFed(bytes, pieceBytes), expected),
    ),
    { numRuns: 12 },
  );
});

test("a chunk within a buffer is cut as one at its start", () => {
  const bytes = randomBytes(5 * 1024 * KIB);
  const moved = Buffer.concat([randomBytes(12_345), bytes, randomBytes(999)]);
  assert.equal(
    cutChunk(moved, 12_345, 12_345 + bytes.length, true, scope),
    cutChunk(bytes, 0, bytes.length, true, scope),
  );
});

test("a reader that starts anywhere is on the same cuts after the first common one", () => {
  const bytes = randomBytes(24 * 1024 * KIB);
  const first = positionsOf(cutAll(bytes, scope));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 * 1024 * KIB }), (from) => {
      const second = [...positionsOf(cutAll(bytes, scope, from), from)];
      const common = second.find((position) => first.has(position))!;
      assert.ok(common < bytes.length, "no common cut within 16 MiB");
      assert.deepEqual(
        second.filter((position) => position >= common),
        [...first].filter((position) => position >= common),
      );
    }),
    { numRuns: 30 },
  );
});

test("more bytes are asked for while a cut may still come, and never for a maximal chunk", () => {
  const zeros = Buffer.alloc(limits.chunkMaxBytes);
  assert.equal(cutChunk(zeros, 0, 0, false, scope), 0);
  assert.equal(cutChunk(zeros, 0, zeros.length - 1, false, scope), 0);
  assert.equal(cutChunk(zeros, 0, zeros.length - 1, true, scope), zeros.length - 1);
  assert.equal(cutChunk(zeros, 0, zeros.length, false, scope), zeros.length);
});

test("chunks of noise have about 1 MiB on average", () => {
  const lengths = cutAll(randomBytes(96 * 1024 * KIB), scope);
  const averageBytes = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  assert.ok(averageBytes > 800 * KIB && averageBytes < 1300 * KIB, `average ${averageBytes}`);
});

test("a file of nothing but candidates is cut in bounded time", () => {
  const unit = readVectors<Case>("chunking").find(({ content }) => content?.kind === "repeat" && content.unit !== "00")!
    .content.unit!;
  const bytes = Buffer.alloc(16 * 1024 * KIB, fromHex(unit));
  assert.ok(candidatesOf(bytes.subarray(0, KIB)).length > 400);
  const { user: before } = process.cpuUsage();
  cutAll(bytes, scope);
  assert.ok(process.cpuUsage().user - before < 1_600_000, "more than 0.1 s/MiB");
});

test.run();
