/**
 * Goal: the last good snapshot is pinned whatever happens between the alarm and the pin. Method: the brake of a running site, on a store in
 * memory, with a retention that a test lets wait.
 */
import assert from "node:assert/strict";
import { pino } from "pino";
import { startBrake } from "#node/cli/running-brake.ts";
import { BrakeAlarms } from "#node/site/brake-alarms.ts";
import { SiteChanges } from "#node/site/site-changes.ts";
import type { Site } from "#node/site/site.ts";
import { type SnapshotId, makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("running-brake");

const agent = parseAgentId(makeUuidV7(1));
const [good, bad] = [parseSnapshotId(makeUuidV7(2)), parseSnapshotId(makeUuidV7(3))];
const counts = { filesBefore: 100, changedCount: 100, addedCount: 0, removedCount: 0 };

async function setUp() {
  const store = createMemoryStore();
  const alarms = await BrakeAlarms.open({ store, now: () => 1000 });
  await alarms.raise({ agent, snapshot: bad, job: "daily", before: good, findings: ["mass-change"], ...counts });
  const marked: SnapshotId[] = [];
  const looked: string[] = [];
  const cleared: (() => void)[] = [];
  const start = async () =>
    startBrake({
      site: {
        ...{ store, snapshots: { list: async (id: string) => (looked.push(id), []) }, changes: new SiteChanges() },
        brakeAlarms: await BrakeAlarms.open({ store, now: () => 1000 }),
        regainedSnapshots: { isAny: false, onCleared: (listener: () => void) => void cleared.push(listener) },
        agents: { list: () => [{ id: agent }] },
      } as unknown as Site,
      log: pino({ level: "silent" }),
      retention: {
        mark: async (ids, change) => {
          assert.deepEqual(change, { isPinned: true });
          marked.push(...ids);
        },
      },
    });
  return { alarms, marked, looked, cleared, start };
}

test("the last good snapshot of an alarm that stands is pinned at the start: the site may have ended before it was", async () => {
  const { marked, start } = await setUp();
  await using _brake = await start();
  assert.deepEqual(marked, [good]);
});

test("that of an alarm that is settled is left as people wish it", async () => {
  const { alarms, marked, start } = await setUp();
  await alarms.settle(bad, "the old year was cleared");
  await using _brake = await start();
  assert.deepEqual(marked, []);
});

test("when all is back after a disaster, all agents are looked at once more", async () => {
  const { looked, cleared, start } = await setUp();
  const brake = await start();
  for (const listener of cleared) listener();
  await brake[Symbol.asyncDispose]();
  assert.deepEqual(looked, [agent, agent]);
});

test.run();
