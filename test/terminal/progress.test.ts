/** Progress in virtual time: the rate is the recent one, and a pipe gets plain lines at a bearable pace. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { createMeter, createProgress, describeProgress } from "#terminal/progress.ts";
import { suite } from "#test/support/suite.ts";

function virtualClock() {
  let timeMs = 1_000;
  return { nowMs: () => timeMs, pass: (durationMs: number) => void (timeMs += durationMs) };
}

function captured(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 120,
    cursorTo() {},
    clearLine() {},
  }) as unknown as NodeJS.WriteStream;
  return { stream, text: () => String((stream as unknown as PassThrough).read() ?? "") };
}

const test = suite("progress");

test("the rate forgets what is more than about five seconds old", () => {
  const clock = virtualClock();
  const meter = createMeter(clock.nowMs);
  assert.equal(meter.bytesPerSecond(), 0);
  let doneBytes = 0;
  for (const bytesPerSecond of [10_000_000, 1_000]) {
    for (let tick = 0; tick < 100; tick++) {
      clock.pass(100);
      meter.add((doneBytes += bytesPerSecond / 10));
    }
    assert.ok(
      Math.abs(meter.bytesPerSecond() / bytesPerSecond - 1) < 0.01,
      `${meter.bytesPerSecond()} for ${bytesPerSecond}`,
    );
  }
});

test("a line tells share, files, rate and remaining time, and leaves out what is not known", () => {
  assert.equal(
    describeProgress(
      "Backing up",
      { doneBytes: 1_200_000_000, totalBytes: 3_000_000_000, doneFiles: 1234 },
      45_000_000,
    ),
    "Backing up: 1.20 GB of 3.00 GB (40 %), 1,234 files, 45.0 MB/s, 40 s left",
  );
  assert.equal(describeProgress("Backing up", { doneBytes: 10 }, 0), "Backing up: 10 B, 0 B/s");
  assert.equal(
    describeProgress("Restoring", { doneBytes: 0, totalBytes: 0 }, 0),
    "Restoring: 0 B of 0 B (100 %), 0 B/s",
  );
});

test("a pipe gets one plain line in ten seconds", async () => {
  const clock = virtualClock();
  const { stream, text } = captured(false);
  using progress = await createProgress({ title: "Backing up", json: false, stream, nowMs: clock.nowMs });
  for (let second = 1; second <= 25; second++) {
    clock.pass(1_000);
    progress.update({ doneBytes: second * 1_000_000, totalBytes: 25_000_000 });
  }
  const lines = text().trim().split("\n");
  assert.equal(lines.length, 2);
  assert.equal(lines[0], "Backing up: 10.0 MB of 25.0 MB (40 %), 1.00 MB/s, 15 s left");
});

test("a terminal gets a bar, and gets its line back at the end", async () => {
  const clock = virtualClock();
  const { stream, text } = captured(true);
  const progress = await createProgress({ title: "Backing up", json: false, stream, nowMs: clock.nowMs });
  clock.pass(1_000);
  progress.update({ doneBytes: 50, totalBytes: 100 });
  progress.end();
  assert.match(text(), /█+░+ Backing up: 50 B of 100 B \(50 %\)/);
});

test("with --json nothing is printed", async () => {
  const clock = virtualClock();
  const { stream, text } = captured(true);
  using progress = await createProgress({ title: "Backing up", json: true, stream, nowMs: clock.nowMs });
  clock.pass(60_000);
  progress.update({ doneBytes: 50, totalBytes: 100 });
  assert.equal(text(), "");
});

test.run();
