/** Goal: freed memory is free at once, whatever the engine collects, and small buffers that share memory are left alone. */
import assert from "node:assert/strict";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("freed buffer");

const MIB = 2 ** 20;

test("of two gigabytes freed in turn, two buffers are held at a time", () => {
  const before = process.memoryUsage().arrayBuffers;
  let mostBytes = 0;
  for (let round = 0; round < 512; round++) {
    const buffer = Buffer.alloc(4 * MIB);
    mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - before);
    freeBuffer(buffer);
  }
  assert.ok(mostBytes <= 8 * MIB, `${Math.round(mostBytes / MIB)} MiB`);
});

test("every view of a freed buffer is empty, and freeing it again does nothing", () => {
  const buffer = Buffer.alloc(MIB, 1);
  const view = buffer.subarray(10, 20);
  freeBuffer(view);
  assert.deepEqual([buffer.length, view.length], [0, 0]);
  freeBuffer(buffer);
});

test("a buffer of Node's pool keeps its bytes, and so do its neighbours", () => {
  const [one, other] = [Buffer.from("one"), Buffer.from("other")];
  freeBuffer(one);
  assert.deepEqual([one.toString(), other.toString()], ["one", "other"]);
});

test.run();
