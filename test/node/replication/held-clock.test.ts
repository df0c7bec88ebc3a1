/** Goal: the clock of locks never goes back or ahead of the time that has passed, whatever is done to the machine's. Method: virtual clocks. */
import assert from "node:assert/strict";
import { HeldClock } from "#node/replication/held-clock.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, TestClock } from "./test-clock.ts";

const test = suite("held-clock");

async function setUp() {
  const [store, clock] = [createMemoryStore(), new TestClock()];
  const open = () => HeldClock.open({ store, clock });
  return { store, clock, open, held: await open() };
}

test("it counts the time that passes, however the machine's clock is set", async () => {
  const { clock, held } = await setUp();
  const startMs = held.nowMs();
  clock.pass(5 * DAY_MS);
  clock.wallMs += 1000 * DAY_MS;
  assert.equal(held.nowMs() - startMs, 5 * DAY_MS);
  clock.wallMs = 0;
  assert.equal(held.nowMs() - startMs, 5 * DAY_MS);
});

test("a jump of more than a day is suspect until a person says that the clock is right", async () => {
  for (const jumpMs of [DAY_MS + 1, -DAY_MS - 1]) {
    const { clock, held, open } = await setUp();
    assert.equal(held.state.isSuspect, false);
    clock.wallMs += jumpMs;
    assert.equal(held.state.isSuspect, true);
    clock.wallMs -= jumpMs;
    assert.equal(held.state.isSuspect, true, "it does not pass by itself");
    await held.keep();
    clock.wallMs += 1000;
    const again = await open();
    assert.equal(again.state.isSuspect, true, "nor by a restart");
    await again.confirm();
    assert.equal(again.state.isSuspect, false);
    assert.equal((await open()).state.isSuspect, false);
  }
});

test("a day more or less is nothing", async () => {
  const { clock, held } = await setUp();
  for (const jumpMs of [DAY_MS, -2 * DAY_MS, DAY_MS]) {
    clock.wallMs += jumpMs;
    assert.equal(held.state.isSuspect, false);
  }
});

test("a clock that runs ten times as fast is found", async () => {
  const { clock, held } = await setUp();
  for (let hour = 0; hour < 48; hour++) {
    clock.pass(3_600_000);
    clock.wallMs += 9 * 3_600_000;
  }
  assert.equal(held.state.isSuspect, true);
});

test("it goes on after a restart, with a day at most of the time that the site was off", async () => {
  const { clock, held, open } = await setUp();
  clock.pass(DAY_MS);
  await held.keep();
  const keptMs = held.nowMs();
  clock.passedMs = 7;
  clock.wallMs += 1000;
  assert.equal((await open()).nowMs(), keptMs + 1000);
  clock.wallMs += 100 * DAY_MS;
  assert.equal((await open()).nowMs(), keptMs + DAY_MS);
});

test("a clock that is set back while the site is off leaves it where it was, and is suspect from a day on", async () => {
  const { clock, held, open } = await setUp();
  clock.pass(10 * DAY_MS);
  await held.keep();
  const keptMs = held.nowMs();
  clock.wallMs -= DAY_MS;
  assert.deepEqual((await open()).state, { nowMs: keptMs, isSuspect: false });
  clock.wallMs = 0;
  assert.deepEqual((await open()).state, { nowMs: keptMs, isSuspect: true });
});

test("after days off it is unproven, by restarts too, until it is proven or has run for long", async () => {
  const { clock, held, open } = await setUp();
  await held.keep();
  clock.wallMs += limits.clockUnprovenOffMs;
  assert.equal((await open()).isUnproven, false);
  clock.wallMs += 1;
  const off = await open();
  assert.deepEqual([off.isUnproven, off.state.isSuspect], [true, false]);
  await off.keep();
  const again = await open();
  assert.equal(again.isUnproven, true);
  await again.prove();
  assert.deepEqual([again.isUnproven, (await open()).isUnproven], [false, false]);
  clock.wallMs += 1000 * DAY_MS;
  const later = await open();
  clock.pass(limits.clockProvenRunMs - 1);
  assert.equal(later.isUnproven, true);
  clock.pass(1);
  assert.equal(later.isUnproven, false);
  await later.keep();
  assert.equal((await open()).isUnproven, false);
});

test.run();
