/** Backups, and the end of old ones: expiry, collection and compaction, day after day. */
import assert from "node:assert/strict";
import { DAY_MS, RetainedSite } from "#test/node/retention/retained-site.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import type { AgentId, SnapshotId } from "#protocol/ids.ts";
import type { CrashWorkload } from "../crash-workload.ts";

interface Promised {
  /** All that exist, also outside of the list. */
  readonly ids: ReadonlySet<SnapshotId>;
  readonly nowMs: number;
}

const SNAPSHOTS_COUNT = 7;
/** More than a snapshot is young. */
const WEEKS_COUNT = 14;

export function retainedSnapshots(): CrashWorkload<Promised> {
  const names = new Map<SnapshotId, readonly string[]>();
  return {
    title: "retention and compaction",
    async record(recorder) {
      const store = await recorder.open();
      const clock = new ManualClock();
      const site = await RetainedSite.open({ store, clock });
      const existing = async (): Promise<Set<SnapshotId>> =>
        new Set((await Array.fromAsync(site.snapshots.records())).map(({ id }) => id));
      const note = async (): Promise<void> => recorder.note({ ids: await existing(), nowMs: clock.now() });
      const agent: AgentId = site.enrol();
      await site.retention.decide({}, { last: 2 });
      await note();
      let goneCount = 0;
      for (let week = 0; week < WEEKS_COUNT; week++) {
        const before = (await existing()).size;
        clock.pass(7 * DAY_MS);
        await site.retention.turn();
        goneCount += before - (await existing()).size;
        await note();
        if (week >= SNAPSHOTS_COUNT) continue;
        const id = await site.backUp(agent, ["always", `a ${week}`, `b ${week}`, `c ${week}`, `d ${week}`]);
        names.set(id, site.names.get(id)!);
        await note();
      }
      assert.ok(goneCount >= 3, `${goneCount} snapshots are gone`);
    },
    async verify(store, { promised, next }) {
      const clock = new ManualClock(promised?.nowMs ?? 0);
      const site = await RetainedSite.open({ store, clock });
      for (const [id, each] of names) site.names.set(id, each);
      const ids = new Set((await Array.fromAsync(site.snapshots.records())).map(({ id }) => id));
      const [before, after] = [promised?.ids ?? new Set(), (next ?? promised)?.ids ?? new Set()];
      assert.deepEqual([...before.intersection(after).difference(ids)], [], "snapshots are lost");
      assert.deepEqual([...ids.difference(before.union(after))], [], "what was gone is back");
      await site.verify();
      await site.days(1);
      await site.verify();
    },
  };
}
