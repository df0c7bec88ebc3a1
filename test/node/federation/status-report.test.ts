/** Goal: people see how much is to be sent, and until when. Method: sites on a network in memory whose status is asked for before and after backups. */
import assert from "node:assert/strict";
import { reportStatus } from "#node/federation/status-report.ts";
import { suite } from "#test/support/suite.ts";
import { FederationWorld, HOUR_MS } from "./federation-world.ts";

const test = suite("status report");

test("what is to be sent is what has come since the holders' receipts, also before it is signed", async () => {
  const world = await FederationWorld.of(3);
  await world.run(90_000);
  const [site] = world.sites;
  const { federation, store } = site!;
  const times: number[] = [];
  const status = () =>
    reportStatus({ federation, store, receivedTimes: async () => times, drills: () => [], nowMs: () => 1000 });
  await site!.backUp("first", 200);
  times.push(1);
  await world.run(HOUR_MS / 2);
  const first = await status();
  assert.deepEqual([first.behindBytes, first.snapshots.unsafeSinceMs, first.doneAtMs], [0, undefined, undefined]);
  await site!.backUp("second", 10);
  times.push(2);
  // The last live sets are too young to be followed by others.
  await world.run(60_000);
  const second = await status();
  assert.deepEqual([second.behindBytes, second.snapshots.unsafeSinceMs], [2 * 10 * 100, 2]);
  const [holder] = second.slices[0]!.copies;
  federation.parts.sending.follow({
    event: "run-progress",
    holder: holder!.holder,
    progress: { slice: 0, missingCount: 10, keptCount: 5, keptBytes: 500 },
  });
  const { sinceMs } = federation.parts.sending.list()[0]!;
  const under = await reportStatus({
    ...{ federation, store, receivedTimes: async () => times, drills: () => [] },
    nowMs: () => sinceMs + 1000,
  });
  assert.equal(under.doneAtMs, sinceMs + 1000 + 3000);
  await world.run(2 * HOUR_MS);
  const last = await status();
  assert.deepEqual([last.behindBytes, last.snapshots.unsafeSinceMs], [0, undefined]);
});

test("while not all is safe it is told who takes nothing more", async () => {
  const world = await FederationWorld.of(3);
  await world.run(90_000);
  const [site, full] = world.sites;
  await full!.federation.parts.settings.change({ quotaBytes: 500 });
  const { federation, store } = site!;
  const status = () =>
    reportStatus({ federation, store, receivedTimes: async () => [1], drills: () => [], nowMs: () => 1000 });
  await site!.backUp("first", 200);
  await world.run(HOUR_MS);
  const refused = await status();
  assert.notEqual(refused.snapshots.unsafeSinceMs, undefined);
  assert.deepEqual(refused.refusedBy, [full!.identity.siteId.slice(0, 8)]);
  await full!.federation.parts.settings.change({ quotaBytes: null });
  await world.run(25 * HOUR_MS);
  const safe = await status();
  assert.deepEqual([safe.snapshots.unsafeSinceMs, safe.refusedBy], [undefined, []]);
});

test.run();
