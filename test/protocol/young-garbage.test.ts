/** Goal: a thread that turns over large buffers and tells so holds few of them. */
import assert from "node:assert/strict";
import { noteDropped } from "#protocol/young-garbage.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("young garbage");

const MIB = 2 ** 20;

test("of two gigabytes dropped in turn, fewer than 64 MiB are held at a time", async () => {
  let mostBytes = 0;
  for (let round = 0; round < 512; round++) {
    Buffer.alloc(4 * MIB);
    noteDropped(4 * MIB);
    // The memory itself is given back between two turns of the event loop.
    if (round % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
    mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers);
  }
  assert.ok(mostBytes < 64 * MIB, `${Math.round(mostBytes / MIB)} MiB`);
});

test.run();
