/** Goal: what a receipt is for is on the holder's disk, and its notes with it: a holder that starts anew knows both. Method: real stores, closed and opened. */
import assert from "node:assert/strict";
import { HeldClock } from "#node/replication/held-clock.ts";
import { Omissions } from "#node/replication/omissions.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation } from "./replicating-site.ts";
import { TestClock } from "./test-clock.ts";

const test = suite("stored-on-disk");

test("two owners' primes, omissions and locks are there after a restart", async () => {
  const directory = await scratchDirectory("replication");
  const store = await SegmentStore.open({ directory });
  const all = new ReplicatingFederation();
  const owners = [await all.add("one"), await all.add("two")];
  const holder = await all.add("holder", { store });
  const kept = new Map<string, readonly PrimeId[]>();
  for (const owner of owners) {
    const ids = await owner.backUp("first", 200, 5000);
    await owner.replicate(holder, await owner.slicesFor([holder]));
    await owner.expire(ids.slice(0, 30));
    holder.clock.pass(1000);
    await owner.replicate(holder, await owner.slicesFor([holder]));
    kept.set(owner.siteId, ids);
  }
  const heldMs = holder.heldClock.nowMs();
  await holder.heldClock.keep();
  await store[Symbol.asyncDispose]();
  const again = await SegmentStore.open({ directory });
  const heldClock = await HeldClock.open({ store: again, clock: new TestClock() });
  assert.ok(heldClock.nowMs() >= heldMs);
  const omissions = new Omissions({ store: again, heldClock });
  for (const owner of owners) {
    const ids = kept.get(owner.siteId)!;
    assert.deepEqual((await Array.fromAsync(again.kept(owner.siteId))).flat(), ids);
    const notes = await Array.fromAsync(omissions.notes(owner.siteId));
    assert.deepEqual(notes.flatMap((note) => note.ids ?? []).toSorted(), ids.slice(0, 30));
    assert.ok(notes.every(({ sinceMs }) => sinceMs <= heldMs));
    for (const id of ids.slice(30, 35)) assert.deepEqual(await again.get(id), await owner.store.get(id));
  }
  await again[Symbol.asyncDispose]();
});

test.run();
