/**
 * Every state that a crash of the machine could leave of what a site keeps: primes, facts and ledger lie in one store, so six workloads run on a
 * recording disk, and for each moment the disk's unsynced calls are kept, lost, or torn. Goal: the store opens by itself, holds all that was
 * acknowledged by then, and what was begun can be ended; one in eight is compared with an index that is made anew, and read as a whole.
 *
 * A failure prints its number; `COSTOR_CRASH_SEED=NUMBER` runs that one alone, `COSTOR_CRASH_SEED=FROM-TO` others: the number says the workload too.
 */
import assert from "node:assert/strict";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { CrashStates, type CrashWorkload } from "./crash-workload.ts";
import { healedDamage } from "./crash-workloads/healed-damage.ts";
import { heldCopies } from "./crash-workloads/held-copies.ts";
import { ledgerEntries } from "./crash-workloads/ledger-entries.ts";
import { recoveredSite } from "./crash-workloads/recovered-site.ts";
import { retainedSnapshots } from "./crash-workloads/retained-snapshots.ts";
import { storeCalls } from "./crash-workloads/store-calls.ts";

const test = suite("states after a crash", { timeoutMs: count(400_000, 14_400_000) });
const THOROUGH_SHARE_COUNT = 8;
/** States in which at least one shows what is wrong. */
const TRIED_COUNT = 60;

const workloads: readonly (() => CrashWorkload<never>)[] = [
  storeCalls,
  retainedSnapshots,
  heldCopies,
  ledgerEntries,
  healedDamage,
  recoveredSite,
] as never;
const [fromNumber, toNumber] = (process.env["COSTOR_CRASH_SEED"] ?? `0-${count(180, 50_400) - 1}`)
  .split("-")
  .map(Number);

for (const [index, make] of workloads.entries()) {
  const { title } = make();
  test(`what was acknowledged survives every crash: ${title}`, async ({ signal, skip }) => {
    const numbers: number[] = [];
    for (let number = fromNumber!; number <= (toNumber ?? fromNumber!); number++)
      if (number % workloads.length === index) numbers.push(number);
    if (numbers.length === 0) skip("no state of it was asked for");
    const states = await CrashStates.of(make());
    assert.ok(states.callsCount > 100, "there is something to cut");
    for (const number of numbers) {
      signal.throwIfAborted();
      try {
        await states.crashAndOpen(number, Math.floor(number / workloads.length) % THOROUGH_SHARE_COUNT === 0);
      } catch (error) {
        throw new Error(`crash state ${number} of ${title}`, { cause: error });
      }
    }
    process.stdout.write(` (${numbers.length} states of ${states.callsCount} calls) `);
  });
}

test("each workload finds out a disk that does not sync", async () => {
  for (const make of workloads) {
    const states = await CrashStates.of(make(), true);
    let isFound = false;
    for (let number = 0; !isFound && number < TRIED_COUNT; number++)
      isFound = await states.crashAndOpen(number, false).then(
        () => false,
        () => true,
      );
    assert.ok(isFound, make().title);
  }
});

test.run();
