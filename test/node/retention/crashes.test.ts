/**
 * Goal: wherever expiry and collection are cut, nothing wanted is lost, nothing that ended comes back, and the next day ends what was begun. Method: the
 * process ends at each write of a day's work in turn, before and after it; another one opens the same store.
 */
import assert from "node:assert/strict";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, RetainedSite } from "./retained-site.ts";

const test = suite("retention after a crash");

class Crash extends Error {}

/** A store whose process ends at the write number `at`: before it, or when it is done and not yet answered. */
function ending(store: PrimeStore, at: number, isDone: boolean): PrimeStore & { readonly writesCount: number } {
  let writesCount = 0;
  return new Proxy(store, {
    get(target, name) {
      if (name === "writesCount") return writesCount;
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function" || !["appendFacts", "collect", "compact"].includes(String(name))) return value;
      return async (...args: unknown[]) => {
        const number = writesCount++;
        if (number > at || (number === at && !isDone)) throw new Crash();
        const result: unknown = await (value as (...args: unknown[]) => unknown).apply(target, args);
        if (number === at) throw new Crash();
        return result;
      };
    },
  }) as PrimeStore & { readonly writesCount: number };
}

/** A site on the day on which some snapshots leave the list, and others that did before are gone. */
async function prepared(): Promise<{ site: RetainedSite; gone: SnapshotId; leaving: SnapshotId; wanted: SnapshotId }> {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.retention.decide({}, { last: 1 });
  const gone = await site.backUp(agent, ["always", "gone"]);
  await site.days(8);
  const leaving = await site.backUp(agent, ["always", "leaving"]);
  await site.days(30);
  const wanted = await site.backUp(agent, ["always", "wanted"]);
  // The first leaves the list with this day; the second does so on the day that is cut.
  site.clock.pass(8 * DAY_MS);
  return { site, gone, leaving, wanted };
}

async function reopened(before: RetainedSite, store: PrimeStore): Promise<RetainedSite> {
  const site = await RetainedSite.open({ store, clock: before.clock, doClocksAgree: () => true });
  for (const [id, names] of before.names) site.names.set(id, names);
  return site;
}

test("a day that is cut anywhere loses nothing, and is ended by the next", async () => {
  let cutsCount = 0;
  let most = 1;
  for (let at = 0; at < most; at++)
    for (const isDone of [false, true]) {
      const { site, gone, leaving, wanted } = await prepared();
      const cut = ending(site.store, at, isDone);
      const crashing = await reopened(site, cut);
      const ended = await crashing.retention.turn().then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof Crash)) throw error;
          return false;
        },
      );
      if (ended) continue;
      cutsCount++;
      most = at + 2;
      const after = await reopened(site, site.store);
      await after.verify();
      await after.days(9);
      await after.verify();
      const ids = (await after.retention.snapshots()).map(({ id }) => id);
      assert.deepEqual(ids, [wanted], `cut at ${at}`);
      assert.ok(!ids.includes(gone) && !ids.includes(leaving));
      assert.equal(await after.primesCount(), 5, "a root, two directories and two files");
    }
  assert.ok(cutsCount >= 8, `${cutsCount} cuts`);
});

test.run();
