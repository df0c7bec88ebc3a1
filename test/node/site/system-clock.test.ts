/** The site's clock and chance keep what their ports promise. */
import assert from "node:assert/strict";
import { systemClock } from "#node/site/system-clock.ts";
import { systemRng } from "#node/site/system-rng.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("system clock and chance");

test("a sleep lasts as long as the clock that never jumps says", async () => {
  const before = systemClock.elapsedMs();
  await systemClock.sleep(5);
  assert.ok(systemClock.elapsedMs() - before >= 5);
});

test("a sleep of no time ends, and one longer than a timer can be does not end at once", async () => {
  await systemClock.sleep(0);
  await systemClock.sleep(-1);
  const controller = new AbortController();
  const long = systemClock.sleep(2 ** 40, controller.signal);
  const first = await Promise.race([long.then(() => "slept"), systemClock.sleep(20).then(() => "still sleeping")]);
  assert.equal(first, "still sleeping");
  controller.abort(new Error("enough"));
  await assert.rejects(long, /enough/);
});

test("a sleep whose signal has fired rejects with its reason", async () => {
  await assert.rejects(systemClock.sleep(1000, AbortSignal.abort(new Error("gone"))), /gone/);
});

test("chance gives so many bytes, and fractions over the whole range below 1", () => {
  assert.equal(systemRng.bytes(33).length, 33);
  assert.notDeepEqual(systemRng.bytes(16), systemRng.bytes(16));
  const fractions = Array.from({ length: 1000 }, () => systemRng.fraction());
  assert.ok(fractions.every((fraction) => fraction >= 0 && fraction < 1));
  assert.ok(Math.min(...fractions) < 0.1 && Math.max(...fractions) > 0.9);
});

test.run();
