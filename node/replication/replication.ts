/**
 * A site's part in replication, put together: it keeps for others, sends its own to others, and acts for those that are silent.
 * Over ports, so that a site and the simulator run the same. docs/specs/replication.md
 */
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import type { Clock } from "#ledger/clock.ts";
import { MaintenanceWindows } from "#ledger/maintenance-window.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { RestoreTicket } from "#protocol/restore-ticket.ts";
import { allSlices } from "./all-slices.ts";
import { AskedWork } from "./asked-work.ts";
import { AuditQuestions } from "./audit-questions.ts";
import { serveAudits } from "./audit-service.ts";
import { Auditor } from "./auditor.ts";
import { Departures } from "./departures.ts";
import { Dropping } from "./dropping.ts";
import { Erasing } from "./erasing.ts";
import { type FetchFirst, healOwn } from "./healing.ts";
import { HeldClock } from "./held-clock.ts";
import { type HoldingLimits, HolderQuota } from "./holder-quota.ts";
import { HolderService } from "./holder-service.ts";
import { KeepingRoom } from "./keeping-room.ts";
import { type OwnPrimes, LiveSets } from "./live-sets.ts";
import { type LossComponents, reportForgotten, reportLosses, sayLost } from "./losses.ts";
import { Omissions } from "./omissions.ts";
import { OwnerTurns } from "./owner-turns.ts";
import { PlacementKeeper } from "./placement-keeper.ts";
import { servePrimes } from "./primes-service.ts";
import { LED_BACK, Regaining } from "./regaining.ts";
import { Refusals } from "./refusals.ts";
import { RegularWork } from "./regular-work.ts";
import type { KeptPrimes, LedgerReader, OnRefused, OwnEntries, Sites } from "./replication-ports.ts";
import { type HolderAudit, Replicator, type ReplicatorEvent } from "./replicator.ts";
import { Silence } from "./silence.ts";
import { Sparingly } from "./sparingly.ts";
import { StewardDuty } from "./steward-duty.ts";
import { type FormerRecords, TakingBack } from "./taking-back.ts";
import { WantedPrimes } from "./wanted-primes.ts";

/** As a reason to sign nothing: no other site was asked since the start, and what this one has told them may be more than it knows. */
export const NOBODY_ASKED = "nobody-asked";

export interface ReplicationComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Pick<Peers, "serve" | "open" | "connected" | "onConnected">;
  readonly sites: Sites;
  readonly ledger: LedgerReader;
  readonly entries: OwnEntries;
  readonly store: PrimeStore;
  readonly kept: KeptPrimes;
  readonly own: OwnPrimes;
  /** What people need first of what is lost here: docs/specs/replication.md, Fetching. */
  readonly first?: FetchFirst;
  /** Asked each time: people change them while the site runs. Another object when they have. */
  readonly settings: () => ReplicationSettings;
  readonly holdingLimits: () => Promise<HoldingLimits>;
  /** Why no live set must be signed now: `OwnLog.suspicion`, {@link NOBODY_ASKED}, or {@link LED_BACK}. */
  readonly suspicion: () => string | undefined;
  /** Whether most others were heard of lately: who is cut off does not know what was said since. */
  readonly hearsMost: () => boolean;
  /** Whether this disk is older than what the site has told others, and it may say so: the ledger takes its entries. */
  readonly wasLedBack: () => boolean;
  /** As `RegainingComponents.regained`. */
  readonly regained: () => Promise<boolean>;
  readonly former: FormerRecords;
  /** Before a run with a site: takes over what its ledger has. Resolves also when that fails or takes long. */
  readonly catchUp: (site: SiteId, signal: AbortSignal) => Promise<void>;
  readonly onEvent: (event: ReplicationEvent) => void;
}

export interface ReplicationSettings {
  readonly isPaused: boolean;
  /** Minutes since midnight; null for at any time. */
  readonly window: { readonly fromMinutes: number; readonly toMinutes: number } | null;
  readonly timeZone: string;
  readonly bytesPerSecond: number | null;
}

export type ReplicationEvent =
  | ReplicatorEvent
  /** Part of the regular work did not work; it is tried again. */
  | { readonly event: "put-off"; readonly what: string; readonly error: unknown }
  /** A peer asked for what it is not given. */
  | { readonly event: "refused"; readonly peer: PeerKey; readonly protocol: string; readonly error: CostorError }
  /** A peer fetches an owner's primes with a ticket that the owner's recovery key has signed. */
  | { readonly event: "ticket-used"; readonly owner: SiteId; readonly peer: PeerKey };

const MINUTE_MS = 60_000;
/** All that this site does regularly is asked for at once: a site that has nothing to do wakes so often, and no more. */
const LOOK_EVERY_MS = 15 * MINUTE_MS;
/** What need not be looked after each time, is so each fourth time: once an hour. */
const HOURLY_COUNT = 4;
/** Between two times that what is lacking is asked for since somebody came: one that comes and goes makes no work. */
const CAME_EVERY_MS = MINUTE_MS;
/** How many copies elsewhere each slice has. */
export const COPIES_COUNT = 2;

