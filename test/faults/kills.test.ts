/**
 * kill -9 of site and agent: at failpoints in every phase, and at any time. Goal: nothing acknowledged is lost, no step by
 * hand is needed, the interrupted backup completes. Prints a histogram of the kills and the seed; `COSTOR_KILL_SEED`
 * runs one seed again.
 */
import assert from "node:assert/strict";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { KillHistogram } from "./kill-histogram.ts";
import { killPhases, killTargets } from "./kill-targets.ts";
import { runKillRounds } from "./kill-rounds.ts";

const test = suite("kills", { timeoutMs: count(1_000_000, 5_000_000) });
const seed = Number(process.env["COSTOR_KILL_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** After so many, a new data directory. */
const killsPerSiteCount = 56;

test("everything acknowledged survives kills in each phase", async ({ signal }) => {
  const histogram = new KillHistogram();
  const killsCount = count(killTargets.length / 4, Math.ceil(200 / killTargets.length) * killTargets.length);
  process.stdout.write(`\nseed ${seed}; again: COSTOR_KILL_SEED=${seed} node test/faults/kills.test.ts\n`);
  for (let part = 0; histogram.total < killsCount; part++) {
    const left = Math.min(killsPerSiteCount, killsCount - histogram.total);
    await runKillRounds({ seed: seed + part, killsCount: left, signal }, histogram);
  }
  process.stdout.write(`${histogram}\n`);
  assert.ok(histogram.leastOf(killPhases) >= count(0, 10), "each phase has its share");
  assert.equal(histogram.total, killsCount);
});

test.run();
