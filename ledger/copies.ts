/** Which copies of a slice count, and what they make of it. docs/specs/replication.md, Entries. Pure. */
import type { SiteId } from "#protocol/ids.ts";
import type { HoldingSite } from "./holding-site.ts";

/** What an owner has signed of a slice last. */
export interface LiveSet {
  readonly generation: number;
  readonly count: number;
  readonly bytes: number;
  /** 64 hex digits. */
  readonly hash: string;
  /** The number of the newest snapshot that it covers. */
  readonly snapshots: number;
}

/** What is known of one holder of a slice. */
export interface HolderState extends HoldingSite {
  /** Its newest receipt. */
  readonly receipt?: Pick<LiveSet, "generation" | "hash" | "snapshots" | "bytes"> | undefined;
  /** It said that it has lost some of it. */
  readonly hasLoss: boolean;
  /** An audit in force tells against it. */
  readonly failsAudits: boolean;
}

export interface SliceState {
  /** Undefined before the owner has signed one. */
  readonly liveSet: LiveSet | undefined;
  /** Members and guests that have given receipts. */
  readonly holders: readonly HolderState[];
}

/** A copy that counts. */
export interface Copy {
  readonly holder: HolderState;
  readonly generation: number;
  readonly snapshots: number;
}

export interface SafetyInit {
  /** Two unless the owner wants more. */
  readonly copiesCount: number;
  /** How many failure domains the sites have that may hold for this owner. */
  readonly domainsCount: number;
}

/**
 * The copies that count. A receipt for the owner's newest generation must have its hash; one for an earlier generation
 * counts for that one, whose live set its holder has seen; one for a later generation is of a log that is not the owner's
 * any more, and does not count.
 */
export function copiesOf({ liveSet, holders }: SliceState): Copy[] {
  if (liveSet === undefined) return [];
  return holders.flatMap((holder): Copy[] => {
    const { receipt, hasLoss, failsAudits } = holder;
    if (receipt === undefined || hasLoss || failsAudits || receipt.generation > liveSet.generation) return [];
    if (receipt.generation === liveSet.generation && receipt.hash !== liveSet.hash) return [];
    return [{ holder, generation: receipt.generation, snapshots: Math.min(receipt.snapshots, liveSet.snapshots) }];
  });
}

/** Whether so many copies can be chosen of these with one guest at most, and in as many domains as there can be. */
function areSafe(copies: readonly Copy[], { copiesCount, domainsCount }: SafetyInit): boolean {
  const members = copies.filter(({ holder }) => !holder.isGuest);
  const guests = copies.filter(({ holder }) => holder.isGuest);
  return [undefined, ...guests].some((guest) => {
    const chosen = guest === undefined ? members : [...members, guest];
    const domains = new Set(chosen.map(({ holder }) => holder.domain));
    return chosen.length >= copiesCount && domains.size >= Math.min(copiesCount, domainsCount);
  });
}

/** The highest generation at which a slice is safe; 0 for none. */
export function safeGenerationOf(slice: SliceState, init: SafetyInit): number {
  return highestSafe(copiesOf(slice), ({ generation }) => generation, init);
}

/** The number of the newest snapshot that is safe in all slices, and all before it with it; 0 for none. */
export function safeSnapshotsOf(slices: readonly SliceState[], init: SafetyInit): number {
  return Math.min(...slices.map((slice) => highestSafe(copiesOf(slice), ({ snapshots }) => snapshots, init)));
}

function highestSafe(copies: readonly Copy[], valueOf: (copy: Copy) => number, init: SafetyInit): number {
  const values = [...new Set(copies.map(valueOf))].sort((one, other) => other - one);
  return (
    values.find((value) =>
      areSafe(
        copies.filter((copy) => valueOf(copy) >= value),
        init,
      ),
    ) ?? 0
  );
}

export interface SnapshotStatus {
  /** `stored`: at the owner only, or not enough elsewhere. `safe`: it survives the owner and a holder. */
  readonly state: "stored" | "safe";
  /** Whole copies elsewhere: of each slice at least so many count. */
  readonly copiesCount: number;
  /** Places that are to have it and do not. */
  readonly behind: readonly { readonly slice: number; readonly holder: SiteId }[];
}

/** Where the snapshot of a number is. `table` is the owner's placement, by slice. */
export function snapshotStatusOf(
  snapshot: number,
  slices: readonly SliceState[],
  table: readonly (readonly SiteId[])[],
  init: SafetyInit,
): SnapshotStatus {
  const having = slices.map((slice) => copiesOf(slice).filter(({ snapshots }) => snapshots >= snapshot));
  const behind = table.flatMap((holders, slice) => {
    const has = new Set(having[slice]?.map(({ holder }) => holder.siteId));
    return holders.filter((holder) => !has.has(holder)).map((holder) => ({ slice, holder }));
  });
  return {
    state: having.every((copies) => areSafe(copies, init)) ? "safe" : "stored",
    copiesCount: Math.min(...having.map(({ length }) => length)),
    behind,
  };
}
