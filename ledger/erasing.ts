/** Whether an owner has ordered that all that is held of it be erased, and who is to say that he has done so. docs/specs/replication.md, Erasing */
import { type SignedEraseOrder, parseEraseOrder } from "#protocol/erase-order.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { Ledger } from "./ledger.ts";
import type { Membership } from "./membership.ts";
import { SLICES_COUNT } from "./slice.ts";
import type { Stated } from "./site-state.ts";

export interface ErasingComponents {
  readonly ledger: Pick<Ledger, "currentLog" | "forkOf" | "statement" | "recoveryKeys">;
  readonly sites: Pick<Membership, "sites">;
}

/** The order that counts; undefined when there is none. */
export function eraseOrderOf(
  { ledger }: Pick<ErasingComponents, "ledger">,
  owner: SiteId,
): SignedEraseOrder | undefined {
  const stated = ledger.statement(owner, "erase", "");
  const current = ledger.currentLog(owner)?.log.id;
  if (stated === undefined || stated.logId !== current || ledger.forkOf(owner) !== undefined) return undefined;
  const order = parseEraseOrder(stated.statement.order);
  const isOwners = order.siteId === owner && order.logId === current;
  return isOwners && ledger.recoveryKeys.isNewest(owner, order.recoveryKey) ? order : undefined;
}

/** Whether the owner may think that the site has something of its own. */
export function isExpected({ ledger }: Pick<ErasingComponents, "ledger">, site: SiteId, owner: SiteId): boolean {
  return Array.from({ length: SLICES_COUNT }, (_, slice) => slice).some(
    (slice) =>
      ledger.statement(site, "receipt", `${owner}/${slice}`) !== undefined ||
      ledger.statement(owner, "placement", `${slice}`)?.statement.holders.includes(site) === true,
  );
}

export interface Erasure {
  readonly holder: SiteId;
  /** Undefined while it is waited for. */
  readonly erased: Stated<"erased"> | undefined;
}

/** Of each site that has said so, or is to. Empty without an order. */
export function erasuresOf({ ledger, sites }: ErasingComponents, owner: SiteId): Erasure[] {
  const order = eraseOrderOf({ ledger }, owner);
  if (order === undefined) return [];
  return sites
    .sites()
    .filter((site) => site !== owner)
    .map((holder) => ({ holder, erased: erasedBy({ ledger }, holder, order) }))
    .filter(({ holder, erased }) => erased !== undefined || isExpected({ ledger }, holder, owner));
}

/** What the site has said for that very order. */
export function erasedBy(
  { ledger }: Pick<ErasingComponents, "ledger">,
  holder: SiteId,
  { siteId, id }: SignedEraseOrder,
): Stated<"erased"> | undefined {
  const said = ledger.statement(holder, "erased", siteId);
  return said?.statement.order.toString("hex") === id ? said : undefined;
}
