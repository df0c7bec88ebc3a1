/** Goal: who watches a site by its metrics sees when it was last proven that all can be restored. Method: a site with a record of drills, asked over HTTPS. */
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import { startTestSite } from "#test/support/test-site.ts";

const test = suite("metrics");

test("of each kind of drill the last that passed is told, and 0 of one that never has", async () => {
  await using site = await startTestSite({
    drills: () => [
      { kind: "offsite", endedMs: 9_000_000, failedCount: 2 },
      { kind: "local", endedMs: 8_000_500, failedCount: 0 },
      { kind: "offsite", endedMs: 7_000_000, failedCount: 0 },
      { kind: "local", endedMs: 6_000_000, failedCount: 0 },
      { kind: "tamper", endedMs: 5_000_000, failedCount: 1 },
    ],
  });
  const page = (await site.ask({ path: "/metrics" })).body.toString();
  const told = [...page.matchAll(/^costor_drill_last_passed_seconds\{kind="(\w+)"\} (\S+)$/gm)].map((match) =>
    match.slice(1),
  );
  assert.deepEqual(told, [
    ["local", "8000.5"],
    ["offsite", "7000"],
    ["across", "0"],
    ["tamper", "0"],
    ["kit", "0"],
  ]);
});

test.run();
