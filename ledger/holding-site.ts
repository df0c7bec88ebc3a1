import type { SiteId } from "#protocol/ids.ts";

/** A member or guest that may hold for others. */
export interface HoldingSite {
  readonly siteId: SiteId;
  readonly isGuest: boolean;
  /** What fails together has one: ledger/membership.ts. */
  readonly domain: string;
}
