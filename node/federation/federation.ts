/**
 * One site's part in a federation: the ledger, who is in it, how it is kept equal, and what is kept for others. Put together
 * here over ports, so that a site and the simulator run the same. A site that is in no federation has one too: it waits.
 */
import type { Clock } from "#ledger/clock.ts";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { type Log, openLog } from "#ledger/entry.ts";
import { forgetWithdrawn } from "#ledger/forgetting.ts";
import { helloProtocol } from "#ledger/hello.ts";
import { answerJoin, joinProtocol } from "#ledger/join.ts";
import { Ledger } from "#ledger/ledger.ts";
import { Membership } from "#ledger/membership.ts";
import { OwnLog } from "#ledger/own-log.ts";
import type { Rng } from "#ledger/rng.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { RegularWork } from "#node/replication/regular-work.ts";
import type { Replication } from "#node/replication/replication.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { type Alarm, Alarms } from "./alarms.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { CopiesReport } from "./copies-report.ts";
import type { FederationEvent } from "./federation-event.ts";
import { Greeting } from "./greeting.ts";
import { Invitations } from "./invitations.ts";
import { InviterAddress } from "./inviter-address.ts";
import { openKeeping, suspicionText } from "./keeping.ts";
import { LedgerSync } from "./ledger-sync.ts";
import { OwnEntries } from "./own-entries.ts";
import type { OwnPrimeSets } from "./own-primes.ts";
import { ProfileUpkeep } from "./profile-upkeep.ts";
import { RosterUpkeep } from "./roster-upkeep.ts";
import { type Room, roomFor } from "./room.ts";
import type { Sending } from "./sending.ts";
import { SettingsFact } from "./settings.ts";
import { SiteProfiles } from "./site-profiles.ts";
import { SiteStatements } from "./site-statements.ts";
import type { Doorkeeper, Transport } from "./transport.ts";
import { Wishes } from "./wishes.ts";

export interface FederationComponents {
  readonly store: PrimeStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly makeTransport: (doorkeeper: Doorkeeper) => Promise<Transport>;
  /** Seals to the site's own read key, bound to `context`. */
  readonly seal: (plain: Uint8Array, context: Uint8Array) => Promise<Uint8Array>;
  readonly onEvent: (event: FederationEvent) => void;
}

export interface FederationInit {
  readonly siteName: string;
  /** The certificate of this machine's epoch. */
  readonly epochCertificate: Uint8Array;
  readonly peerSeed: Uint8Array;
  /** X25519, 32 bytes. */
  readonly readKey: Uint8Array;
  readonly readGeneration: number;
  /** What a new machine has to know of this site's identity: `identityStateOf`. */
  readonly identityState: Uint8Array;
}

/** Upkeep that no event asks for. */
const LOOK_EVERY_MS = 3600_000;
const FORGET_EVERY_MS = 24 * 3600_000;
/** Until others were asked for what this site has written before. */
const WAIT_MS = 60_000;

interface Parts {
  readonly ledger: Ledger;
  readonly ledgerStore: LedgerFacts;
  readonly membership: Membership;
  readonly ownLog: OwnLog;
  readonly transport: Transport;
  readonly profiles: SiteProfiles;
  readonly sync: LedgerSync;
  readonly greeting: Greeting;
  readonly entries: OwnEntries;
  readonly invitations: Invitations;
  readonly inviterAddress: InviterAddress;
  readonly wishes: Wishes;
  readonly settings: SettingsFact;
  readonly siteStatements: SiteStatements;
  readonly replication: Replication;
  readonly own: OwnPrimeSets;
  readonly copies: CopiesReport;
  readonly sending: Sending;
  readonly checkpoints: Checkpoints;
}

export class Federation {
  readonly siteId: SiteId;
  readonly siteName: string;
  readonly parts: Parts;
  readonly rosterUpkeep: RosterUpkeep;
  readonly #profile: ProfileUpkeep;
  readonly #forgetting: RegularWork;
  readonly #alarms: Alarms;
  readonly #components: FederationComponents;
  readonly #init: FederationInit;
  #signal: AbortSignal | undefined;
  #started: Promise<void> | undefined;

