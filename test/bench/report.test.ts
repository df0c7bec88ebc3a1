// Goal: the figures that the bench prints are the ones it measured. Method: samples with known medians and ratios.
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import { markdownTable, memoryGrowth, spreadOf, summarise } from "./report.ts";
import type { Sample } from "./trial.ts";

const test = suite("bench report");

function sample(contender: string, runNumber: number, wallSeconds: number, changes: Partial<Sample> = {}): Sample {
  return {
    scenario: "system",
    step: "first backup",
    contender,
    runNumber,
    wallSeconds,
    clientCpuSeconds: 1,
    serverCpuSeconds: 1,
    cpuSeconds: 2,
    clientPeakBytes: 100e6,
    serverPeakBytes: 50e6,
    storedBytes: 1e6,
    addedBytes: 1e6,
    ...changes,
  };
}

test("the median of an odd count is the middle value and of an even count the mean of the two", () => {
  assert.deepEqual(spreadOf([9, 1, 4]), { median: 4, least: 1, most: 9 });
  assert.deepEqual(spreadOf([4, 1, 2, 9]), { median: 3, least: 1, most: 9 });
});

test("a ratio is that of the medians, and its spread that of the pairs of runs", () => {
  const samples = [
    ...[2, 3, 4].map((seconds, index) => sample("costor", index + 1, seconds)),
    ...[10, 5, 8].map((seconds, index) => sample("restic", index + 1, seconds)),
  ];
  const [summary] = summarise(samples);
  assert.deepEqual(summary?.ratios["restic"]?.wallSeconds, { median: 3 / 8, least: 0.2, most: 0.6 });
});

test("a goal that is missed is named with the ratio and the goal", () => {
  const missed = (seconds: number): readonly string[] | undefined =>
    summarise([sample("costor", 1, seconds), sample("restic", 1, 10)])[0]?.missed;
  assert.deepEqual(
    missed(5)?.filter((line) => line.startsWith("wall")),
    [],
  );
  assert.deepEqual(
    missed(5.1)?.filter((line) => line.startsWith("wall")),
    ["wall time 0.51 of the peer's, goal 0.5"],
  );
});

test("a peak over 350 MB is a miss whatever the peer took", () => {
  const [summary] = summarise([sample("costor", 1, 1, { serverPeakBytes: 351e6 })]);
  assert.deepEqual(summary?.missed, ["site peaked at 351.0 MB, goal under 350 MB"]);
});

test("the table has a line for each program and one for the ratio", () => {
  const table = markdownTable(summarise([sample("costor", 1, 1), sample("restic", 1, 4)]));
  assert.equal(table.split("\n").length, 5);
  assert.match(table, /ratio to restic.*0\.25/);
});

test("the growth of memory is told for a step that ran with both counts of files", () => {
  const summaries = summarise([
    sample("costor", 1, 1, { scenario: "many-100000", clientPeakBytes: 100e6 }),
    sample("costor", 1, 9, { scenario: "many-1000000", clientPeakBytes: 105e6 }),
  ]);
  assert.deepEqual(memoryGrowth(summaries), [
    "costor, first backup: client 1.05, server 1.00 times the peak with 100,000 files",
  ]);
});

test.run();
