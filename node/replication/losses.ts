/** Tells owners when something that this site keeps for them is lost, and keeps it no more: they send it again. docs/specs/replication.md, Sets */
import { SLICES_COUNT, sliceOf } from "#ledger/slice.ts";
import type { StatementOf } from "#ledger/statements.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import type { Omissions } from "./omissions.ts";
import type { OwnerTurns } from "./owner-turns.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import type { KeptPrimes, LedgerReader, OwnEntries } from "./replication-ports.ts";

export interface LossComponents {
  readonly self: SiteId;
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly entries: Pick<OwnEntries, "writeAll">;
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf">;
  readonly kept: Pick<KeptPrimes, "release">;
  readonly ownerTurns: OwnerTurns;
}

export interface ForgottenComponents extends Pick<LossComponents, "self" | "entries" | "ownerTurns"> {
  readonly ledger: Pick<LedgerReader, "statement" | "statements">;
  readonly kept: Pick<KeptPrimes, "slice">;
  readonly omissions: Pick<Omissions, "notes">;
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

/**
 * Says of what was just found to be lost; the entry by which a slice has lost something, undefined when none says so. Throws
 * `store-failed` while none does and none can be written.
 */
export async function sayLost(
  components: LossComponents & { readonly ledger: Pick<LedgerReader, "statement" | "entry"> },
  owner: SiteId,
  slice: number,
): Promise<Uint8Array | undefined> {
  const { self, ledger } = components;
  const lossOf = () => ledger.statement(self, "loss", `${owner}/${slice}`);
  try {
    await reportLosses(components);
  } catch (error) {
    // A store that has failed passes: the site starts again. Who may not write, until people have looked, cannot say it, and is replaced.
    if (!(error instanceof CostorError)) throw error;
    if (isCostorError(error, "store-failed") && lossOf() === undefined) throw error;
  }
  const loss = lossOf();
  return loss && ledger.entry(loss.logId, loss.seq);
}

/**
 * On a disk that is older than what this site has told others: slices of which the set, without what is noted as left out, is not that
 * of this site's own receipt. Their owners send what is missing, before an audit finds it.
 */
export async function reportForgotten(components: ForgottenComponents): Promise<void> {
  const { self, ledger, entries, ownerTurns } = components;
  const receipts = ledger.statements(self, "receipt").map(({ statement }) => statement);
  for (const [owner, given] of Map.groupBy(receipts, (receipt) => receipt.owner))
    await ownerTurns.run(owner, async () => {
      const losses: StatementOf<"loss">[] = [];
      for (const { slice, hash, count } of given) {
        if (ledger.statement(self, "loss", `${owner}/${slice}`) !== undefined) continue;
        const ids = await presentOf(components, owner, slice);
        const missingCount = Math.max(1, count - ids.length);
        if (hashOfSet(ids) !== hash) losses.push({ kind: "loss", owner, slice, count: missingCount });
      }
      if (losses.length > 0) await entries.writeAll(losses);
    });
}

async function presentOf({ kept, omissions }: ForgottenComponents, owner: SiteId, slice: number): Promise<PrimeId[]> {
  const notes = await Array.fromAsync(omissions.notes(owner, slice));
  const leftOut = new Set(notes.flatMap(({ ids }) => ids ?? []));
  return (await kept.slice(owner, slice)).filter((id) => !leftOut.has(id));
}
