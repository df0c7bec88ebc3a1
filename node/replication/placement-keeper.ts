/** Keeps this site's placement as it should be: what is known of sites goes into a plan, and its changes into the ledger. */
import { failsAudit, isOver } from "#ledger/audit-sample.ts";
import type { Clock } from "#ledger/clock.ts";
import { type HolderState, type SliceState, copiesOf } from "#ledger/copies.ts";
import type { HoldingSite } from "#ledger/holding-site.ts";
import type { Role } from "#ledger/membership.ts";
import {
  type Candidate,
  type PlacementInput,
  type PlacementPlan,
  type SliceToPlace,
  planPlacement,
} from "#ledger/plan-placement.ts";
import type { Rng } from "#ledger/rng.ts";
import type { StatementOf } from "#ledger/statements.ts";
import type { SiteId } from "#protocol/ids.ts";
import { allSlices } from "./all-slices.ts";
import type { LedgerReader, OwnEntries, Sites } from "./replication-ports.ts";
import type { Silence } from "./silence.ts";

export interface PlacementComponents {
  readonly clock: Pick<Clock, "now">;
  readonly self: SiteId;
  readonly sites: Sites;
  readonly ledger: LedgerReader;
  readonly entries: Pick<OwnEntries, "writeAll">;
  readonly silence: Pick<Silence, "of">;
  readonly rng: Rng;
  /** Whether a site has refused a reservation within the last day. */
  readonly refuses: (site: SiteId) => boolean;
}

const HOUR_MS = 3_600_000;

export class PlacementKeeper {
  readonly #components: PlacementComponents;
  readonly #copiesCount: number;
  #ownStates:
    | { readonly ledger: object; readonly sites: readonly SiteId[]; readonly states: readonly SliceState[] }
    | undefined;
  #standings:
    | {
        readonly owner: SiteId;
        readonly ledger: object;
        readonly sites: readonly SiteId[];
        readonly bySite: Map<SiteId, Standing>;
      }
    | undefined;
  #planned: { readonly seen: Seen; readonly grounds: string; readonly plan: PlacementPlan } | undefined;

  constructor(components: PlacementComponents, init: { copiesCount: number }) {
    this.#components = components;
    this.#copiesCount = init.copiesCount;
  }

