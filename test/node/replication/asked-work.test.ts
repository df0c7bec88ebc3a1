/** Goal: work is done when it is asked for, alone, and never after its end. Method: turns that the test ends itself. */
import assert from "node:assert/strict";
import { setImmediate as settled } from "node:timers/promises";
import { AskedWork } from "#node/replication/asked-work.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("asked work");

function setUp() {
  const turns: { readonly end: () => void; readonly fail: (error: Error) => void }[] = [];
  const failures: unknown[] = [];
  const stopping = new AbortController();
  const work = new AskedWork({
    work: () => new Promise<void>((end, fail) => void turns.push({ end, fail })),
    onFailure: (error) => void failures.push(error),
  });
  return { turns, failures, stopping, work };
}

test("nothing is done before it is asked for, and what was asked for before the start is done then, once", async () => {
  const { turns, stopping, work } = setUp();
  work.soon();
  work.soon();
  await settled();
  assert.equal(turns.length, 0);
  work.start(stopping.signal);
  await settled();
  assert.equal(turns.length, 1);
  turns[0]!.end();
  await settled();
  assert.equal(turns.length, 1);
});

test("who asks during a turn gets one more after it, also after one that failed", async () => {
  const { turns, failures, stopping, work } = setUp();
  work.start(stopping.signal);
  work.soon();
  await settled();
  work.soon();
  work.soon();
  await settled();
  assert.equal(turns.length, 1);
  turns[0]!.fail(new Error("not now"));
  await settled();
  assert.deepEqual([turns.length, failures.length], [2, 1]);
  turns[1]!.end();
  await settled();
  work.soon();
  await settled();
  assert.equal(turns.length, 3);
});

test("after the end nothing begins, and what a turn throws then is no failure", async () => {
  const { turns, failures, stopping, work } = setUp();
  work.start(stopping.signal);
  work.soon();
  await settled();
  stopping.abort(new Error("the site stops"));
  work.soon();
  turns[0]!.fail(new Error("the site stops"));
  await work[Symbol.asyncDispose]();
  work.soon();
  await settled();
  assert.deepEqual([turns.length, failures.length], [1, 0]);
});

test.run();
