/** Goal: work ends with its caller's signal or in its time, whichever comes first, and leaves nothing behind that waits. Method: virtual time. */
import assert from "node:assert/strict";
import { Deadline } from "#ledger/deadline.ts";
import { VirtualTime } from "#test/simulation/virtual-time.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("deadline");
const reason = (): Error => new Error("too late");

test("work is told when its time is over, and why", async () => {
  const time = new VirtualTime();
  using deadline = new Deadline({ clock: time.clock }, { afterMs: 1000, reason });
  await time.run(999);
  assert.deepEqual([deadline.signal.aborted, deadline.isOver], [false, false]);
  await time.run(1000);
  assert.deepEqual([(deadline.signal.reason as Error).message, deadline.isOver], ["too late", true]);
});

test("it ends with the signal of its caller, before or after it began", async () => {
  for (const isBefore of [true, false]) {
    const time = new VirtualTime();
    const outer = new AbortController();
    if (isBefore) outer.abort(new Error("the site stops"));
    using deadline = new Deadline({ clock: time.clock }, { afterMs: 1000, signal: outer.signal, reason });
    if (!isBefore) outer.abort(new Error("the site stops"));
    assert.equal((deadline.signal.reason as Error).message, "the site stops");
    await time.run(2000);
    assert.equal(deadline.isOver, false);
  }
});

test("work that has ended in time is not late afterwards, and waits for nothing", async () => {
  const time = new VirtualTime();
  let sleeping = 0;
  const sleep = async (durationMs: number, signal?: AbortSignal): Promise<void> => {
    sleeping++;
    await time.sleep(durationMs, signal).finally(() => sleeping--);
  };
  const outer = new AbortController();
  const deadline = new Deadline({ clock: { ...time.clock, sleep } }, { afterMs: 1000, signal: outer.signal, reason });
  deadline[Symbol.dispose]();
  await time.run(0);
  assert.equal(sleeping, 0);
  outer.abort(new Error("the site stops"));
  await time.run(2000);
  assert.equal(deadline.isOver, false);
});

test.run();
