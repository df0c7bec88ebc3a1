/**
 * One site's part in a federation: the ledger, who is in it, how it is kept equal, and what is kept for others. Put together
 * here over ports, so that a site and the simulator run the same. A site that is in no federation has one too: it waits.
 */
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { forgetWithdrawn } from "#ledger/forgetting.ts";
import { lostCountOf } from "#node/replication/healing.ts";
import { RegularWork } from "#node/replication/regular-work.ts";
import { Sparingly } from "#node/replication/sparingly.ts";
import type { SiteId } from "#protocol/ids.ts";
import { type Alarm, Alarms } from "./alarms.ts";
import { ComingBack } from "./coming-back.ts";
import { type FederationComponents, type FederationInit, type FederationParts, openParts } from "./federation-parts.ts";
import { holdingAlarms } from "./holding-alarms.ts";
import { Leaving } from "./leaving.ts";
import { suspicionText } from "./keeping.ts";
import { ProfileUpkeep } from "./profile-upkeep.ts";
import { tellRecoveryKey } from "./recovery-key-upkeep.ts";
import { RosterUpkeep } from "./roster-upkeep.ts";
import { type Room, roomFor } from "./room.ts";

/** Upkeep that no event asks for. */
const LOOK_EVERY_MS = 3600_000;
const FORGET_EVERY_MS = 24 * 3600_000;
/** When hundreds of sites say where they are now. */
const MOVED_EVERY_MS = 10_000;
/** As an entry takes to reach those that are connected. */
const FAREWELL_MS = 2_000;

export class Federation {
  readonly siteId: SiteId;
  readonly siteName: string;
  readonly parts: FederationParts;
  readonly rosterUpkeep: RosterUpkeep;
  readonly comingBack: ComingBack;
  readonly leaving: Leaving;
  readonly #profile: ProfileUpkeep;
  readonly #forgetting: RegularWork;
  readonly #alarms: Alarms;
  readonly #components: FederationComponents;
  readonly #init: FederationInit;
  #signal: AbortSignal | undefined;
  #started: Promise<void> | undefined;

