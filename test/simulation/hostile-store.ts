/**
 * The store of a hostile machine: the real one, but for what its vice changes. The program on it is the real one too, and
 * believes what it is told.
 */
import type { KeptTotal, PrimeStore, SliceTotal } from "#node/store/prime-store.ts";
import { parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { SeededRng } from "./seeded-rng.ts";

export interface HostileStoreComponents {
  readonly store: PrimeStore;
  readonly rng: SeededRng;
  /** It has done it again. */
  readonly onDeed: () => void;
}

const LEAST_DROPPED_RATIO = 0.01;
const MOST_DROPPED_RATIO = 0.05;
const OMITTED_RATIO = 0.3;
const BOASTER_ROOM_BYTES = 3000;
const BOASTED_BYTES = 2 ** 40;

/** What a machine that throws away has thrown away, over all its lives. */
export type Dropped = Map<SiteId, Set<PrimeId>>;

/** Throws away a little of what comes for others, and goes on as if it were there. */
export function droppingStore({ store, rng, onDeed }: HostileStoreComponents, dropped: Dropped): PrimeStore {
  const ratio = rng.between(LEAST_DROPPED_RATIO, MOST_DROPPED_RATIO);
  const droppedOf = (site: SiteId): Set<PrimeId> => {
    let ids = dropped.get(site);
    if (!ids) dropped.set(site, (ids = new Set()));
    return ids;
  };
  const withDropped = (totals: SliceTotal[], site: SiteId): SliceTotal[] => {
    const bySlice = new Map(totals.map((total) => [total.slice, total]));
    for (const id of droppedOf(site)) {
      const slice = sliceOf(id);
      const total = bySlice.get(slice) ?? { slice, count: 0, bytes: 0, lostCount: 0 };
      bySlice.set(slice, { ...total, count: total.count + 1 });
    }
    return [...bySlice.values()];
  };
  return changed(store, {
    putFor: async (site, batch) => {
      const done = await store.putFor(site, batch);
      const came = [...parseBatch(batch)].map(({ id }) => id);
      for (const id of came) droppedOf(site).delete(id);
      const ids = came.filter(() => rng.happens(ratio));
      if (ids.length === 0) return done;
      await store.release(site, ids);
      for (const id of ids) droppedOf(site).add(id);
      onDeed();
      return done;
    },
    kept: async function* (site, prefix = "") {
      const ids = (await Array.fromAsync(store.kept(site, prefix))).flat();
      const also = [...droppedOf(site)].filter((id) => id.startsWith(prefix));
      yield [...new Set([...ids, ...also])].sort();
    },
    hasKept: async (site, ids) => {
      const kept = await store.hasKept(site, ids);
      return kept.map((isKept, at) => isKept || droppedOf(site).has(ids[at]!));
    },
    keptTotals: async () =>
      (await store.keptTotals()).map((total): KeptTotal => ({
        ...total,
        count: total.count + droppedOf(total.site).size,
        lostCount: 0,
      })),
    keptSlices: async (site) => withDropped(await store.keptSlices(site), site),
    lostOf: async function* () {},
  });
}

/** From some moment on, leaves out some of what the site's own snapshots reach. */
export function omittingStore(
  { store, onDeed }: HostileStoreComponents,
  { self, hasBegun }: { readonly self: SiteId; readonly hasBegun: () => boolean },
): PrimeStore {
  const omits = (id: PrimeId): boolean => hasBegun() && Number.parseInt(id.slice(1, 5), 16) / 0x10000 < OMITTED_RATIO;
  return changed(store, {
    kept: async function* (site, prefix = "") {
      for await (const ids of store.kept(site, prefix)) {
        const told = site === self ? ids.filter((id) => !omits(id)) : ids;
        if (told.length < ids.length) onDeed();
        if (told.length > 0) yield told;
      }
    },
    keptSlices: async (site) => {
      const totals = await store.keptSlices(site);
      if (site !== self || !hasBegun()) return totals;
      const ids = (await Array.fromAsync(store.kept(site))).flat().filter((id) => !omits(id));
      return totals.map((total): SliceTotal => {
        const count = ids.filter((id) => sliceOf(id) === total.slice).length;
        return { ...total, count, bytes: Math.ceil((total.bytes * count) / Math.max(1, total.count)) };
      });
    },
  });
}

/** Offers much, and has room for little. */
export function boastingStore({ store, onDeed }: HostileStoreComponents, self: SiteId): PrimeStore {
  return changed(store, {
    putFor: async (site, batch) => {
      const totals = await store.keptTotals();
      const usedBytes = totals.reduce((sum, total) => sum + (total.site === self ? 0 : total.bytes), 0);
      if (site === self || usedBytes + batch.length <= BOASTER_ROOM_BYTES) return store.putFor(site, batch);
      onDeed();
      throw new CostorError("store-full", "the disk is full");
    },
    stats: async () => ({ ...(await store.stats()), freeBytes: BOASTED_BYTES }),
  });
}

/** The store with some of its methods replaced. */
function changed(store: PrimeStore, methods: Partial<PrimeStore>): PrimeStore {
  return new Proxy(store, {
    get(target, name) {
      const own = Reflect.get(methods, name) as unknown;
      const value = own ?? (Reflect.get(target, name, target) as unknown);
      return typeof value === "function" && own === undefined
        ? (value as (...parameters: unknown[]) => unknown).bind(target)
        : value;
    },
  });
}
