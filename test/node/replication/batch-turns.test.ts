/** Batches of all owners share the way to the disk, and what is done for one owner takes turns. Method: works that end when the test says so. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { KeepingRoom } from "#node/replication/keeping-room.ts";
import { OwnerTurns } from "#node/replication/owner-turns.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("batch turns");

/** When everything that follows in memory has followed. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

test("batches of all owners together have so much room, and who waits takes nothing from it", async () => {
  const room = new KeepingRoom({ bytes: 100 });
  const ends: PromiseWithResolvers<void>[] = [];
  const begun: number[] = [];
  const enter = (bytes: number): void => {
    const end = Promise.withResolvers<void>();
    ends.push(end);
    void room.run(bytes, () => (begun.push(bytes), end.promise)).catch(() => undefined);
  };
  for (const bytes of [60, 30, 20, 500, 1]) enter(bytes);
  await settled();
  assert.deepEqual(begun, [60, 30], "the third waits, and nobody passes it");
  ends[0]!.reject(new Error("one fails"));
  await settled();
  assert.deepEqual(begun, [60, 30, 20]);
  ends[1]!.resolve();
  await settled();
  assert.deepEqual(begun, [60, 30, 20], "a batch larger than all room waits for all of it");
  ends[2]!.resolve();
  await settled();
  assert.deepEqual(begun, [60, 30, 20, 500]);
  ends[3]!.resolve();
  await settled();
  assert.deepEqual(begun, [60, 30, 20, 500, 1]);
});

test("what runs alone for an owner waits for all that shares before it, and what shares after it waits for it", async () => {
  const turns = new OwnerTurns();
  const owner = sampleSiteId("owner");
  const log: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const work = (name: string) => async (): Promise<void> => {
    log.push(name);
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    await end.promise;
  };
  const failing = turns.share(owner, work("a"));
  failing.catch(() => undefined);
  void turns.share(owner, work("b"));
  void turns.run(owner, work("alone"));
  void turns.share(owner, work("c"));
  void turns.share(sampleSiteId("another"), work("of another"));
  await settled();
  assert.deepEqual(log, ["a", "b", "of another"]);
  ends.get("a")!.reject(new Error("it fails"));
  await settled();
  assert.deepEqual(log, ["a", "b", "of another"]);
  ends.get("b")!.resolve();
  await settled();
  assert.deepEqual(log, ["a", "b", "of another", "alone"]);
  ends.get("alone")!.resolve();
  await settled();
  assert.deepEqual(log, ["a", "b", "of another", "alone", "c"]);
  await assert.rejects(failing);
});

test.run();
