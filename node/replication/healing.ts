/** Gets back from holders what this site's store has lost of its own, what people need first before the rest. docs/specs/replication.md, Fetching */
import { sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { allSlices } from "./all-slices.ts";
import { type HeldPrimeComponents, fetchFrom, fetchHeld, holdersOf } from "./held-primes.ts";

export interface HealingComponents extends HeldPrimeComponents {
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf" | "putFor" | "has" | "hasKept">;
  readonly first?: FetchFirst;
}

/** Has what people need first fetched before the rest: `fetch` passes over what is here. */
export type FetchFirst = (fetch: (ids: readonly PrimeId[]) => Promise<void>, signal?: AbortSignal) => Promise<void>;

/** Asked for at once: so much is fetched twice at most when this site ends, and memory stays small. */
const AT_ONCE_COUNT = 8192;
/** Sites that are asked besides those that say to have it. */
const ELSEWHERE_COUNT = 12;
const HOUR_MS = 3_600_000;

/** Of a site's own: lost, and not back. */
export async function lostCountOf(store: Pick<PrimeStore, "keptTotals">, self: SiteId): Promise<number> {
  return (await store.keptTotals()).find(({ site }) => site === self)?.lostCount ?? 0;
}

/** How many came back. A holder that is not reached, or does not have them, leaves them to the next one, or to the next time. */
export async function healOwn(components: HealingComponents, signal?: AbortSignal): Promise<number> {
  const { self, store, first } = components;
  const lostCount = await lostCountOf(store, self);
  if (lostCount === 0) return 0;
  const fetchLost = async (ids: readonly PrimeId[]): Promise<void> => {
    const [isKept, isHere] = await Promise.all([store.hasKept(self, ids), store.has(ids)]);
    await fetchHeld(components, new Set(ids.filter((_, at) => isKept[at] && !isHere[at])), signal);
  };
  await first?.(fetchLost, signal);
  let rest: PrimeId[] = [];
  for await (const page of store.lostOf(self)) {
    rest.push(...page);
    if (rest.length < AT_ONCE_COUNT) continue;
    await fetchHeld(components, new Set(rest), signal);
    rest = [];
  }
  await fetchHeld(components, new Set(rest), signal);
  const leftCount = await lostCountOf(store, self);
  if (leftCount > 0 && leftCount <= AT_ONCE_COUNT) await fetchElsewhere(components, signal);
  return lostCount - (await lostCountOf(store, self));
}

/** From sites that do not say to have it: they may have got it in a run that never came to its end, and keep it all the same. */
async function fetchElsewhere(components: HealingComponents, signal?: AbortSignal): Promise<void> {
  const { self, store, sites, clock } = components;
  // Nobody is to blame who has not got it.
  const asking = { ...components, onFailure: () => undefined };
  const wanted = new Set((await Array.fromAsync(store.lostOf(self))).flat());
  const others = sites.sites().filter((site) => site !== self);
  const holders = allSlices.map((slice) => holdersOf(components, slice));
  // Of many some in each hour.
  const from = (Math.floor(clock.elapsedMs() / HOUR_MS) * ELSEWHERE_COUNT) % Math.max(1, others.length);
  for (const site of [...others.slice(from), ...others.slice(0, from)].slice(0, ELSEWHERE_COUNT)) {
    const ids = new Set([...wanted].filter((id) => !holders[sliceOf(id)]!.includes(site)));
    if (ids.size > 0) await fetchFrom(asking, { site, ids, wanted }, signal);
  }
}
