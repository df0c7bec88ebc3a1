/** Blocks are used again, by whoever needs one of about their size, and never while somebody else knows them. */
import assert from "node:assert/strict";
import { giveBlock, isBlock, takeBlock, takeSpares } from "#protocol/spare-blocks.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("spare blocks");
const KIB = 1024;
const MIB = 1024 * KIB;

test.before.each(() => void takeSpares());

test("a block that was given back is empty for whoever gave it, and serves the next one of about its size", () => {
  const first = takeBlock(MIB);
  const view = first.subarray(10);
  first.fill(7);
  giveBlock(first);
  assert.equal(view.length, 0);
  const next = takeBlock(900 * KIB);
  assert.deepEqual([next.length, next[0]], [900 * KIB, 7]);
  assert.notEqual(takeBlock(900 * KIB)[0], 7, "it serves one at a time");
});

test("a block serves nobody who needs more, or less than half of it", () => {
  giveBlock(takeBlock(MIB).fill(7));
  takeBlock(MIB + 1);
  takeBlock(400 * KIB);
  assert.deepEqual(
    takeSpares().map(({ byteLength }) => byteLength),
    [MIB],
  );
  assert.deepEqual(takeSpares(), [], "another thread has them now");
});

test("a block is known by all of its memory, and other memory is no block", () => {
  assert.equal(isBlock(takeBlock(MIB).subarray(1)), true);
  assert.equal(isBlock(Buffer.allocUnsafeSlow(MIB)), false);
  assert.equal(isBlock(takeBlock(100)), false, "small ones come from the allocator's pool");
});

test("spares are bounded", () => {
  for (const block of Array.from({ length: 40 }, () => takeBlock(MIB))) giveBlock(block);
  const bytes = takeSpares().reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.equal(bytes, 24 * MIB);
});

test.run();
