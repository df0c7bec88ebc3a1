/** Tells owners when something that this site keeps for them is lost, and keeps it no more: they send it again. docs/specs/replication.md, Sets */
import { SLICES_COUNT, sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { OwnerTurns } from "./owner-turns.ts";
import type { KeptPrimes, LedgerReader, OwnEntries } from "./replication-ports.ts";

export interface LossComponents {
  readonly self: SiteId;
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly entries: Pick<OwnEntries, "writeAll">;
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf">;
  readonly kept: Pick<KeptPrimes, "release">;
  readonly ownerTurns: OwnerTurns;
}

/** At the start, and whenever the store has found damage. The entry comes first: a receipt never says more than is here. */
export async function reportLosses({ self, ledger, entries, store, kept, ownerTurns }: LossComponents): Promise<void> {
  for (const { site: owner, lostCount } of await store.keptTotals()) {
    if (owner === self || lostCount === 0) continue;
    await ownerTurns.run(owner, async () => {
      const lost: PrimeId[] = (await Array.fromAsync(store.lostOf(owner))).flat();
      const counts = new Array<number>(SLICES_COUNT).fill(0);
      for (const id of lost) counts[sliceOf(id)]!++;
      const losses = counts.flatMap((count, slice) => {
        const before = ledger.statement(self, "loss", `${owner}/${slice}`)?.statement.count ?? 0;
        return count === 0 ? [] : [{ kind: "loss", owner, slice, count: before + count } as const];
      });
      await entries.writeAll(losses);
      await kept.release(owner, lost);
    });
  }
}
