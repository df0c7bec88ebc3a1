/** Goal: people see how far a site is that comes back, and when it will be whole. */
import { deepEqual, equal } from "node:assert/strict";
import { ComingBack } from "#node/federation/coming-back.ts";
import type { KeptTotal } from "#node/store/prime-store.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { suite } from "#test/support/suite.ts";
import { sampleSite } from "#test/support/store-samples.ts";

const test = suite("coming back");
const total = (lostCount: number): KeptTotal => ({ site: sampleSite(1), count: 100, bytes: 1, lostCount });

test("the time that is left follows from what has come since the first look", () => {
  const clock = new ManualClock();
  const comingBack = new ComingBack({ clock });
  deepEqual(comingBack.look(total(80)), { count: 100, lackingCount: 80 });
  clock.pass(10_000);
  deepEqual(comingBack.look(total(60)), { count: 100, lackingCount: 60, doneAtMs: clock.now() + 30_000 });
  deepEqual(comingBack.look(total(90)), { count: 100, lackingCount: 90 }, "more has become known");
});

test("where all is here there is nothing to say, and a later loss is counted anew", () => {
  const clock = new ManualClock();
  const comingBack = new ComingBack({ clock });
  equal(comingBack.look(undefined), undefined);
  comingBack.look(total(80));
  clock.pass(10_000);
  equal(comingBack.look(total(0)), undefined);
  deepEqual(comingBack.look(total(50)), { count: 100, lackingCount: 50 });
});

test.run();
