/** Goal: the order in which snapshots were received lasts, whatever is done to the machine's clock or said by a former one. */
import assert from "node:assert/strict";
import { AgentRegistry } from "#node/site/agent-registry.ts";
import { ReceivedClock } from "#node/site/received-clock.ts";
import { regainRecord } from "#node/site/regained-records.ts";
import { SiteChanges } from "#node/site/site-changes.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("received-clock");

const DAY_MS = 24 * 3_600_000;
const nowMs = Date.UTC(2026, 10, 27);

async function setUp() {
  const store = createMemoryStore();
  const clock = { wallMs: nowMs };
  const open = () => ReceivedClock.open(store, () => clock.wallMs);
  return { store, clock, open, received: await open() };
}

test("it grows with each, and tells what the machine's clock showed when that was less", async () => {
  const { store, clock, received, open } = await setUp();
  const first = received.receive();
  assert.deepEqual([first.receivedMs, first.wallMs], [nowMs, undefined]);
  clock.wallMs += 700 * DAY_MS;
  const ahead = received.receive();
  assert.deepEqual([ahead.receivedMs, ahead.wallMs], [clock.wallMs, undefined]);
  await store.appendFacts([ahead.fact]);
  clock.wallMs = nowMs + DAY_MS;
  for (const clockAgain of [received, await open()]) {
    const after = clockAgain.receive();
    assert.deepEqual([after.receivedMs, after.wallMs], [ahead.receivedMs + 1, nowMs + DAY_MS]);
  }
});

test("a former machine's snapshot that no clock can have counted is no record, and moves nothing", async () => {
  const { store, clock, received } = await setUp();
  const components = {
    ...{ store, clock: received, changes: new SiteChanges() },
    agents: await AgentRegistry.open(store, new SiteChanges()),
    regained: { mark: (key: string) => ({ kind: "regained", key, value: Buffer.alloc(0) }) },
  };
  const regain = (receivedMs: number) =>
    regainRecord({ ...components, snapshots: { receivedMsOf: () => receivedMs } }, "snapshot", "a/b", Buffer.alloc(0));
  await regain(nowMs + limits.receivedAheadMs);
  const floorMs = received.floorMs;
  const before = store.appended.length;
  for (const receivedMs of [floorMs + 1, Number.MAX_SAFE_INTEGER])
    await assert.rejects(regain(receivedMs), { code: "store-damaged" });
  assert.deepEqual([received.floorMs, store.appended.length], [floorMs, before]);
  // What was counted on from there is a record, however often it is regained: each took its millisecond.
  clock.wallMs += 1;
  assert.equal(received.receive().receivedMs, floorMs + 1);
  await regain(floorMs + 1);
});

test.run();
