/**
 * kill -9 of sites of a federation. Goal: whatever is ended while copies are sent, damage heals, or a burnt site comes back, nothing acknowledged is lost, at
 * no site, and everything is held twice elsewhere again without a step by hand. Prints a histogram of the kills and the seed;
 * `COSTOR_KILL_SEED` runs one seed again.
 */
import assert from "node:assert/strict";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { federationPhases, federationTargets, runFederationKills } from "./federation-kills.ts";
import { KillHistogram } from "./kill-histogram.ts";

const test = suite("kills in a federation", { timeoutMs: count(900_000, 5_000_000) });
const seed = Number(process.env["COSTOR_KILL_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** After so many, a new federation. */
const killsPerFederationCount = 44;
/** Federations at a time: mostly they wait. */
const lanesCount = 2;

test("everything acknowledged survives kills while it is sent, healed and brought back", async ({ signal }) => {
  const histogram = new KillHistogram();
  const killsCount = count(2, 12 * federationTargets.length);
  process.stdout.write(`\nseed ${seed}; again: COSTOR_KILL_SEED=${seed} node test/faults/federation-kills.test.ts\n`);
  const partsCount = Math.ceil(killsCount / killsPerFederationCount);
  let nextPart = 0;
  const lane = async (): Promise<void> => {
    while (nextPart < partsCount) {
      const part = nextPart++;
      const partCount = Math.min(killsPerFederationCount, killsCount - part * killsPerFederationCount);
      const init = { seed: seed + part, targets: federationTargets, killsCount: partCount, signal };
      await runFederationKills(init, histogram);
      process.stdout.write(`${histogram.total} of ${killsCount}\n`);
    }
  };
  await Promise.all(Array.from({ length: lanesCount }, lane));
  process.stdout.write(`${histogram}\n`);
  if (killsCount >= federationTargets.length)
    assert.ok(histogram.leastOf(federationPhases) >= killsCount / 8, "each phase has its share");
});

test.run();
