/** Who gets what of an owner. docs/specs/replication.md, Fetching and Audits. */
import type { SiteId } from "#protocol/ids.ts";
import type { LedgerReader, Sites } from "./replication-ports.ts";

export interface RightsComponents {
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly sites: Pick<Sites, "sites">;
}

/** Whether the owner, or a holder of the slice as its steward, names the site for it. */
export function isHolder({ ledger, sites }: RightsComponents, site: SiteId, owner: SiteId, slice: number): boolean {
  const holders = ledger.statement(owner, "placement", `${slice}`)?.statement.holders ?? [];
  if (holders.includes(site)) return true;
  const here = sites.sites();
  return holders.some(
    (steward) =>
      here.includes(steward) &&
      ledger.statement(steward, "steward", `${owner}/${slice}`)?.statement.holders.includes(site),
  );
}

/**
 * Whether a site is given an owner's primes of a slice: the owner itself, and a holder that does not say that it has them. Who
 * has given a receipt has to answer audits by what it has.
 */
export function mayFetch(components: RightsComponents, site: SiteId, owner: SiteId, slice: number): boolean {
  if (site === owner) return true;
  const { ledger } = components;
  const subject = `${owner}/${slice}`;
  const saysToHave =
    ledger.statement(site, "receipt", subject) !== undefined && ledger.statement(site, "loss", subject) === undefined;
  return !saysToHave && isHolder(components, site, owner, slice);
}
