/** Forecasts for people: `ledger/what-if.ts` with what this site knows of the others. */
import type { Ledger } from "#ledger/ledger.ts";
import { type WhatIf, whatIf } from "#ledger/what-if.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { PlacementKeeper } from "#node/replication/placement-keeper.ts";
import { COPIES_COUNT } from "#node/replication/replication.ts";
import type { SiteId } from "#protocol/ids.ts";

export interface WhatIfComponents {
  readonly ledger: Pick<Ledger, "statement">;
  readonly placement: Pick<PlacementKeeper, "stateOf">;
  readonly sites: readonly SiteId[];
}

export function reportWhatIf({ ledger, placement, sites }: WhatIfComponents, burnt: ReadonlySet<SiteId>): WhatIf {
  const speed = (from: SiteId, to: SiteId) => ledger.statement(from, "link", to)?.statement.bytesPerSecond;
  const owners = sites.map((siteId) => ({
    siteId,
    slices: allSlices.map((slice) => placement.stateOf(siteId, slice)),
  }));
  return whatIf(owners, {
    burnt,
    copiesCount: COPIES_COUNT,
    bytesPerSecond: (one, other) => speed(one, other) ?? speed(other, one),
  });
}
