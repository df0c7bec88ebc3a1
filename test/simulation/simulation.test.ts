/**
 * Goal: no invariant of a federation breaks under faults, and all is in order again once they end. Method: runs in virtual time
 * of seeds that nobody has chosen, with hostile sites and with many; seeds that failed once; each run repeats itself, event for
 * event, also in another process. `npm run sim` runs more of them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { count, level } from "#test/support/level.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { suite } from "#test/support/suite.ts";
import { failedSeeds } from "./failed-seeds.ts";
import { vices } from "./fault-plan.ts";
import {
  type ProgramName,
  type RunInit,
  makeHealingPlan,
  makePlan,
  mixedInit,
  replayCommand,
  runPlan,
} from "./sim-runs.ts";
import { Struck } from "./struck.ts";

const test = suite("simulation", { timeoutMs: count(300_000, 3_600_000) });
const struck = new Struck();

async function runSoundly(init: RunInit, program: ProgramName = "federation"): Promise<string> {
  const plan = makePlan(init);
  const outcome = await runPlan(plan, program);
  struck.addAll(outcome.struck);
  assert.equal(outcome.failure, undefined, `${outcome.failure?.message}\nagain: ${replayCommand(plan, program)}`);
  assert.ok(outcome.snapshotsCount > 0, "nothing was backed up");
  return outcome.hash;
}

// Those that live through the lock take seconds each.
for (const { reason, program, ...init } of failedSeeds.filter(
  ({ quietDaysCount = 0 }) => quietDaysCount <= count(0, 365),
))
  test(`seed ${init.seed}, which failed once: ${reason}`, async () => void (await runSoundly(init, program)));

test("five ledgers hold every invariant under faults, and every kind of fault has struck", async () => {
  for (let seed = 1; seed <= count(12, 200); seed++)
    await runSoundly({ seed, sitesCount: 5, hoursCount: 48 }, "ledger");
  // The others are for sites that have more than a ledger.
  const kinds = struck.never.filter((kind) => !["join", "expel", "leave", ...vices].includes(kind));
  assert.deepEqual(kinds, []);
});

test("whole sites hold every invariant under faults, with hostile ones among them, and all their snapshots become safe", async () => {
  for (let seed = 1; seed <= count(3, 200); seed++) await runSoundly(mixedInit(seed));
});

test("so do whole sites through the days after the lock, when they drop and forget", async ({ skip }) => {
  if (level !== "full") skip("takes minutes: in the full run only");
  for (let seed = 6000; seed < 6010; seed++) await runSoundly({ ...mixedInit(seed), quietDaysCount: 50 });
});

for (const vice of vices)
  test(`so do honest sites when another one ${vice}`, async () => {
    for (let seed = 1; seed <= count(1, 20); seed++)
      await runSoundly({ seed, sitesCount: 5, hoursCount: 12, hostileCount: 1, vice });
  });

test("of whole sites, too, every kind of fault and every vice has struck", ({ skip }) => {
  if (level !== "full") skip("some need many seeds: in the full run only");
  assert.deepEqual(struck.never, []);
});

test("so do ledgers alone among others that lie, fewer than a third", async () => {
  for (let seed = 1; seed <= count(3, 50); seed++)
    await runSoundly({ seed, sitesCount: 7, hoursCount: 30, hostileCount: 2, vice: "lies" }, "ledger");
});

test("ledgers of many sites are equal five minutes after the federation was in two halves", async () => {
  const plan = makeHealingPlan(1, count(50, 500));
  const { failure, equalAfterMs, snapshotsCount } = await runPlan(plan, "ledger");
  assert.equal(failure, undefined, failure?.message);
  assert.ok(snapshotsCount > 0, "nothing was said meanwhile");
  assert.ok(equalAfterMs <= 5 * 60_000, `they were equal after ${equalAfterMs / 60_000} minutes`);
});

test("fifty sites hold every invariant", async () => {
  for (let seed = 1; seed <= count(1, 10); seed++)
    await runSoundly({ seed, sitesCount: 50, hoursCount: count(4, 24) }, "ledger");
});

test("a seed does the same each time, event for event, in this process and in another", async () => {
  const init = { seed: 7, sitesCount: 4, hoursCount: 6, hostileCount: 1 };
  const [once, twice] = [await runSoundly(init), await runSoundly(init)];
  assert.equal(once, twice);
  const file = resolve(import.meta.dirname, "sim.ts");
  const words = ["--seed", "7", "--sites", "4", "--hours", "6", "--hostile", "1", "--backup-every", "8"];
  const { stdout, status } = spawnSync(process.execPath, [...runtimeFlags, file, ...words], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
  assert.ok(stdout.includes(once), stdout);
  assert.notEqual(await runSoundly({ ...init, hoursCount: 5 }), once);
});

test("a plan that ends sooner than its faults were drawn for has the same ones until then", () => {
  const init = { seed: 7, sitesCount: 5, hoursCount: 48, intensity: 3 };
  const whole = makePlan(init);
  const isEarly = ({ atMs }: { readonly atMs: number }): boolean => atMs < 24 * 3_600_000;
  const cut = makePlan({ ...init, untilHoursCount: 24 });
  assert.ok(cut.faults.length > 0 && cut.faults.length < whole.faults.length);
  assert.deepEqual(cut.faults, whole.faults.filter(isEarly));
  assert.ok(
    replayCommand(cut, "federation").includes("--hours 48 ") && replayCommand(cut, "federation").includes("--until 24"),
  );
});

test.run();
