/**
 * If some sites burn: what comes back of them, from whom and how fast, and who else has a copy less. By what the ledger says alone.
 * Pure.
 */
import type { SiteId } from "#protocol/ids.ts";
import { type Copy, type SliceState, copiesOf } from "./copies.ts";

export interface OwnerState {
  readonly siteId: SiteId;
  readonly slices: readonly SliceState[];
}

export interface WhatIfInit {
  readonly burnt: ReadonlySet<SiteId>;
  /** Between two sites, in either direction; undefined when nobody has measured it. */
  readonly bytesPerSecond: (one: SiteId, other: SiteId) => number | undefined;
  readonly copiesCount: number;
}

/** What a site that is left sends back to one that has burnt. */
export interface Source {
  readonly siteId: SiteId;
  readonly bytes: number;
  readonly bytesPerSecond: number | undefined;
}

export interface BurntOutcome {
  readonly siteId: SiteId;
  /** Of the newest live set. */
  readonly bytes: number;
  readonly lostSlices: readonly number[];
  readonly lostBytes: number;
  /** Snapshots up to this number come back whole; 0: none does. */
  readonly snapshots: number;
  /** The newest that others have been told of. */
  readonly newestSnapshots: number;
  readonly sources: readonly Source[];
  /** With all sources at once; undefined when the speed of one is not known. */
  readonly seconds: number | undefined;
}

/** A site that is left, and that has fewer copies elsewhere than it should until they are made again. */
export interface LeftOutcome {
  readonly siteId: SiteId;
  readonly holders: readonly SiteId[];
  readonly bytes: number;
}

export interface WhatIf {
  readonly burnt: readonly BurntOutcome[];
  readonly left: readonly LeftOutcome[];
}

export function whatIf(owners: readonly OwnerState[], init: WhatIfInit): WhatIf {
  const { burnt } = init;
  return {
    burnt: owners.filter(({ siteId }) => burnt.has(siteId)).map((owner) => outcomeOf(owner, init)),
    left: owners
      .filter(({ siteId }) => !burnt.has(siteId))
      .map((owner) => leftOutcomeOf(owner, init))
      .filter(({ bytes, holders }) => bytes > 0 && holders.length > 0),
  };
}

interface RemainingSlice {
  readonly slice: number;
  readonly bytes: number;
  /** Newest first. */
  readonly copies: readonly Copy[];
}

function outcomeOf({ siteId, slices }: OwnerState, init: WhatIfInit): BurntOutcome {
  const all = slices.map((state, slice): RemainingSlice => {
    const copies = copiesOf(state).filter(({ holder }) => !init.burnt.has(holder.siteId));
    copies.sort((one, other) => other.snapshots - one.snapshots);
    return { slice, bytes: state.liveSet?.bytes ?? 0, copies };
  });
  const lost = all.filter(({ copies }) => copies.length === 0);
  const sources = shareOut(siteId, all, init);
  const seconds = sources.map(({ bytes, bytesPerSecond }) => bytesPerSecond && bytes / bytesPerSecond);
  return {
    siteId,
    bytes: sumOf(all),
    lostSlices: lost.map(({ slice }) => slice),
    lostBytes: sumOf(lost),
    snapshots: Math.min(...all.map(({ copies }) => copies[0]?.snapshots ?? 0)),
    newestSnapshots: Math.max(0, ...slices.map(({ liveSet }) => liveSet?.snapshots ?? 0)),
    sources,
    seconds: seconds.includes(undefined) ? undefined : Math.max(0, ...(seconds as number[])),
  };
}

const sumOf = (slices: readonly { readonly bytes: number }[]): number =>
  slices.reduce((sum, { bytes }) => sum + bytes, 0);

/** Each slice from one of those that have its newest copy, so that all are done as soon as can be; where nobody has measured, evenly. */
function shareOut(owner: SiteId, slices: readonly RemainingSlice[], init: WhatIfInit): Source[] {
  const byHolder = new Map<SiteId, number>();
  const newestOf = ({ copies }: RemainingSlice) => copies.filter(({ snapshots }) => snapshots === copies[0]?.snapshots);
  const known = slices
    .flatMap(({ copies }) => copies.map(({ holder }) => init.bytesPerSecond(holder.siteId, owner)))
    .filter((speed) => speed !== undefined);
  const slowest = known.length === 0 ? 1 : Math.min(...known);
  const speedOf = (holder: SiteId): number => init.bytesPerSecond(holder, owner) ?? slowest;
  for (const slice of slices.toSorted((one, other) => other.bytes - one.bytes)) {
    const doneAfter = (holder: SiteId): number => ((byHolder.get(holder) ?? 0) + slice.bytes) / speedOf(holder);
    const holders = newestOf(slice).map(({ holder }) => holder.siteId);
    const [fastest] = holders.toSorted((one, other) => doneAfter(one) - doneAfter(other) || (one < other ? -1 : 1));
    if (fastest !== undefined && slice.bytes > 0) byHolder.set(fastest, (byHolder.get(fastest) ?? 0) + slice.bytes);
  }
  return [...byHolder]
    .map(([siteId, bytes]) => ({ siteId, bytes, bytesPerSecond: init.bytesPerSecond(siteId, owner) }))
    .toSorted((one, other) => other.bytes - one.bytes || (one.siteId < other.siteId ? -1 : 1));
}

function leftOutcomeOf({ siteId, slices }: OwnerState, { burnt, copiesCount }: WhatIfInit): LeftOutcome {
  const holders = new Set<SiteId>();
  let bytes = 0;
  for (const state of slices) {
    const copies = copiesOf(state);
    const gone = copies.filter(({ holder }) => burnt.has(holder.siteId));
    for (const { holder } of gone) holders.add(holder.siteId);
    const lackingCount = Math.min(gone.length, copiesCount - (copies.length - gone.length));
    bytes += Math.max(0, lackingCount) * (state.liveSet?.bytes ?? 0);
  }
  return { siteId, holders: [...holders].sort(), bytes };
}