  /** Plans this site's own placement, and writes what has changed. The same grounds give the plan of before. */
  async keep(): Promise<PlacementPlan> {
    const { self, entries, rng } = this.#components;
    const seen = this.#see();
    if (this.#planned !== undefined && areEqual(this.#planned.seen, seen)) return this.#planned.plan;
    const slices = allSlices.map((slice) => this.toPlace(self, slice));
    const input = { owner: self, candidates: this.candidates(self), slices, copiesCount: this.#copiesCount };
    const grounds = groundsOf(input);
    if (this.#planned?.grounds === grounds) {
      this.#planned = { ...this.#planned, seen };
      return this.#planned.plan;
    }
    const plan = planPlacement(input, rng);
    const changed = new Set([...plan.changes.map((change) => change.slice), ...this.#formerSlices()]);
    if (changed.size > 0)
      await entries.writeAll(
        [...changed].map((slice) => ({ kind: "placement", slice, holders: [...plan.table[slice]!] })),
      );
    // One that changed something rests on other grounds by now.
    this.#planned = changed.size === 0 ? { seen, grounds, plan } : undefined;
    return plan;
  }

  /** Those of which only a former machine has said who holds them: by that nobody drops what he is to keep no more. */
  #formerSlices(): number[] {
    const { self, ledger } = this.#components;
    const current = ledger.currentLog(self)?.log.id;
    return allSlices.filter((slice) => {
      const placement = ledger.statement(self, "placement", `${slice}`);
      return placement !== undefined && placement.logId !== current;
    });
  }

  /** Sites that have refused a reservation within the last day. */
  refusing(): SiteId[] {
    const { sites, refuses } = this.#components;
    return sites.sites().filter(refuses);
  }

  /** Whatever a plan rests on comes from there. Nothing that costs much. */
  #see(): Seen {
    const { ledger, self, sites, silence, refuses } = this.#components;
    const known = sites.sites();
    const apart = known.flatMap((site) => {
      const silentHours = Math.floor(silence.of(site) / HOUR_MS);
      const [isRefusing, isFailing] = [refuses(site), this.#hasFailedLately(site, self)];
      return silentHours > 0 || isRefusing || isFailing ? `${site} ${silentHours} ${isRefusing} ${isFailing}` : [];
    });
    return { ledger: ledger.states.copiesState, sites: known, apart: apart.join() };
  }

  /** What a steward may add for another owner: the holders of each slice that were drawn. It writes nothing. */
  planFor(owner: SiteId): readonly SiteId[][] {
    const slices = allSlices.map((slice) => this.toPlace(owner, slice));
    const input = { owner, candidates: this.candidates(owner), slices, copiesCount: this.#copiesCount };
    const { changes } = planPlacement(input, this.#components.rng);
    return allSlices.map((slice) =>
      changes.filter((change) => change.slice === slice && change.what === "added").map(({ holder }) => holder),
    );
  }

  /** Whom the owner's placement names, and those that a steward has named and that have the slice by now. */
  toPlace(owner: SiteId, slice: number): SliceToPlace {
    const { ledger } = this.#components;
    const state = this.stateOf(owner, slice);
    const named = ledger.statement(owner, "placement", `${slice}`)?.statement.holders ?? [];
    const stored = new Set(
      copiesOf(state)
        .filter(({ generation }) => generation === state.liveSet?.generation)
        .map(({ holder }) => holder.siteId),
    );
    const added = this.#stewarded(owner, slice, named).filter(
      (site) => !named.includes(site) && (owner !== this.#components.self || stored.has(site)),
    );
    return { bytes: state.liveSet?.bytes ?? 0, holders: [...named, ...added], stored };
  }

  /** Whether the holder has given its receipt for the newest live set. */
  hasStored(owner: SiteId, slice: number, holder: SiteId): boolean {
    const { ledger } = this.#components;
    const liveSet = ledger.statement(owner, "live-set", `${slice}`)?.statement;
    const receipt = ledger.statement(holder, "receipt", `${owner}/${slice}`)?.statement;
    // Mostly that settles it.
    if (liveSet === undefined || receipt?.generation !== liveSet.generation) return false;
    // An owner whose disk came back older signs a generation for the second time: maybe with the same primes, after more snapshots.
    if (receipt.snapshots < liveSet.snapshots) return false;
    return copiesOf(this.stateOf(owner, slice, [holder])).length > 0;
  }

  /** {@link stateOf} of this site's own slices: made once for each state of the ledger, since people ask for each snapshot. */
  ownStates(): readonly SliceState[] {
    const { self, ledger, sites } = this.#components;
    const [state, known] = [ledger.states.copiesState, sites.sites()];
    if (this.#ownStates?.ledger !== state || this.#ownStates.sites !== known)
      this.#ownStates = { ledger: state, sites: known, states: allSlices.map((slice) => this.stateOf(self, slice)) };
    return this.#ownStates.states;
  }

  /** What the ledger says of a slice, and of those that have given receipts for it. */
  stateOf(owner: SiteId, slice: number, receivers = this.#components.ledger.receivers(owner, slice)): SliceState {
    const { ledger, sites } = this.#components;
    const liveSet = ledger.statement(owner, "live-set", `${slice}`)?.statement;
    const subject = `${owner}/${slice}`;
    const holders = receivers
      .filter((siteId) => siteId !== owner && isHere(sites.roleOf(siteId)))
      .sort()
      .map((siteId): HolderState => {
        const { isGuest, domain, failsAudits } = this.#standingOf(siteId, owner);
        const receipt = ledger.statement(siteId, "receipt", subject)?.statement;
        const hasLoss = ledger.statement(siteId, "loss", subject) !== undefined;
        return { siteId, isGuest, domain, failsAudits, receipt, hasLoss };
      });
    return { liveSet, holders };
  }

  candidates(owner: SiteId): Candidate[] {
    const { ledger, self, sites, silence, refuses } = this.#components;
    return sites
      .sites()
      .filter((siteId) => siteId !== owner)
      .map((siteId) => {
        const profile = ledger.statement(siteId, "profile", "")?.statement;
        return {
          ...this.#standingOf(siteId, owner),
          failsAudits: this.#hasFailedLately(siteId, owner),
          freeBytes: Math.max(0, (profile?.offeredBytes ?? 0) - (profile?.keptBytes ?? 0)),
          silentMs: siteId === self ? 0 : silence.of(siteId),
          refuses: refuses(siteId),
          isLeaving: ledger.statement(siteId, "leaving", "") !== undefined,
        };
      });
  }

  /** The same for all slices of an owner, and asked for each. */
  #standingOf(siteId: SiteId, owner: SiteId): Standing {
    const { sites, ledger } = this.#components;
    const [state, known] = [ledger.states.copiesState, sites.sites()];
    if (this.#standings?.owner !== owner || this.#standings.ledger !== state || this.#standings.sites !== known)
      this.#standings = { owner, ledger: state, sites: known, bySite: new Map() };
    const { bySite } = this.#standings;
    let standing = bySite.get(siteId);
    if (standing === undefined) {
      const isGuest = sites.roleOf(siteId).role === "guest";
      const [domain, failsAudits] = [sites.failureDomainOf(siteId), this.#failedAudits(siteId, owner).length > 0];
      bySite.set(siteId, (standing = { siteId, isGuest, domain, failsAudits }));
    }
    return standing;
  }

  /** By the owner's audits, and by one's own as a co-holder. */
  #failedAudits(holder: SiteId, owner: SiteId): StatementOf<"audit">[] {
    const { ledger, self } = this.#components;
    return [owner, self].flatMap((auditor) => {
      const audit = ledger.statement(auditor, "audit", `${holder}/${owner}`)?.statement;
      return audit !== undefined && failsAudit(audit) ? [audit] : [];
    });
  }

  /** Who has failed is drawn again when its record is over, though its copies count for nothing before a new audit: nobody audits who has no place. */
  #hasFailedLately(holder: SiteId, owner: SiteId): boolean {
    const nowMs = this.#components.clock.now();
    return this.#failedAudits(holder, owner).some((audit) => !isOver(audit, nowMs));
  }

  #stewarded(owner: SiteId, slice: number, holders: readonly SiteId[]): SiteId[] {
    const { ledger } = this.#components;
    return holders.flatMap(
      (steward) => ledger.statement(steward, "steward", `${owner}/${slice}`)?.statement.holders ?? [],
    );
  }
}

/** What is known of a holder, whatever the slice. */
interface Standing extends HoldingSite {
  readonly failsAudits: boolean;
}

/** Of what a plan rests on; where it is the same, all is. */
interface Seen {
  readonly ledger: object;
  /** The same list until it changes. */
  readonly sites: readonly SiteId[];
  /** Those that are silent or refuse. */
  readonly apart: string;
}

const areEqual = (one: Seen, other: Seen): boolean =>
  one.ledger === other.ledger && one.sites === other.sites && one.apart === other.apart;

const isHere = ({ role }: Role): boolean => role === "member" || role === "guest";

/** All that a plan rests on, but chance: silence by the hour. */
const groundsOf = ({ candidates, slices }: PlacementInput): string =>
  JSON.stringify([
    candidates.map((candidate) => ({ ...candidate, silentMs: Math.floor(candidate.silentMs / HOUR_MS) })),
    slices.map(({ bytes, holders, stored }) => [bytes, holders, [...stored]]),
  ]);
