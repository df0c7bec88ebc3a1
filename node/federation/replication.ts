/**
 * Replication, put together: this site as an owner, as a holder, and as a steward; and the work that goes on from its start to
 * its end. docs/specs/replication.md
 */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { OwnLog } from "#ledger/own-log.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { serveAudits } from "#node/replication/audit-service.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { Departures } from "#node/replication/departures.ts";
import { Dropping } from "#node/replication/dropping.ts";
import { healOwn } from "#node/replication/healing.ts";
import { HeldClock } from "#node/replication/held-clock.ts";
import { HolderQuota } from "#node/replication/holder-quota.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import { LiveSets } from "#node/replication/live-sets.ts";
import { reportLosses } from "#node/replication/losses.ts";
import { Omissions } from "#node/replication/omissions.ts";
import { OwnerTurns } from "#node/replication/owner-turns.ts";
import { PlacementKeeper } from "#node/replication/placement-keeper.ts";
import { servePrimes } from "#node/replication/primes-service.ts";
import { Refusals } from "#node/replication/refusals.ts";
import { RegularWork } from "#node/replication/regular-work.ts";
import { Replicator, type ReplicatorEvent } from "#node/replication/replicator.ts";
import { Silence } from "#node/replication/silence.ts";
import { StewardDuty } from "#node/replication/steward-duty.ts";
import { Turns } from "#node/replication/turns.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { SiteId } from "#protocol/ids.ts";
import { CopiesReport } from "./copies-report.ts";
import type { FederationEvent } from "./federation-event.ts";
import type { SendingStatus } from "./federation-status.ts";
import { KeptPrimeSets } from "./kept-prime-sets.ts";
import type { OwnEntries } from "./own-entries.ts";
import { OwnPrimeSets } from "./own-primes.ts";
import { SendingRules } from "./sending-rules.ts";
import type { SettingsFact } from "./settings.ts";

export interface ReplicationComponents {
  readonly store: PrimeStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Peers;
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly ownLog: OwnLog;
  readonly entries: OwnEntries;
  readonly settings: SettingsFact;
  /** For other sites, in all. */
  readonly room: () => Promise<{ readonly offeredBytes: number }>;
  readonly onEvent: (event: FederationEvent) => void;
}

/** How many copies elsewhere each slice has. */
const COPIES_COUNT = 2;
const MINUTE_MS = 60_000;
/** The owner's turns: what is new is on its way within so long. */
const TURN_MS = 2 * MINUTE_MS;
const UPKEEP_MS = 10 * MINUTE_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Batches that are written at once, of all owners. */
const WRITES_COUNT = 2;

export class Replication {
  readonly own: OwnPrimeSets;
  readonly rules: SendingRules;
  readonly placement: PlacementKeeper;
  readonly heldClock: HeldClock;
  readonly copies: CopiesReport;
  readonly #sending = new Map<SiteId, SendingStatus>();
  #ownLostCount = 0;
  readonly #components: ReplicationComponents;
  readonly #replicator: Replicator;
  readonly #steward: StewardDuty;
  readonly #dropping: Dropping;
  readonly #holder: HolderService;
  readonly #silence: Silence;
  readonly #works: RegularWork[];
  readonly #losses: () => Promise<void>;

