/** Goal: whoever asks is heard, at once or a little later, and hundreds who ask together once. Method: a virtual clock. */
import assert from "node:assert/strict";
import { Sparingly } from "#node/replication/sparingly.ts";
import { VirtualTime } from "#test/simulation/virtual-time.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("sparingly");

function setUp() {
  const time = new VirtualTime();
  const doneMs: number[] = [];
  const work = (): void => void doneMs.push(time.elapsedMs);
  return { time, doneMs, sparingly: new Sparingly({ clock: time.clock, work }, { everyMs: 1000 }) };
}

test("the first one is heard at once, hundreds that follow together, and one after a pause at once again", async () => {
  const { time, doneMs, sparingly } = setUp();
  const { signal } = new AbortController();
  for (let count = 0; count < 300; count++) sparingly.ask(signal);
  assert.deepEqual(doneMs, [0]);
  await time.run(1500);
  assert.deepEqual(doneMs, [0, 1000]);
  await time.run(5000);
  assert.deepEqual(doneMs, [0, 1000]);
  sparingly.ask(signal);
  assert.deepEqual(doneMs, [0, 1000, 5000]);
});

test("nothing is done after the end", async () => {
  const { time, doneMs, sparingly } = setUp();
  const stopping = new AbortController();
  sparingly.ask(stopping.signal);
  sparingly.ask(stopping.signal);
  stopping.abort(new Error("the site stops"));
  await time.run(5000);
  assert.deepEqual(doneMs, [0]);
});

test.run();
