/** Goal: over any stretch of time no more goes than the rate and one burst, in order. Method: virtual time. */
import assert from "node:assert/strict";
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import type { Clock } from "#ledger/clock.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("bandwidth-limit");

function virtualClock() {
  const clock = { ms: 0, sleeps: [] as number[] };
  const port: Clock = {
    now: () => clock.ms,
    elapsedMs: () => clock.ms,
    sleep: async (durationMs, signal) => {
      signal?.throwIfAborted();
      clock.sleeps.push(durationMs);
    },
  };
  return { clock, port };
}

test("one after the other waits for what was sent before it", async () => {
  const { clock, port } = virtualClock();
  const limit = new BandwidthLimit({ clock: port }, { bytesPerSecond: () => 1000 });
  await limit.take(1000);
  await limit.take(2000);
  await limit.take(500);
  assert.deepEqual(clock.sleeps, [2000]);
});

test("a pause gives one burst and no more", async () => {
  const { clock, port } = virtualClock();
  const limit = new BandwidthLimit({ clock: port }, { bytesPerSecond: () => 1000 });
  await limit.take(1);
  clock.ms = 3_600_000;
  for (let taken = 0; taken < 10; taken++) await limit.take(1000);
  assert.deepEqual(clock.sleeps, [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000]);
});

test("without a rate nothing waits", async () => {
  const { clock, port } = virtualClock();
  const limit = new BandwidthLimit({ clock: port }, { bytesPerSecond: () => undefined });
  await limit.take(1e12);
  await limit.take(1e12);
  assert.deepEqual(clock.sleeps, []);
});

test("an abort ends the wait", async () => {
  const { port } = virtualClock();
  const limit = new BandwidthLimit({ clock: port }, { bytesPerSecond: () => 1 });
  await limit.take(1000);
  await assert.rejects(limit.take(1, AbortSignal.abort(new Error("stop"))), /stop/);
});

test.run();
