/**
 * Does the daily work of a site that does not run, day after day: what a site does once a day of its own cannot be waited for. A process of its own, so that it can be
 * killed. Small segments, so that there is something to compact. Usage: retention-process.ts DATA FIRST-DAY DAYS
 */
import { HeldClock } from "#node/replication/held-clock.ts";
import { Retention } from "#node/retention/retention.ts";
import { openSite } from "#node/site/site.ts";
import { storeDirectoryOf } from "#node/site/site-store.ts";
import { systemRng } from "#node/site/system-rng.ts";
import { SegmentStore } from "#node/store/segment-store.ts";

const [data, firstDay, daysCount] = process.argv.slice(2);
const DAY_MS = 24 * 3_600_000;
const segmentBytes = 512 * 1024;

let passedMs = 0;
const startMs = Date.now() + Number(firstDay) * DAY_MS;
const elapsedMs = (): number => performance.now() + passedMs;
const now = (): number => Math.floor(startMs + elapsedMs());
const clock = { now, elapsedMs, sleep: () => Promise.reject(new Error("nothing here sleeps")) };

await using store = await SegmentStore.open({ directory: storeDirectoryOf(data!), segmentBytes, reserveFileBytes: 0 });
const site = await openSite(data!, { store, now });
const heldClock = await HeldClock.open({ clock, store });
// The real site ran meanwhile, by a clock that shows an earlier time.
await heldClock.confirm();
const retention = await Retention.open({
  ...{ site, heldClock, rng: systemRng },
  timeZone: () => "UTC",
  doubt: async () => undefined,
  warn: () => {},
});
await retention.decide({}, { last: 3 });
for (let day = 0; day < Number(daysCount); day++) {
  passedMs += DAY_MS;
  await retention.turn();
}
process.stdout.write("{}\n");