  private constructor(components: FederationComponents, init: FederationInit, parts: FederationParts) {
    this.#components = components;
    this.#init = init;
    this.parts = parts;
    this.#alarms = new Alarms(components);
    this.comingBack = new ComingBack(components);
    const { ledger, membership, ownLog, transport, entries, wishes, kitRequests } = parts;
    this.siteId = ownLog.log.certificate.siteId;
    this.siteName = init.siteName;
    this.rosterUpkeep = new RosterUpkeep(
      {
        ...{ ledger, membership, entries, wishes, kitRequests, onFailure: this.#putOff("the roster") },
        onElsewhere: (site) => parts.sync.soonWith(site),
      },
      { siteId: this.siteId, peerSeed: init.peerSeed },
    );
    const remove = async (): Promise<void> => {
      if (membership.roleOf(this.siteId).role === "guest") return parts.guests.askOut();
      const [siteId, heads] = [this.siteId, this.rosterUpkeep.headsOf(this.siteId)];
      if (wishes.of(siteId)?.action !== "remove") await wishes.make({ action: "remove", siteId, heads });
      this.rosterUpkeep.look();
    };
    const stay = async (): Promise<void> => {
      if (wishes.of(this.siteId)?.action === "remove") await wishes.forget([this.siteId]);
      this.rosterUpkeep.look();
    };
    this.leaving = new Leaving(
      {
        ...components,
        ledger,
        membership,
        entries,
        erasures: parts.erasures,
        remove,
        stay,
        onFailure: this.#putOff("leaving"),
      },
      { self: this.siteId },
    );
    this.#profile = new ProfileUpkeep(
      { ledger, entries, read: () => this.#readProfile(), onFailure: this.#putOff("the profile") },
      { siteId: this.siteId },
    );
    this.#forgetting = new RegularWork(components, {
      everyMs: FORGET_EVERY_MS,
      work: () => this.#forget(),
      onFailure: this.#putOff("forgetting what was withdrawn"),
    });
    membership.onChanged((rosters) => {
      this.leaving.passed(rosters);
      this.#onMembership();
      this.#kitsChanged();
    });
    parts.sync.onReady(() => {
      parts.replication.regainSoon();
      void this.#lookAround();
    });
    const moved = new Sparingly({ ...components, work: () => this.#sitesMoved() }, { everyMs: MOVED_EVERY_MS });
    let speakers = ledger.states.speakersState;
    ledger.onAdmitted(({ siteId, kind, own }) => {
      if (kind !== "guest" && kind !== "profile" && kind !== "retire") return;
      const hasMoved = kind === "profile" && parts.profiles.hasMoved(siteId);
      if (ledger.states.speakersState === speakers) return hasMoved ? moved.ask(this.#signal) : undefined;
      speakers = ledger.states.speakersState;
      if (own && kind === "retire") this.#sitesMovedSoon();
      else this.#sitesMoved();
    });
    ledger.onAdmitted(({ kind }) => {
      if (kind.startsWith("kit-") || kind === "retire") this.#kitsChanged();
      if (kind === "leaving") parts.guests.soon();
      if (kind === "erase") parts.replication.eraseSoon();
      if (kind === "placement" || kind === "several" || kind === "erased") this.leaving.soon();
    });
    transport.onAddressesChanged(() => void this.#lookAtProfile());
  }

  static async open(components: FederationComponents, init: FederationInit): Promise<Federation> {
    return new Federation(components, init, await openParts(components, init));
  }

  /** Goes on until the signal. Listens once there is a federation, or one is joined. Throws `listen-failed`. */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    if (this.parts.membership.roster !== undefined) await this.startTransport();
    this.parts.sync.start(signal);
    void this.parts.greeting.start(signal);
    this.#forgetting.start(signal);
    this.parts.replication.start(signal);
    void this.#goOn(signal);
  }

  /** The way to others is open when it resolves. Throws `listen-failed`; the next call tries it again. */
  startTransport(): Promise<void> {
    return (this.#started ??= this.#startTransport().catch((error: unknown) => {
      this.#started = undefined;
      throw error;
    }));
  }

