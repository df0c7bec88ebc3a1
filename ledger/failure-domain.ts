/** What fails together. docs/specs/replication.md, Placement. */
import type { SiteId } from "#protocol/ids.ts";

/** A site that may hold for others. */
export interface HoldingSite {
  readonly siteId: SiteId;
  readonly isGuest: boolean;
  /** The place that its profile names; a guest's is that of its inviter. Empty when it names none. */
  readonly domain: string;
  /** Of a guest. */
  readonly inviter?: SiteId | undefined;
}

/** Two sites of one text fail together. A site that names no place stands alone; its guests stand with it. */
export const failureDomainOf = ({ siteId, isGuest, domain, inviter }: HoldingSite): string =>
  domain === "" ? `site ${isGuest && inviter !== undefined ? inviter : siteId}` : `place ${domain}`;
