/** What belongs to a site's part in a federation, opened over ports in its order. */
import type { Clock } from "#ledger/clock.ts";
import { type Log, openLog } from "#ledger/entry.ts";
import { helloProtocol } from "#ledger/hello.ts";
import { answerJoin, joinProtocol } from "#ledger/join.ts";
import { Ledger } from "#ledger/ledger.ts";
import { Membership } from "#ledger/membership.ts";
import { OwnLog } from "#ledger/own-log.ts";
import { recoverProtocol } from "#ledger/recover.ts";
import type { Rng } from "#ledger/rng.ts";
import { AcrossSites } from "#node/drills/across-sites.ts";
import { serveGathering } from "#node/drills/gathering-service.ts";
import { openKitRestore } from "#node/drills/kit-restore.ts";
import { HolderTampering } from "#node/drills/holder-tampering.ts";
import { Auditor } from "#node/replication/auditor.ts";
import type { Replication } from "#node/replication/replication.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { WayBack } from "#node/site/way-back.ts";
import type { RemoteRestoreEvent, RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import type { RescuedSite } from "#node/rescue/rescued-site.ts";
import { RemoteRestores } from "#node/rescue/remote-restores.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { CopiesReport } from "./copies-report.ts";
import { Erasures } from "./erasures.ts";
import type { FederationEvent } from "./federation-event.ts";
import { Greeting } from "./greeting.ts";
import { Guests } from "./guests.ts";
import { Invitations } from "./invitations.ts";
import { InviterAddress } from "./inviter-address.ts";
import { HelpedRestores } from "./helped-restores.ts";
import { FormerRecords } from "./former-records.ts";
import { type Keeping, openKeeping } from "./keeping.ts";
import { KitRequests } from "./kit-requests.ts";
import { isHolderAway, takeLateRecords } from "./late-records.ts";
import { LedgerSync } from "./ledger-sync.ts";
import { OwnEntries } from "./own-entries.ts";
import type { OwnPrimeSets } from "./own-primes.ts";
import { type RegainedFactComponents, type SiteRecords, regainFacts } from "./regained-facts.ts";
import { type Room, roomFor } from "./room.ts";
import type { Sending } from "./sending.ts";
import { SettingsFact } from "./settings.ts";
import { SiteProfiles } from "./site-profiles.ts";
import { SiteStatements } from "./site-statements.ts";
import type { Doorkeeper, Transport } from "./transport.ts";
import { Takeover } from "./takeover.ts";
import { Wishes } from "./wishes.ts";

export interface FederationComponents {
  readonly store: PrimeStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly makeTransport: (doorkeeper: Doorkeeper) => Promise<Transport>;
  /** Seals to the site's own read key, bound to `context`. */
  readonly seal: (plain: Uint8Array, context: Uint8Array) => Promise<Uint8Array>;
  readonly records: SiteRecords;
  readonly onEvent: (event: FederationEvent) => void;
  /** Told whenever other sites come, go or move. */
  readonly keepWayBack?: (way: WayBack) => Promise<void>;
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
  /** What former kits opened, when there were any: node/site/former-keys.ts. */
  readonly formerKeysState?: Uint8Array | undefined;
}

export interface FederationParts {
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
  readonly guests: Guests;
  readonly kitRequests: KitRequests;
  readonly erasures: Erasures;
  readonly settings: SettingsFact;
  readonly siteStatements: SiteStatements;
  readonly replication: Replication;
  readonly own: OwnPrimeSets;
  readonly copies: CopiesReport;
  readonly sending: Sending;
  readonly checkpoints: Checkpoints;
  /** Brings back what the ledger knows of agents and snapshots, while not all is back. Safe to repeat. */
  readonly regainFacts: () => Promise<void>;
  readonly remoteRestores: RemoteRestores;
  readonly helpedRestores: HelpedRestores;
  readonly acrossSites: AcrossSites;
  readonly holderTampering: HolderTampering;
  /** For a drill with the recovery kit. */
  readonly openKit: (init: RemoteRestoreInit) => Promise<RescuedSite>;
}

export async function openParts(components: FederationComponents, init: FederationInit): Promise<FederationParts> {
  const { store, clock, rng, seal, records, onEvent } = components;
  const ledgerStore = new LedgerFacts({ store });
  const log = openLog(init.epochCertificate);
  const { siteId } = log.certificate;
  const membership = await Membership.open({ store: ledgerStore }, { siteId });
  const reached: { transport?: Transport } = {};
  const ledger = await Ledger.open({
    ...{ store: ledgerStore, speakers: membership },
    onEvent: (event) => {
      onEvent(event);
      // Whoever acted as the site by the former key is out.
      if (event.event === "recovery-key") reached.transport?.membershipChanged();
    },
  });
  // Before anything is written: somebody with the former kit may be the site's newest machine here.
  if (log.certificate.chain.length > 0) await ledger.offer({ certificates: [log.bytes] });
  const profiles = new SiteProfiles({ ledger, membership });
  const invitations = await Invitations.open({ store, clock, rng });
  const inviterAddress = await InviterAddress.open(store);
  // It may have been ended while it joined, before it had noted whom it knows.
  if (inviterAddress.certificate !== undefined) await ledger.offer({ certificates: [inviterAddress.certificate] });
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
      ...(membership.roster === undefined ? [] : [helloProtocol.name, recoverProtocol.name]),
    ],
    addressesOf: (peer) => [...new Set([...profiles.addressesOf(peer), ...inviterAddress.of(peer)])],
    announcedAddresses: () => settings.current.announcedAddresses,
  });
  reached.transport = transport;
  serveJoining(transport, { membership, log, invitations, onEvent });
  const sync = new LedgerSync({ ledger, membership, ownLog, peers: transport, clock, rng, onEvent });
  const entries = new OwnEntries({ ownLog, ledger, spread: (entry) => sync.spread(entry) });
  const room = (): Promise<Room> => roomFor({ store, settings, siteId });
  const siteStatements = await SiteStatements.open({ store, entries, seal }, { siteId, ...init });
  const regainedComponents = regainedFrom({ ledger, store, siteStatements }, components);
  const queue = new SerialQueue();
  const regainAll = (): Promise<void> => regainFacts(regainedComponents, { siteId });
  // What was settled must not come back by a turn that began before.
  const takeover = await Takeover.open(store);
  // Stopped between the two: all was back.
  if (takeover.isOpen && !ownLog.wasLedBack) await takeover.end();
  const settle = async (): Promise<void> => {
    const partial = await records.settle();
    // What expired is in the ledger for a while, and what was never whole elsewhere would come back to each new machine.
    const also = partial.flatMap((key) => ledger.statement(siteId, "snapshot", key) ?? []);
    if (also.length > 0) await entries.withdrawIdle({ also, leastCount: 1 });
  };
  const regainNow = (): Promise<void> =>
    queue.run(async () => {
      if (takeover.isOpen) return;
      if (ownLog.wasLedBack) return regainAll();
      if (!sync.hasAskedMost || ownLog.suspicion !== undefined) return;
      const { silence } = keeping.replication;
      if (isHolderAway({ ledger, membership, peers: transport, silence }, { siteId })) return;
      // Those that were taken before; what is looked through meanwhile is the same until it is done.
      if (records.isReturning()) return settle();
      const late = {
        ...regainedComponents,
        takeUntold: (...told: Parameters<SiteRecords["take"]>) => records.take(...told),
      };
      await takeLateRecords(late, { siteId, logId: log.id });
      if (records.isReturning()) await settle();
    });
  const formerRecords = new FormerRecords(
    { ...regainedComponents, ledger, peers: transport, take: (place, value) => records.take(place, value) },
    { siteId },
  );
  const regained = (): Promise<boolean> =>
    queue.run(async () => {
      if (!sync.hasAskedMost) return false;
      if (!takeover.isOpen) await regainAll();
      await settle();
      await ownLog.regained();
      await takeover.end();
      return true;
    });
  const former = {
    isTakenOver: () => takeover.isOpen,
    takeFrom: (peer: PeerKey, signal: AbortSignal) => queue.run(() => formerRecords.takeFrom(peer, signal)),
  };
  const keeping: Keeping = await openKeeping({
    ...{ store, clock, rng, transport, ledger, membership, ownLog, entries, settings, room, onEvent },
    ...{ records, regained, former },
    hearsMost: () => sync.hearsMost,
    catchUp: (site, signal) => sync.catchUp(site, signal),
  });
  const onKnown = async (peer: PeerKey): Promise<void> => {
    // A round that is under way may have begun before the peer knew this machine.
    if ((await sync.with(peer)) || (await sync.with(peer))) keeping.replication.othersCame();
  };
  const greeting = new Greeting(
    { ledger, membership, transport, clock, rng, isAnswered: () => sync.isAnswered, onKnown, onEvent },
    { log },
  );
  const together = { self: siteId, clock, rng, peers: transport, sites: membership, ledger, store, entries };
  serveGathering({
    ...together,
    onFailure: (holder, error) => onEvent({ event: "holder-failed", holder, error }),
    onRefused: (peer, { name: protocol }, error) => onEvent({ event: "refused", peer, protocol, error }),
  });
  // Nobody is helped by a drill.
  const tellKitEvent = (event: RemoteRestoreEvent): void => {
    if (event.event !== "helping" && event.event !== "helped") onEvent(event);
  };
  return {
    ...{ ledger, ledgerStore, membership, ownLog, transport, profiles, sync, greeting },
    ...{ entries, invitations, inviterAddress, settings },
    wishes: await Wishes.open(store),
    guests: new Guests(
      {
        ...{ clock, ledger, membership, entries, profiles },
        onFailure: (error) => onEvent({ event: "put-off", what: "guests that leave", error }),
      },
      { self: siteId },
    ),
    erasures: new Erasures({ store, ledger, sites: membership }, { self: siteId }),
    kitRequests: await KitRequests.open(
      { store, ledger, membership, heldClock: keeping.replication.heldClock },
      { self: siteId },
    ),
    ...keeping,
    checkpoints: await Checkpoints.open({ store, clock, ...keeping, receivedMs: () => keeping.own.snapshotsCount() }),
    helpedRestores: await HelpedRestores.open({ store, ledger, membership, profiles }, { self: siteId, ...init }),
    remoteRestores: new RemoteRestores({
      ...{ ...together, onEvent },
      copiedUntilMs: (owner) => keeping.copies.onceReceivedMs(owner),
    }),
    acrossSites: new AcrossSites(together, init),
    openKit: (grant) => openKitRestore({ ...together, onEvent: tellKitEvent }, grant),
    holderTampering: new HolderTampering({ ...together, own: keeping.own, auditor: new Auditor(together) }),
    ...{ siteStatements, regainFacts: regainNow },
  };
}

function regainedFrom(
  {
    ledger,
    store,
    siteStatements,
  }: Pick<FederationParts, "ledger" | "siteStatements"> & { readonly store: PrimeStore },
  { records, onEvent }: Pick<FederationComponents, "records" | "onEvent">,
): RegainedFactComponents {
  return {
    ...{ ledger, store },
    open: (sealed, context) => records.open(sealed, context),
    take: async (place, value) => {
      // Told first: what is kept then says no more than the ledger knows.
      await siteStatements.told(place, value);
      await records.take(place, value);
    },
    onBroken: (place, error) => onEvent({ event: "put-off", what: `${place.kind} of the ledger`, error }),
  };
}

/** Answers those who show an invitation. */
function serveJoining(
  transport: Transport,
  {
    membership,
    log,
    invitations,
    onEvent,
  }: Pick<FederationParts, "membership" | "invitations"> & {
    readonly log: Log;
    readonly onEvent: FederationComponents["onEvent"];
  },
): void {
  transport.serve(joinProtocol, (channel) =>
    answerJoin(channel, {
      membership,
      log,
      invitations: {
        listens: (secret) => invitations.listens(secret),
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
