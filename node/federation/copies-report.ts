/** Which copies elsewhere this site's slices and snapshots have, by what the ledger says. Nothing here waits. */
import {
  type SafetyInit,
  type SliceState,
  copiesOf,
  safeGenerationOf,
  safeSnapshotsOf,
  snapshotStatusOf,
} from "#ledger/copies.ts";
import type { Membership } from "#ledger/membership.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { PlacementKeeper } from "#node/replication/placement-keeper.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { CopyStatus, SliceStatus } from "./federation-status.ts";

export interface CopiesReportComponents {
  readonly membership: Pick<Membership, "sites" | "failureDomainOf">;
  readonly placement: PlacementKeeper;
}

export interface CopiesReportInit {
  readonly self: SiteId;
  readonly copiesCount: number;
}

export class CopiesReport {
  readonly #components: CopiesReportComponents;
  readonly #init: CopiesReportInit;

  constructor(components: CopiesReportComponents, init: CopiesReportInit) {
    this.#components = components;
    this.#init = init;
  }

  /** Snapshots that were received up to then are safe; 0 for none. */
  safeReceivedMs(): number {
    return safeSnapshotsOf(this.#states(), this.#safety());
  }

  /** Of a snapshot that was received then: whole copies elsewhere, and whether they are enough. */
  of(receivedMs: number): { readonly count: number; readonly isSafe: boolean } {
    const { state, copiesCount } = snapshotStatusOf(receivedMs, this.#states(), [], this.#safety());
    return { count: copiesCount, isSafe: state === "safe" };
  }

  /** Snapshots that the owner received up to then have a whole copy elsewhere; 0 for none. */
  onceReceivedMs(owner = this.#init.self): number {
    const { placement } = this.#components;
    const states =
      owner === this.#init.self ? this.#states() : allSlices.map((slice) => placement.stateOf(owner, slice));
    return Math.min(...states.map((state) => Math.max(0, ...copiesOf(state).map(({ snapshots }) => snapshots))));
  }

  slices(): SliceStatus[] {
    const { placement } = this.#components;
    const { self } = this.#init;
    return this.#states().map((state, slice): SliceStatus => {
      const counting = new Map(copiesOf(state).map((copy) => [copy.holder.siteId, copy]));
      const { holders } = placement.toPlace(self, slice);
      return {
        slice,
        generation: state.liveSet?.generation ?? 0,
        safeGeneration: safeGenerationOf(state, this.#safety()),
        count: state.liveSet?.count ?? 0,
        bytes: state.liveSet?.bytes ?? 0,
        copies: holders.map((holder): CopyStatus => {
          const copy = counting.get(holder);
          const generation = copy?.generation ?? 0;
          const reason = copy === undefined ? this.#whyNot(state, holder) : undefined;
          return { holder, generation, ...(reason === undefined ? {} : { reason }) };
        }),
      };
    });
  }

  /**
   * About how much holders have to get of what is here now: by how much the slices have grown since their receipts, and all of those of
   * which no copy of theirs counts. What has come in the place of something that was forgotten does not show.
   */
  lackingBytes(slices: readonly { readonly slice: number; readonly bytes: number }[]): number {
    const { placement } = this.#components;
    const states = this.#states();
    const lacking = slices.flatMap(({ slice, bytes }) => {
      const state = states[slice]!;
      const counting = new Set(copiesOf(state).map(({ holder }) => holder.siteId));
      const bytesAt = new Map(state.holders.map(({ siteId, receipt }) => [siteId, receipt?.bytes ?? 0]));
      return placement
        .toPlace(this.#init.self, slice)
        .holders.map((holder) => Math.max(0, bytes - (counting.has(holder) ? bytesAt.get(holder)! : 0)));
    });
    return lacking.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Holders against which an audit tells. */
  failingHolders(): SiteId[] {
    const candidates = this.#components.placement.candidates(this.#init.self);
    return candidates.filter(({ failsAudits }) => failsAudits).map(({ siteId }) => siteId);
  }

  #whyNot({ holders }: SliceState, holder: SiteId): string {
    const state = holders.find(({ siteId }) => siteId === holder);
    if (!this.#components.membership.sites().includes(holder)) return "not in the federation";
    if (state === undefined) return "has not got it yet";
    if (state.hasLoss) return "has lost some of it";
    return state.failsAudits ? "failed an audit" : "has another set";
  }

  #states(): readonly SliceState[] {
    return this.#components.placement.ownStates();
  }

  #safety(): SafetyInit {
    const { membership } = this.#components;
    const others = membership.sites().filter((site) => site !== this.#init.self);
    const domainsCount = new Set(others.map((site) => membership.failureDomainOf(site))).size;
    return { copiesCount: this.#init.copiesCount, domainsCount };
  }
}
