/** Gets back from holders what this site's store has lost of its own, what people need first before the rest. docs/specs/replication.md, Fetching */
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { type HeldPrimeComponents, fetchHeld } from "./held-primes.ts";

export interface HealingComponents extends HeldPrimeComponents {
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf" | "putFor">;
  readonly first?: FetchFirst;
}

/** Has what people need first fetched before the rest: `fetch` passes over what is here. */
export type FetchFirst = (fetch: (ids: readonly PrimeId[]) => Promise<void>, signal?: AbortSignal) => Promise<void>;

/** Asked for at once: so much is fetched twice at most when this site ends, and memory stays small. */
const AT_ONCE_COUNT = 8192;

/** How many came back. A holder that is not reached, or does not have them, leaves them to the next one, or to the next time. */
export async function healOwn(components: HealingComponents, signal?: AbortSignal): Promise<number> {
  const { self, store, first } = components;
  const own = (await store.keptTotals()).find(({ site }) => site === self);
  if (own === undefined || own.lostCount === 0) return 0;
  const lost = new Set((await Array.fromAsync(store.lostOf(self))).flat());
  const lostCount = lost.size;
  const fetch = async (ids: readonly PrimeId[]): Promise<void> => {
    const asked = ids.filter((id) => lost.has(id));
    const wanted = new Set(asked);
    await fetchHeld(components, wanted, signal);
    for (const id of asked) if (!wanted.has(id)) lost.delete(id);
  };
  await first?.(fetch, signal);
  const rest = [...lost];
  for (let at = 0; at < rest.length; at += AT_ONCE_COUNT) await fetch(rest.slice(at, at + AT_ONCE_COUNT));
  return lostCount - lost.size;
}
