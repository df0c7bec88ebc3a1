/** Gets back from holders what this site's store has lost of its own. docs/specs/replication.md, Fetching */
import { SLICES_COUNT, sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { SiteId } from "#protocol/ids.ts";
import { type FetchedComponents, fetchOwn } from "./fetch-own.ts";
import type { LedgerReader } from "./replication-ports.ts";

export interface HealingComponents extends FetchedComponents {
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf" | "putFor">;
}

/** How many came back. A holder that is not reached, or does not have them, leaves them to the next one, or to the next time. */
export async function healOwn(components: HealingComponents, signal?: AbortSignal): Promise<number> {
  const { self, store } = components;
  const own = (await store.keptTotals()).find(({ site }) => site === self);
  if (own === undefined || own.lostCount === 0) return 0;
  const lost = new Set((await Array.fromAsync(store.lostOf(self))).flat());
  const lostCount = lost.size;
  for (let slice = 0; slice < SLICES_COUNT; slice++)
    for (const holder of holdersOf(components, slice)) {
      const wanted = new Set([...lost].filter((id) => sliceOf(id) === slice));
      if (wanted.size === 0) continue;
      for (const id of wanted) lost.delete(id);
      await fetchOwn(components, holder, wanted, signal);
      for (const id of wanted) lost.add(id);
    }
  return lostCount - lost.size;
}

/** Those that say to have the slice. */
const holdersOf = ({ self, sites, ledger }: HealingComponents, slice: number): SiteId[] =>
  sites.sites().filter((site) => ledger.statement(site, "receipt", `${self}/${slice}`) !== undefined);
