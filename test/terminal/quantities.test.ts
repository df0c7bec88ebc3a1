/** What people read must be right at the edges, where rounding carries into the next unit. */
import assert from "node:assert/strict";
import { formatBytes, formatCount, formatCountOf, formatDuration, formatRate } from "#terminal/quantities.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("quantities");

test("bytes carry three digits and move to the next unit before they would need four", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [9_994, "9.99 kB"],
    [9_995, "10.0 kB"],
    [99_950, "100 kB"],
    [999_499, "999 kB"],
    [999_500, "1.00 MB"],
    [1_234_567_890, "1.23 GB"],
    [5e15, "5.00 PB"],
    [5e18, "5000 PB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
  assert.equal(formatRate(45_000_000), "45.0 MB/s");
});

test("durations show at most two units and never 60 of one", () => {
  const cases: [number, string][] = [
    [0, "0 ms"],
    [999, "999 ms"],
    [999.6, "1.0 s"],
    [4_200, "4.2 s"],
    [9_950, "10 s"],
    [59_600, "1 min"],
    [200_000, "3 min 20 s"],
    [3_599_600, "1 h"],
    [7_500_000, "2 h 5 min"],
    [86_399_000, "1 d"],
    [273_600_000, "3 d 4 h"],
  ];
  for (const [durationMs, text] of cases) assert.equal(formatDuration(durationMs), text);
});

test("counts are grouped by thousands", () => assert.equal(formatCount(1_234_567), "1,234,567"));

test("one thing is not named as several", () => {
  assert.deepEqual(
    [0, 1, 1234].map((count) => formatCountOf(count, "file")),
    ["0 files", "1 file", "1,234 files"],
  );
});

test.run();