  private constructor(components: FederationComponents, init: FederationInit, parts: Parts) {
    this.#components = components;
    this.#init = init;
    this.parts = parts;
    this.#alarms = new Alarms(components);
    const { ledger, membership, ownLog, transport, entries, wishes } = parts;
    this.siteId = ownLog.log.certificate.siteId;
    this.siteName = init.siteName;
    const putOff = (what: string) => (error: unknown) => components.onEvent({ event: "put-off", what, error });
    this.rosterUpkeep = new RosterUpkeep(
      { ledger, membership, entries, wishes, onFailure: putOff("the roster") },
      { siteId: this.siteId, peerSeed: init.peerSeed },
    );
    this.#profile = new ProfileUpkeep(
      { ledger, entries, read: () => this.#readProfile(), onFailure: putOff("the profile") },
      { siteId: this.siteId },
    );
    this.#forgetting = new RegularWork(components, {
      everyMs: FORGET_EVERY_MS,
      work: () => this.#forget(),
      onFailure: putOff("forgetting what was withdrawn"),
    });
    membership.onChanged(() => this.#onMembership());
    parts.sync.onReady(() => void this.look());
    ledger.onAdmitted(({ kind }) => {
      if (kind === "guest" || kind === "profile" || kind === "retire") transport.membershipChanged();
    });
    transport.onAddressesChanged(() => void this.#lookAtProfile());
  }

  static async open(components: FederationComponents, init: FederationInit): Promise<Federation> {
    const { store, clock, rng, seal, onEvent } = components;
    const ledgerStore = new LedgerFacts({ store });
    const log = openLog(init.epochCertificate);
    const { siteId } = log.certificate;
    const membership = await Membership.open({ store: ledgerStore }, { siteId });
    const ledger = await Ledger.open({ store: ledgerStore, speakers: membership, onEvent });
    const profiles = new SiteProfiles({ ledger, membership });
    const invitations = await Invitations.open({ store, clock, rng });
    const inviterAddress = await InviterAddress.open(store);
    const ownLog = await OwnLog.open(
      { ledger, membership, store: ledgerStore, clock, rng },
      { log, peerSeed: init.peerSeed },
    );
    const settings = await SettingsFact.open(store);
    const transport = await components.makeTransport({
      mayConnect: (peer) => membership.peerMayConnect(peer),
      members: () => membership.sites().flatMap((site) => membership.peerOf(site) ?? []),
      strangerProtocols: () => [
        ...(invitations.isAnyOpen ? [joinProtocol.name] : []),
        ...(membership.roster === undefined ? [] : [helloProtocol.name]),
      ],
      addressesOf: (peer) => [...new Set([...profiles.addressesOf(peer), ...inviterAddress.of(peer)])],
      announcedAddresses: () => settings.current.announcedAddresses,
    });
    serveJoining(transport, { membership, log, invitations, onEvent });
    const sync = new LedgerSync({ ledger, membership, ownLog, peers: transport, clock, rng, onEvent });
    const onKnown = (peer: PeerKey): void => void sync.with(peer);
    const greeting = new Greeting({ ledger, membership, transport, clock, rng, onKnown, onEvent }, { log });
    const entries = new OwnEntries({ ownLog, ledger, spread: (entry) => sync.spread(entry) });
    const room = (): Promise<Room> => roomFor({ store, settings, siteId });
    const keeping = await openKeeping({
      ...{ store, clock, rng, transport, ledger, membership, ownLog, entries, settings, room, onEvent },
    });
    return new Federation(components, init, {
      ...{ ledger, ledgerStore, membership, ownLog, transport, profiles, sync, greeting },
      ...{ entries, invitations, inviterAddress, settings },
      wishes: await Wishes.open(store),
      ...keeping,
      checkpoints: await Checkpoints.open({ store, clock, ...keeping, receivedMs: () => keeping.own.snapshotsCount() }),
      siteStatements: await SiteStatements.open({ store, entries, seal }, { siteId, ...init }),
    });
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
      this.#components.onEvent({ event: "put-off", what: "what the ledger is told of agents and snapshots", error });
    }
  }

  #onMembership(): void {
    const { roster, federationId } = this.parts.membership;
    if (roster === undefined || federationId === undefined) return;
    this.#components.onEvent({ event: "roster", number: roster.number, membersCount: roster.members.length });
    this.parts.transport.setTopic(`/costor/ledger/1/${federationId}`);
    this.parts.transport.membershipChanged();
  }

  /** Once others were asked, and then each hour. */
  async #goOn(signal: AbortSignal): Promise<void> {
    const { clock, rng } = this.#components;
    try {
      for (;;) {
        if (this.parts.membership.roster !== undefined && this.parts.ownLog.isReady) {
          await this.look();
          await this.#lookAtCheckpoints(signal);
        }
        await clock.sleep(this.parts.ownLog.isReady ? LOOK_EVERY_MS * (0.5 + rng.fraction()) : WAIT_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#components.onEvent({ event: "fault", error });
    }
  }

  /** Tells the ledger what is not so any more, and goes on with what people wish. */
  async look(): Promise<void> {
    await this.#lookAtProfile();
    await this.siteChanged();
    this.rosterUpkeep.look();
  }

  async #lookAtCheckpoints(signal: AbortSignal): Promise<void> {
    try {
      await this.parts.checkpoints.look(signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#components.onEvent({ event: "put-off", what: "checkpoints", error });
    }
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
    const { ledger, membership, ownLog, profiles, copies } = this.parts;
    const nameOf = (site: SiteId): string => profiles.of(site)?.name || site.slice(0, 16);
    const suspicion = ownLog.suspicion;
    const forks = membership
      .sites()
      .filter((site) => site !== this.siteId && ledger.forkOf(site) !== undefined)
      .map((site) => ({ code: "fork", text: `two machines write as ${nameOf(site)}; nothing of it is dropped` }));
    const failing = copies.failingHolders().map((site) => ({
      code: "audit-failed",
      text: `${nameOf(site)} could not prove that it has what it says; its copies do not count`,
    }));
    const blocking = membership.roster !== undefined && ownLog.isReady ? await this.blocking() : [];
    const own =
      suspicion === undefined
        ? blocking.map((text) => ({ code: "nothing-signed", text: `${text}; no copies are brought up to date` }))
        : [{ code: "other-machine", text: `another machine may act as this site (${suspicion}); it writes no more` }];
    return this.#alarms.list([...own, ...forks, ...failing]);
  }

  /** Why copies are not brought up to date now, but for windows and pauses. */
  async blocking(): Promise<string[]> {
    const suspicion = await this.parts.replication.suspicion();
    return suspicion === undefined ? [] : [suspicionText(suspicion)];
  }

  /** For other sites: what is offered in all, and what is kept of it. */
  room(): Promise<Room> {
    return roomFor({ store: this.#components.store, settings: this.parts.settings, siteId: this.siteId });
  }
}

/** Answers those who show an invitation. */
function serveJoining(
  transport: Transport,
  {
    membership,
    log,
    invitations,
    onEvent,
  }: Pick<Parts, "membership" | "invitations"> & {
    readonly log: Log;
    readonly onEvent: FederationComponents["onEvent"];
  },
): void {
  transport.serve(joinProtocol, (channel) =>
    answerJoin(channel, {
      membership,
      log,
      invitations: {
        show: async (secret, joiner) => {
          const isKnown = invitations.waiting().some(({ site }) => site === joiner.site);
          const invited = await invitations.show(secret, joiner).catch((error: unknown) => {
            if (error instanceof CostorError)
              onEvent({ event: "refused", peer: channel.peer, protocol: joinProtocol.name, error });
            throw error;
          });
          if (!isKnown && invited.state === "bound")
            onEvent({ event: "newcomer", siteId: joiner.site, name: joiner.name });
          return invited;
        },
      },
    }),
  );
}
