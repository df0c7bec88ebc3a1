/** Who acts for an owner that is silent. docs/specs/replication.md, Stewards. Pure. */
import type { SiteId } from "#protocol/ids.ts";

const DAY_MS = 24 * 3_600_000;
const SILENT_OWNER_MS = 7 * DAY_MS;
/** Who is named by a steward counts for itself, and may have looked for the owner later. */
const UNHEARD_OWNER_MS = 3 * DAY_MS;

export interface SilentOwner {
  readonly owner: SiteId;
  /** How long nothing was heard of the owner while others were heard. */
  readonly silentMs: number;
  /** By slice: whom the owner's placement names. */
  readonly table: readonly (readonly SiteId[])[];
}

/** Whether its holders act for it. */
export const isSilentOwner = ({ silentMs }: Pick<SilentOwner, "silentMs">): boolean => silentMs >= SILENT_OWNER_MS;

/** Whether a site believes a steward that acts for the owner: one that it hears itself needs none. */
export const isUnheardOwner = ({ silentMs }: Pick<SilentOwner, "silentMs">): boolean => silentMs >= UNHEARD_OWNER_MS;

/** The lowest of the holders that can act: live, and with a receipt for the slice. Undefined while the owner is not silent, or when there is none. */
export function stewardOf(
  owner: SilentOwner,
  slice: number,
  canAct: (siteId: SiteId, slice: number) => boolean,
): SiteId | undefined {
  if (!isSilentOwner(owner)) return undefined;
  return [...(owner.table[slice] ?? [])].sort().find((site) => canAct(site, slice));
}

/** The slices of which `self` is the steward, ascending. */
export function stewardedSlices(
  owner: SilentOwner,
  self: SiteId,
  canAct: (siteId: SiteId, slice: number) => boolean,
): number[] {
  return [...owner.table.keys()].filter((slice) => stewardOf(owner, slice, canAct) === self);
}
