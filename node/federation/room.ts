/** How much this site keeps for others. */
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { SettingsFact } from "./settings.ts";

export interface RoomComponents {
  readonly store: Pick<PrimeStore, "keptTotals" | "stats">;
  readonly settings: Pick<SettingsFact, "current">;
  /** This site's own. */
  readonly siteId: SiteId;
}

/** For other sites. */
export interface Room {
  readonly offeredBytes: number;
  readonly keptBytes: number;
}

/** What people have offered, or half of what is free, and what is kept of it. */
export async function roomFor({ store, settings, siteId }: RoomComponents): Promise<Room> {
  const totals = await store.keptTotals();
  const keptBytes = totals.reduce((sum, { site, bytes }) => sum + (site === siteId ? 0 : bytes), 0);
  const asked = settings.current.offeredBytes;
  if (asked !== null) return { offeredBytes: asked, keptBytes };
  const { freeBytes, reserveBytes } = await store.stats();
  return { offeredBytes: keptBytes + Math.floor(Math.max(0, freeBytes - reserveBytes) / 2), keptBytes };
}
