/** A holder: it takes what an owner sends, gives receipts, notes what is left out, and drops it after the lock. Ledger and primes lie in one store. */
import assert from "node:assert/strict";
import { Departures } from "#node/replication/departures.ts";
import { Dropping } from "#node/replication/dropping.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { SegmentStore } from "#node/store/segment-store.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { ReplicatingFederation, type ReplicatingSite } from "#test/node/replication/replicating-site.ts";
import { DAY_MS } from "#test/node/replication/test-clock.ts";
import type { CrashWorkload } from "../crash-workload.ts";

interface Promised {
  /** By slice. */
  readonly generations: ReadonlyMap<number, number>;
  /** How far its own log is known to the owner. */
  readonly givenSeq: number;
}

const LOCK_DAYS = 46;

export function heldCopies(): CrashWorkload<Promised> {
  /** All sets that were ever signed, by their hash. */
  const sets = new Map<string, readonly PrimeId[]>();
  const hold = (all: ReplicatingFederation, store: SegmentStore): Promise<ReplicatingSite> =>
    all.add("holder", { store, ledgerStore: new LedgerFacts({ store }) });
  return {
    title: "replication as a holder",
    async record(recorder) {
      const all = new ReplicatingFederation();
      const owner = await all.add("owner");
      const holder = await hold(all, await recorder.open());
      const dropping = droppingOf(holder);
      const note = (): Promise<void> => {
        const generations = new Map<number, number>();
        for (const slice of allSlices) {
          const receipt = owner.ledger.statement(holder.siteId, "receipt", `${owner.siteId}/${slice}`);
          if (receipt !== undefined) generations.set(slice, receipt.statement.generation);
        }
        const givenSeq = owner.ledger.log(holder.author.log.id)?.known.last ?? -1;
        return recorder.note({ generations, givenSeq });
      };
      await note();
      let droppedCount = 0;
      const slices = allSlices.slice(0, 3);
      const send = async (from: readonly number[]): Promise<void> => {
        const toSend = await owner.slicesFor([holder], from);
        for (const slice of toSend) sets.set(hashOfSet(slice.ids), slice.ids);
        await owner.replicate(holder, toSend);
        await note();
      };
      for (let round = 0; round < 6; round++) {
        const ids = await owner.backUp(`round ${round}`, 40, 200);
        await send(slices.slice(0, 1));
        await send(slices.slice(1));
        if (round % 2 === 0) continue;
        await owner.expire(ids.filter((_, at) => at % 3 > 0));
        await send(slices);
        holder.clock.pass(LOCK_DAYS * DAY_MS);
        droppedCount += (await dropping.drop()).droppedCount;
        await note();
        await holder.entries.withdrawIdle();
        await note();
      }
      assert.ok(droppedCount > 3, `${droppedCount} primes are dropped`);
    },
    async verify(store, { promised }) {
      const all = new ReplicatingFederation();
      const owner = await all.add("owner");
      const holder = await hold(all, store);
      const known = holder.ledger.log(holder.author.log.id)?.known.last ?? -1;
      assert.ok(known >= (promised?.givenSeq ?? -1), "entries that others have are lost");
      for (const slice of allSlices) {
        const receipt = holder.receiptFor(owner.siteId, slice)?.statement;
        const generation = receipt?.kind === "receipt" ? receipt.generation : 0;
        assert.ok(generation >= (promised?.generations.get(slice) ?? 0), `the receipt of slice ${slice} is lost`);
        if (receipt?.kind !== "receipt") continue;
        const ids = sets.get(receipt.hash)!;
        const kept = new Set(await holder.kept.slice(owner.siteId, slice));
        assert.deepEqual(
          ids.filter((id) => !kept.has(id)),
          [],
          `a receipt says more than is kept of slice ${slice}`,
        );
        await store.getMany(ids);
      }
    },
  };
}

function droppingOf(site: ReplicatingSite): Dropping {
  const { siteId: self, view: sites, ledger, entries, store, kept, omissions, heldClock, ownerTurns } = site;
  const departures = new Departures({ store, heldClock });
  return new Dropping({
    ...{ self, sites, ledger, entries, store, kept, omissions, heldClock, ownerTurns, departures },
    suspicion: () => undefined,
    hearsMost: () => true,
  });
}