  private constructor(components: ReplicationComponents, opened: { heldClock: HeldClock; silence: Silence }) {
    this.#components = components;
    const { heldClock, silence } = opened;
    const { store, clock, rng, peers, ledger, membership, ownLog, entries, settings, onEvent } = components;
    const self: SiteId = ownLog.log.certificate.siteId;
    const sites = membership;
    this.heldClock = heldClock;
    this.#silence = silence;
    this.own = new OwnPrimeSets({ store }, { siteId: self });
    this.rules = new SendingRules({ clock, settings });
    const limit = this.rules;
    const mayMove = (): boolean => this.rules.mayMove();
    const suspicion = (): string | undefined => this.suspicion();
    const kept = new KeptPrimeSets({ store });
    const ownerTurns = new OwnerTurns();
    const omissions = new Omissions({ store, heldClock });
    const departures = new Departures({ store, heldClock });
    const refusals = new Refusals({ clock });
    const quota = new HolderQuota({ self, ledger, store, holdingLimits: () => this.#holdingLimits() });
    this.#holder = new HolderService({
      ...{ self, ledger, entries, kept, quota, omissions, ownerTurns, peers, sites },
      writeTurns: new Turns({ atOnceCount: WRITES_COUNT }),
    });
    servePrimes({ ledger, sites, peers, store });
    serveAudits({ self, ledger, sites, peers, store });
    const auditor = new Auditor({ clock, rng, peers, sites, ledger, entries, store, self });
    this.placement = new PlacementKeeper(
      { self, sites, ledger, entries, silence, rng, refuses: (site) => refusals.refuses(site) },
      { copiesCount: COPIES_COUNT },
    );
    const shared = { self, clock, rng, peers, sites, ledger, entries, store, auditor, limit, suspicion, mayMove };
    this.#replicator = new Replicator({
      ...shared,
      ...{ own: this.own, liveSets: new LiveSets({ self, ledger, entries, own: this.own }) },
      ...{ placement: this.placement, refusals },
      onEvent: (event) => {
        this.#follow(event);
        onEvent(event);
      },
    });
    this.copies = new CopiesReport({ membership, placement: this.placement }, { self, copiesCount: COPIES_COUNT });
    this.#steward = new StewardDuty({
      ...shared,
      ...{ kept, omissions, silence, placement: this.placement },
      onFailure: (site, error) => onEvent({ event: "run-failed", holder: site, error }),
    });
    this.#dropping = new Dropping({
      ...{ self, sites, ledger, entries, store, kept, omissions, departures, heldClock, ownerTurns },
    });
    this.#losses = () => reportLosses({ self, ledger, entries, store, kept, ownerTurns });
    const work = (what: string, everyMs: number, turn: (signal: AbortSignal) => Promise<void>): RegularWork =>
      new RegularWork(
        { clock },
        { everyMs, work: turn, onFailure: (error) => onEvent({ event: "put-off", what, error }) },
      );
    this.#works = [
      work("copies elsewhere", TURN_MS, (signal) => this.#turn(signal)),
      work("copies of silent owners", UPKEEP_MS, (signal) => this.#stewardTurn(signal)),
      work("what owners have left out", DAY_MS, async (signal) => void (await this.#dropping.drop(signal))),
    ];
  }

  static async open(components: ReplicationComponents): Promise<Replication> {
    const { store, clock, peers, membership } = components;
    const heldClock = await HeldClock.open({ store, clock });
    const silence = await Silence.open({ store, clock, peers, sites: membership });
    return new Replication(components, { heldClock, silence });
  }

  /** Once, when there is a federation. Goes on until the signal. */
  start(signal: AbortSignal): void {
    this.#holder.start(signal);
    for (const work of this.#works) work.start(signal);
  }

  /** Why this site must sign no live set; undefined when all is well. */
  suspicion(): string | undefined {
    const { ownLog, membership } = this.#components;
    if (membership.roster === undefined) return "this site is in no federation";
    if (ownLog.suspicion !== undefined) return `another machine may act as this site (${ownLog.suspicion})`;
    if (!ownLog.isReady) return "no other site was asked since the start";
    // What a new machine does not know of yet must not look as if it were given up.
    if (ownLog.log.certificate.epoch > 1) return "this site is being recovered";
    if (ownLog.wasLedBack) return "this site's disk is older than what it has told others";
    if (this.heldClock.state.isSuspect) return "the machine's clock has jumped";
    if (this.#ownLostCount > 0) return `${this.#ownLostCount} primes of this site's own are lost here`;
    return undefined;
  }

  /** Of {@link suspicion} what does not pass by itself within a minute. */
  blocking(): string[] {
    const { membership, ownLog } = this.#components;
    const suspicion = membership.roster !== undefined && ownLog.isReady ? this.suspicion() : undefined;
    return suspicion === undefined ? [] : [suspicion];
  }

  /** Holders of this site's primes against which an audit tells. */
  failingHolders(): SiteId[] {
    const { ownLog } = this.#components;
    const state = this.placement.stateOf(ownLog.log.certificate.siteId, 0);
    return state.holders.filter(({ failsAudits }) => failsAudits).map(({ siteId }) => siteId);
  }

  /** What is under way, by holder. */
  sending(): SendingStatus[] {
    return [...this.#sending.values()];
  }

  #follow(event: ReplicatorEvent): void {
    if (event.event === "run-progress") {
      const sinceMs = this.#sending.get(event.holder)?.sinceMs ?? this.#components.clock.now();
      const { slice, keptBytes } = event.progress;
      this.#sending.set(event.holder, { holder: event.holder, slice, sentBytes: keptBytes, sinceMs });
    } else if (event.event !== "audit-failed") this.#sending.delete(event.holder);
  }

  async #turn(signal: AbortSignal): Promise<void> {
    this.#silence.count();
    await this.#losses();
    const { store, ownLog, peers, membership: sites, ledger } = this.#components;
    const self = ownLog.log.certificate.siteId;
    await healOwn({ self, peers, sites, ledger, store }, signal);
    this.#ownLostCount = (await store.keptTotals()).find(({ site }) => site === self)?.lostCount ?? 0;
    await this.#replicator.turn(signal);
  }

  async #stewardTurn(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#silence.keep(), this.heldClock.keep()]);
    await this.#steward.turn(signal);
  }

  async #holdingLimits(): Promise<{ offeredBytes: number; ownerBytes: () => number }> {
    const { membership, room, settings } = this.#components;
    const { offeredBytes } = await room();
    const { quotaBytes } = settings.current;
    // Twice the share of all others: owners differ, and each places two copies among them.
    const fairBytes = Math.floor((COPIES_COUNT * offeredBytes) / Math.max(COPIES_COUNT, membership.sites().length - 1));
    return { offeredBytes, ownerBytes: () => quotaBytes ?? fairBytes };
  }
}
