/**
 * Goal: a run depends on its seed and on nothing else. Method: order of events, ended and wrong clocks, forks of chance, and each kind of
 * real time or chance used against the ban.
 */
import assert from "node:assert/strict";
import { randomBytes, randomFillSync } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { suite } from "#test/support/suite.ts";
import { AmbientBan } from "./ambient-ban.ts";
import { SeededRng } from "./seeded-rng.ts";
import { SiteClock } from "./site-clock.ts";
import { VirtualTime } from "./virtual-time.ts";

const test = suite("virtual time");
const DAY_MS = 24 * 3600 * 1000;

test("events come by time, then in the order they were asked for, each with all that follows from it", async () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  const rng = new SeededRng("order");
  for (let number = 0; number < 500; number++) {
    const durationMs = rng.below(50);
    void time.sleep(durationMs).then(async () => {
      for (let turn = 0; turn < 20; turn++) await undefined;
      seen.push(`${String(durationMs).padStart(2, "0")} ${String(number).padStart(3, "0")}`);
    });
  }
  await time.run(49);
  assert.equal(seen.length, 500);
  assert.deepEqual(seen, seen.toSorted());
});

test("what comes to many at one time comes to one after the other, each with all that follows from it", async () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  const note = async (name: string): Promise<void> => {
    seen.push(name);
    await Promise.resolve();
    seen.push(`${name} and what follows`);
  };
  time.after(5, () => void note("before"));
  time.afterEach(5, ["one", "other"], (name) => void note(name));
  time.after(5, () => void note("after"));
  await time.run(10, () => void seen.push("."));
  const names = ["before", "one", "other", "after"];
  assert.deepEqual(
    seen,
    names.flatMap((name) => [name, `${name} and what follows`, "."]),
  );
});

test("a long time passes at once, and no further than asked for", async () => {
  const time = new VirtualTime();
  let ticksCount = 0;
  void (async () => {
    for (;;) {
      await time.sleep(60_000);
      ticksCount++;
    }
  })();
  await time.run(DAY_MS);
  assert.equal(ticksCount, 1440);
  assert.equal(time.elapsedMs, DAY_MS);
});

test("a sleep that is aborted rejects with the reason and wakes nobody later", async () => {
  const time = new VirtualTime();
  const controller = new AbortController();
  const slept = assert.rejects(time.sleep(1000, controller.signal), /enough/);
  time.after(10, () => controller.abort(new Error("enough")));
  let lastMs = 0;
  await time.run(2000, () => (lastMs = time.elapsedMs));
  await slept;
  assert.equal(lastMs, 10);
  await assert.rejects(time.sleep(1, AbortSignal.abort(new Error("before"))), /before/);
});

test("a site's clock jumps, drifts and freezes; its waiting does not", async () => {
  const time = new VirtualTime();
  const clock = new SiteClock({ time });
  const startMs = clock.now();
  clock.jump(-DAY_MS);
  assert.equal(clock.now(), startMs - DAY_MS);
  clock.setRate(10);
  await time.run(1000);
  assert.equal(clock.now(), startMs - DAY_MS + 10_000);
  clock.setRate(0);
  await time.run(5000);
  assert.equal(clock.now(), startMs - DAY_MS + 10_000);
  assert.equal(clock.elapsedMs(), 5000);
  clock.setRight();
  assert.equal(clock.now(), startMs + 5000);
});

test("nothing goes on that waits on the clock of a machine that has crashed", async () => {
  const time = new VirtualTime();
  const clock = new SiteClock({ time });
  let woken = false;
  void clock.sleep(10).then(() => (woken = true));
  clock.endAndCopy();
  void clock.sleep(10).then(() => (woken = true));
  await time.run(100);
  assert.equal(woken, false);
});

test("a fork of chance is the same whatever its parent has given out, and other than its siblings", () => {
  const [fresh, used] = [new SeededRng("7"), new SeededRng("7")];
  used.bytes(1001);
  assert.deepEqual(fresh.fork("net").bytes(64), used.fork("net").bytes(64));
  assert.notDeepEqual(fresh.fork("net").bytes(64), fresh.fork("disk").bytes(64));
  const values = Array.from({ length: 20_000 }, () => fresh.fraction());
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assert.ok(Math.abs(mean - 0.5) < 0.01 && values.every((value) => value >= 0 && value < 1), `${mean}`);
});

test("real time, chance and background work fail the run even when what uses them catches the error", async () => {
  const uses: (() => unknown)[] = [
    () => setTimeout(() => {}, 1),
    () => setInterval(() => {}, 1),
    () => setImmediate(() => {}),
    () => wait(1),
    () => AbortSignal.timeout(1),
    () => Date.now(),
    () => new Date(),
    () => performance.now(),
    () => Math.random(),
    () => randomBytes(1),
    () => randomFillSync(Buffer.alloc(1)),
    () => crypto.getRandomValues(Buffer.alloc(1)),
    () => crypto.randomUUID(),
    () => crypto.subtle.digest("SHA-256", Buffer.alloc(1)),
  ];
  for (const use of uses) {
    using ban = new AmbientBan();
    ban.check();
    assert.throws(use, /not simulated/, String(use));
    assert.throws(() => ban.check(), /not simulated/, String(use));
  }
  for (const use of uses.slice(3)) void use();
  assert.equal(new Date(0).getTime(), 0);
});

test.run();
