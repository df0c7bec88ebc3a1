/**
 * Fetches this site's own primes from all who say to hold them at once, each from one of them; what that one does not give, from the next. So a
 * holder that is slow, lies or is gone costs time and nothing else. docs/specs/replication.md, Fetching
 */
import { sliceOf } from "#ledger/slice.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { type FetchedComponents, fetchOwn } from "./fetch-own.ts";
import type { LedgerReader } from "./replication-ports.ts";

export interface HeldPrimeComponents extends FetchedComponents {
  readonly ledger: Pick<LedgerReader, "statement">;
}

/** Takes out of `wanted` what has come and is durable. */
export async function fetchHeld(
  components: HeldPrimeComponents,
  wanted: Set<PrimeId>,
  signal?: AbortSignal,
): Promise<void> {
  const holders = new Map<number, readonly SiteId[]>();
  const holdersOfSlice = (slice: number): readonly SiteId[] => {
    const known = holders.get(slice) ?? holdersOf(components, slice);
    holders.set(slice, known);
    return known;
  };
  for (let turn = 0; wanted.size > 0; turn++) {
    const byHolder = new Map<SiteId, Set<PrimeId>>();
    for (const id of wanted) {
      const holder = holdersOfSlice(sliceOf(id))[turn];
      if (holder === undefined) continue;
      const ids = byHolder.get(holder) ?? new Set<PrimeId>();
      byHolder.set(holder, ids.add(id));
    }
    if (byHolder.size === 0) return;
    await Promise.all(
      [...byHolder].map(async ([holder, ids]) => {
        await fetchFrom(components, { site: holder, ids, wanted }, signal);
      }),
    );
  }
}

/** Asks one site for `ids`. Takes out of `wanted` what has come and is durable. */
export async function fetchFrom(
  components: FetchedComponents,
  { site, ids, wanted }: { readonly site: SiteId; readonly ids: ReadonlySet<PrimeId>; readonly wanted: Set<PrimeId> },
  signal?: AbortSignal,
): Promise<void> {
  const left = new Set(ids);
  await fetchOwn(components, site, left, signal);
  for (const id of ids) if (!left.has(id)) wanted.delete(id);
}

/** Those that say to have the slice, or while nobody does, those that are to have it; each is the first for some slices. */
export function holdersOf(
  { self, sites, ledger }: Pick<HeldPrimeComponents, "self" | "sites" | "ledger">,
  slice: number,
): readonly SiteId[] {
  const having = sites.sites().filter((site) => ledger.statement(site, "receipt", `${self}/${slice}`) !== undefined);
  const named = ledger.statement(self, "placement", `${slice}`)?.statement.holders ?? [];
  const holders = having.length > 0 ? having : named.filter((site) => site !== self && sites.sites().includes(site));
  const first = holders.length > 0 ? slice % holders.length : 0;
  return [...holders.slice(first), ...holders.slice(0, first)];
}
