/**
 * kill -9 of what takes snapshots and primes away. Goal: what the rule keeps is there byte by byte after each kill, what it does not keep goes, and no step by
 * hand is needed. Prints a histogram of the kills and the seed; `COSTOR_KILL_SEED` runs one seed again.
 */
import assert from "node:assert/strict";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { KillHistogram } from "./kill-histogram.ts";
import { retentionTargets, runRetentionKills } from "./retention-kills.ts";

const test = suite("kills of retention", { timeoutMs: count(900_000, 5_000_000) });
const seed = Number(process.env["COSTOR_KILL_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** After so many, a new data directory. */
const killsPerSiteCount = 4 * retentionTargets.length;

test("what the rule keeps survives kills of retention, collection and compaction", async ({ signal }) => {
  const histogram = new KillHistogram();
  const killsCount = count(3, 14 * retentionTargets.length);
  process.stdout.write(`\nseed ${seed}; again: COSTOR_KILL_SEED=${seed} node test/faults/retention-kills.test.ts\n`);
  for (let part = 0; histogram.total < killsCount; part++) {
    const left = Math.min(killsPerSiteCount, killsCount - histogram.total);
    await runRetentionKills({ seed: seed + part, killsCount: left, signal }, histogram);
  }
  process.stdout.write(`${histogram}\n`);
  assert.ok(histogram.leastOf(["retention", "collection", "compaction"]) >= count(0, 20), "each phase has its share");
});

test.run();