interface Kept {
  readonly heldClock: HeldClock;
  readonly silence: Silence;
}

export class Replication implements AsyncDisposable {
  /** For what is shown to people. */
  readonly placement: PlacementKeeper;
  readonly heldClock: HeldClock;
  readonly silence: Silence;
  /** For whoever reads what is lost here. */
  readonly wanted: WantedPrimes;
  readonly #components: ReplicationComponents;
  readonly #holder: HolderService;
  readonly #owner: AskedWork;
  readonly #healing: AskedWork;
  readonly #regaining: AskedWork;
  readonly #keeping: AskedWork;
  readonly #liveSets: LiveSets;
  readonly #replicator: Replicator;
  readonly #works: readonly (AskedWork | RegularWork)[];
  /** Sites without which this one has not its sets back; none when it need not have them. */
  readonly waitsFor: () => readonly SiteId[];
  #signal: AbortSignal | undefined;
  #windows: { readonly settings: ReplicationSettings; readonly windows: MaintenanceWindows } | undefined;

  private constructor(components: ReplicationComponents, { heldClock, silence }: Kept) {
    this.#components = components;
    this.heldClock = heldClock;
    this.silence = silence;
    this.wanted = new WantedPrimes(components);
    const { clock, self, sites, store } = components;
    const ownerTurns = new OwnerTurns();
    const omissions = new Omissions({ store, heldClock });
    const departures = new Departures({ store, heldClock });
    const quota = new HolderQuota(components);
    const keepingRoom = new KeepingRoom({ bytes: limits.replicateKeepingBytes });
    const onRefused: OnRefused = (peer, protocol, error) =>
      components.onEvent({ event: "refused", peer, protocol: protocol.name, error });
    const parts = {
      ...components,
      onRefused,
      heldClock,
      silence,
      ownerTurns,
      omissions,
      departures,
      quota,
      keepingRoom,
    };
    this.#holder = new HolderService(parts);
    const onTicket = ({ siteId: owner, peer }: RestoreTicket): void =>
      components.onEvent({ event: "ticket-used", owner, peer });
    servePrimes({ ...parts, onTicket });
    const sayAllLost = async (owner: SiteId, slice: number): Promise<Uint8Array | undefined> => {
      if (components.suspicion() === NOBODY_ASKED)
        throw new CostorError("too-many-requests", "this site has not heard yet what it has said before");
      if (components.wasLedBack()) await reportForgotten(parts);
      return sayLost(parts, owner, slice);
    };
    serveAudits({ ...parts, sayLost: sayAllLost });
    this.#liveSets = new LiveSets(parts);
    const refusals = new Refusals({ clock });
    const refuses = (site: SiteId): boolean => refusals.refuses(site);
    this.placement = new PlacementKeeper({ ...parts, refuses }, { copiesCount: COPIES_COUNT });
    const acting = {
      ...parts,
      refusals,
      placement: this.placement,
      auditor: new Auditor(parts),
      liveSets: this.#liveSets,
      limit: new BandwidthLimit({ clock }, { bytesPerSecond: () => components.settings().bytesPerSecond ?? undefined }),
      suspicion: () => this.suspicion(),
      mayMove: () => this.mayMove(),
    };
    const questions = new AuditQuestions(parts);
    this.#replicator = new Replicator({ ...acting, questions });
    const onStewardFailure = (site: SiteId, error: unknown): void =>
      components.onEvent({ event: "put-off", what: `what is done for a silent owner with ${site}`, error });
    const steward = new StewardDuty({ ...acting, onFailure: onStewardFailure });
    const [dropping, erasing] = [new Dropping(parts), new Erasing(parts)];
    // Who is in no federation waits.
    const inFederation =
      (work: (signal: AbortSignal) => Promise<void>) =>
      async (signal: AbortSignal): Promise<void> => {
        if (sites.roleOf(self).role !== "none") await work(signal);
      };
    this.#owner = this.#work(
      "sending",
      inFederation(async (signal) => {
        if (await this.#replicator.turn(signal)) this.soon();
      }),
    );
    const onFailure = (holder: SiteId, error: unknown): void =>
      components.onEvent({ event: "run-failed", holder, error });
    const heal = async (signal: AbortSignal): Promise<void> => {
      if ((await healOwn({ ...components, onFailure }, signal)) > 0) this.soon();
    };
    this.#healing = this.#work("healing", inFederation(heal));
    const regaining = new Regaining({ ...components, onFailure });
    const takingBack = new TakingBack({ ...components, onFailure });
    const way = (): Regaining | TakingBack => (components.former.isTakenOver() ? takingBack : regaining);
    this.waitsFor = () => (components.suspicion() === LED_BACK ? way().waitsFor() : []);
    const regain = async (signal: AbortSignal): Promise<void> => {
      if (components.wasLedBack()) await reportForgotten(parts);
      if (components.suspicion() !== LED_BACK) return;
      await dropping.beginAnew();
      await questions.retain([]);
      if (!(await way().turn(signal))) return;
      this.#healing.soon();
      this.soon();
    };
    this.#regaining = this.#work("regaining", inFederation(regain));
    this.#keeping = this.#work(
      "keeping",
      inFederation((signal) => this.#keep(parts, { dropping, erasing }, signal)),
    );
    const came = new Sparingly({ clock, work: () => this.othersCame() }, { everyMs: CAME_EVERY_MS });
    components.peers.onConnected(() => {
      if (this.#signal !== undefined) came.ask(this.#signal);
    });
    const stewardship = this.#work(
      "stewardship",
      inFederation((signal) => steward.turn(signal)),
    );
    const listening = this.#work("silence", async (signal) => {
      silence.count();
      await silence.lookFor(signal);
    });
    const often = [this.#healing, this.#regaining, this.#owner, listening];
    const hourly = [stewardship, this.#keeping];
    let looksCount = 0;
    const look = async (): Promise<void> => {
      for (const work of looksCount++ % HOURLY_COUNT === 0 ? [...often, ...hourly] : often) work.soon();
    };
    const looking = new RegularWork(components, { everyMs: LOOK_EVERY_MS, work: look, onFailure: () => undefined });
    this.#works = [...often, ...hourly, looking];
  }

  /** Before the peers are started: it serves protocols. */
  static async open(components: ReplicationComponents): Promise<Replication> {
    const partners = (): Promise<ReadonlySet<SiteId>> => partnersOf(components);
    return new Replication(components, {
      heldClock: await HeldClock.open(components),
      silence: await Silence.open({ ...components, partners }),
    });
  }

  start(signal: AbortSignal): void {
    this.#signal = signal;
    this.#holder.start(signal);
    for (const work of this.#works) work.start(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#works.map((work) => work[Symbol.asyncDispose]()));
  }

  /** People want what is new to be sent at once. */
  now(): void {
    this.#liveSets.hurry();
    this.#replicator.hurry();
    this.#owner.soon();
  }

  /** Something is new: a snapshot, a site, settings. */
  soon(): void {
    this.#owner.soon();
  }

  /** Others can be asked now, and may be written to: what this site lacks comes back, and owners are told what is lost of theirs. */
  regainSoon(): void {
    this.wanted.othersCame();
    this.#regaining.soon();
    this.#healing.soon();
    this.#keeping.soon();
  }

  /** Others answer this site: what is lacking need not wait for its next turn; where nothing is, that turn costs nothing. */
  othersCame(): void {
    this.wanted.othersCame();
    this.#healing.soon();
    if (this.#components.suspicion() === LED_BACK) this.#regaining.soon();
  }

  /** An owner has ordered that what is held of it be erased. */
  eraseSoon(): void {
    this.#keeping.soon();
  }

  /** The store has found damage: what is lost comes back from holders, and owners are told what is lost of theirs. */
  damageFound(): void {
    this.#healing.soon();
    this.#keeping.soon();
  }

  /** People want to know now whether holders have what they say. Throws as {@link Replicator.audit}. */
  async audit(signal: AbortSignal): Promise<HolderAudit[]> {
    const audits = await this.#replicator.audit(signal);
    this.soon();
    return audits;
  }

  /** Whether data may be moved now. */
  mayMove(): boolean {
    const settings = this.#components.settings();
    const { isPaused, window, timeZone } = settings;
    // Making one costs far more than asking it, and it is asked before each batch.
    if (this.#windows?.settings !== settings)
      this.#windows = { settings, windows: new MaintenanceWindows(window === null ? [] : [window], timeZone) };
    return !isPaused && this.#windows.windows.isOpenAt(this.#components.clock.now());
  }

  /** Why this site signs no live set now; undefined when all is well. docs/specs/replication.md, A run */
  suspicion(): string | undefined {
    return this.#components.suspicion() ?? (this.heldClock.state.isSuspect ? "clock" : undefined);
  }

  async #keep(
    parts: LossComponents,
    { dropping, erasing }: { readonly dropping: Dropping; readonly erasing: Erasing },
    signal: AbortSignal,
  ): Promise<void> {
    await this.heldClock.keep();
    await this.silence.keep();
    await reportLosses(parts);
    await erasing.erase(signal);
    await dropping.drop(signal);
  }

  #work(what: string, work: (signal: AbortSignal) => Promise<void>): AskedWork {
    const onFailure = (error: unknown): void => this.#components.onEvent({ event: "put-off", what, error });
    return new AskedWork({ work, onFailure });
  }
}

/** Who is to keep something of this site's, and whose is kept here. */
async function partnersOf({ self, ledger, store }: ReplicationComponents): Promise<ReadonlySet<SiteId>> {
  const owners = (await store.keptTotals()).map(({ site }) => site);
  return new Set([
    ...owners,
    ...allSlices.flatMap((slice) => ledger.statement(self, "placement", `${slice}`)?.statement.holders ?? []),
  ]);
}