  async #startTransport(): Promise<void> {
    await this.parts.transport.start();
    this.#onMembership();
  }

  /** What the site knows of its agents and snapshots has changed. */
  async siteChanged(kind?: "agent" | "snapshot", key?: string): Promise<void> {
    if (this.parts.membership.roster === undefined) return;
    try {
      if (kind === undefined || key === undefined) await this.parts.siteStatements.publish();
      else await this.parts.siteStatements.publishOne(kind, key);
      if (kind === "snapshot") this.parts.replication.soon();
    } catch (error) {
      this.#putOff("what the ledger is told of agents and snapshots")(error);
    }
  }

  /** What fails because the site stops is no failure. */
  #putOff(what: string): (error: unknown) => void {
    return (error) => {
      if (this.#signal?.aborted !== true) this.#components.onEvent({ event: "put-off", what, error });
    };
  }

  #onMembership(): void {
    const { roster, federationId } = this.parts.membership;
    if (roster === undefined || federationId === undefined) return;
    this.#components.onEvent({ event: "roster", number: roster.number, membersCount: roster.members.length });
    this.parts.transport.setTopic(`/costor/ledger/1/${federationId}`);
    this.#sitesMoved();
  }

  /** There are others than before, or they are elsewhere. */
  #sitesMoved(): void {
    this.leaving.soon();
    this.parts.transport.membershipChanged();
    this.#keepWayBack();
  }

  /** A guest that this site has let out hears of it before it is cut off. */
  #sitesMovedSoon(): void {
    this.#components.clock.sleep(FAREWELL_MS, this.#signal).then(
      () => this.#sitesMoved(),
      () => undefined,
    );
  }

  /** Where others are, for when the store is lost. */
  #keepWayBack(): void {
    const { membership, profiles } = this.parts;
    const { federationId } = membership;
    if (federationId === undefined) return;
    const { role } = membership.roleOf(this.siteId);
    const others = role === "member" || role === "guest" ? membership.sites() : [];
    const members = others.flatMap((site) => {
      const peer = site === this.siteId ? undefined : membership.peerOf(site);
      const addresses = peer === undefined ? [] : profiles.addressesOf(peer);
      return peer === undefined || addresses.length === 0 ? [] : [{ peer, addresses }];
    });
    this.#components.keepWayBack?.({ federationId, members }).catch(this.#putOff("the addresses of other sites"));
  }

  async #goOn(signal: AbortSignal): Promise<void> {
    const { clock, rng } = this.#components;
    try {
      for (;;) {
        await this.#lookAround();
        await clock.sleep(LOOK_EVERY_MS * (0.5 + rng.fraction()), signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#components.onEvent({ event: "fault", error });
    }
  }

  /** Once others were asked, and then each hour. */
  async #lookAround(): Promise<void> {
    if (this.parts.membership.roster === undefined || !this.parts.ownLog.isReady || !this.#signal) return;
    await this.look();
    await this.parts.checkpoints.look(this.#signal).catch(this.#putOff("checkpoints"));
  }

  /** Tells the ledger what is not so any more, and goes on with what people wish. */
  async look(): Promise<void> {
    await this.#lookAtProfile();
    await tellRecoveryKey(this.parts).catch(this.#putOff("the site's new recovery key"));
    await this.parts.regainFacts().catch(this.#putOff("what only the ledger knows"));
    await this.siteChanged();
    await this.lookAtKits().catch(this.#putOff("kits that are asked for"));
    this.parts.guests.soon();
    this.rosterUpkeep.look();
    this.leaving.soon();
  }

  /** Notes since when which requests for another recovery key stand, and goes on with them. */
  async lookAtKits(): Promise<void> {
    await this.parts.kitRequests.look();
    if (this.parts.kitRequests.wishes().length > 0) this.rosterUpkeep.look();
  }

  #kitsChanged(): void {
    void this.lookAtKits().catch(this.#putOff("kits that are asked for"));
  }

  /** By the clock that no setting of the machine's moves. */
  async #forget(): Promise<void> {
    const { ledger, ledgerStore: store, replication } = this.parts;
    await forgetWithdrawn({ ledger, store }, { nowMs: replication.heldClock.nowMs(), lockMs: LOCK_MS });
  }

  async #lookAtProfile(): Promise<void> {
    if (this.parts.membership.roster !== undefined && this.#signal?.aborted === false) await this.#profile.look();
  }

  async #readProfile() {
    const { current } = this.parts.settings;
    const { offeredBytes, keptBytes } = await this.room();
    return {
      name: this.#init.siteName,
      addresses: this.ownAddresses(),
      domain: current.place,
      ...{ offeredBytes, keptBytes },
      readKey: Buffer.from(this.#init.readKey),
      readGeneration: this.#init.readGeneration,
    };
  }

  /** By which others reach this site: those that people have told, or else those that are known. */
  ownAddresses(): readonly string[] {
    const announced = this.parts.settings.current.announcedAddresses;
    return announced.length > 0 ? announced : this.parts.transport.addresses();
  }

  /** What people should look at. */
  async alarms(): Promise<Alarm[]> {
    return this.#alarms.list(await holdingAlarms(this, this.#components.clock.now()));
  }

  /** Why copies are not brought up to date now, but for windows and pauses. */
  blocking(): string[] {
    const { replication, profiles } = this.parts;
    const suspicion = replication.suspicion();
    const names = replication.waitsFor().map((site) => profiles.nameOf(site));
    return suspicion === undefined ? [] : [suspicionText(suspicion, names)];
  }

  /** What of this site's own is lost here: one sentence for people; undefined when nothing. */
  async damage(): Promise<string | undefined> {
    const lostCount = await lostCountOf(this.#components.store, this.siteId);
    return lostCount === 0 ? undefined : `${lostCount} pieces of this site's own data are damaged or not back yet`;
  }

  /** For other sites: what is offered in all, and what is kept of it. */
  room(): Promise<Room> {
    return roomFor({ store: this.#components.store, settings: this.parts.settings, siteId: this.siteId });
  }
}
