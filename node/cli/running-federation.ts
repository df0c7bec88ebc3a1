/** Puts the federation of a running site together: libp2p, the machine's clock and chance, the site's keys. */
import type { Logger } from "pino";
import type { AcrossSites } from "#node/drills/across-sites.ts";
import type { DrillRecord, DrillResult } from "#node/drills/drill-record.ts";
import type { FetchPrime } from "#node/drills/drills.ts";
import type { KitDrillComponents } from "#node/drills/kit-drill.ts";
import type { HolderTampering } from "#node/drills/holder-tampering.ts";
import { OffsitePrimes } from "#node/drills/offsite-primes.ts";
import { doClocksAgree } from "#node/federation/agreeing-clocks.ts";
import { deletionDoubt } from "#node/federation/deletion-doubt.ts";
import { FederationService } from "#node/federation/federation-service.ts";
import { Federation } from "#node/federation/federation.ts";
import { LateTransport } from "#node/federation/late-transport.ts";
import { keyOfPlace } from "#node/federation/sealed-statements.ts";
import { receivedTimesOf, reportStatus } from "#node/federation/status-report.ts";
import type { Doorkeeper, Transport } from "#node/federation/transport.ts";
import { parseListenAddress } from "#node/site/addresses.ts";
import type { RetentionComponents } from "#node/retention/retention.ts";
import type { Site } from "#node/site/site.ts";
import type { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { systemClock } from "#node/site/system-clock.ts";
import { systemRng } from "#node/site/system-rng.ts";
import type { WayBackFile } from "#node/site/way-back.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { isIPv6 } from "node:net";
import { FederationLog } from "./federation-log.ts";

export interface FederationOptions {
  /** `host:port` for TCP. */
  readonly peerListen: string;
  /** `host:port` for WebSockets; "off" for none. */
  readonly peerWebsocket: string;
  /** Whether other sites are looked for on the LAN. */
  readonly lanDiscovery: boolean;
}

export interface RunningFederation extends AsyncDisposable {
  readonly service: FederationService;
  /** This site's own primes from others alone; undefined while it is in no federation. */
  offsite(): FetchPrime | undefined;
  /** Undefined while it is in no federation. */
  across(): AcrossSites | undefined;
  /** As {@link openKitRestore}; undefined while it is in no federation. */
  openKit(): KitDrillComponents["openKit"];
  /** Undefined while it is in no federation. */
  holderTampering(): HolderTampering | undefined;
  /** Tells the other sites, if there are any. */
  tellDrill(result: DrillResult): Promise<void>;
  readonly forRetention: Pick<
    RetentionComponents,
    "heldClock" | "timeZone" | "doubt" | "doClocksAgree" | "damage" | "withdraw"
  >;
  /** For {@link FacadeComponents.isSuperseded}. */
  isSuperseded(): boolean;
  /** For {@link FacadeComponents.copiesOf}. */
  copiesOf(receivedMs: number): { readonly count: number; readonly isSafe: boolean } | undefined;
  /** As `Replication.damageFound`. */
  damageFound(): void;
}

interface StartComponents {
  readonly site: Site;
  readonly log: Logger;
  readonly drillRecord: DrillRecord;
  readonly wayBack: WayBackFile;
  readonly requestedKit: RequestedKitFiles;
}

/** Throws `listen-failed` when the site is in a federation and cannot listen. */
export async function startFederation(
  { site, log, drillRecord, wayBack, requestedKit }: StartComponents,
  options: FederationOptions,
): Promise<RunningFederation> {
  const listen = [
    multiaddrOf(options.peerListen),
    ...(options.peerWebsocket === "off" ? [] : [`${multiaddrOf(options.peerWebsocket)}/ws`]),
  ];
  const { peerSeed } = site.machine;
  let transport: LateTransport | undefined;
  const makeTransport = async (doorkeeper: Doorkeeper): Promise<Transport> => {
    const make = async () => {
      // More to import than all the rest of a site.
      const { Libp2pPeers } = await import("#node/peers/libp2p-peers.ts");
      return Libp2pPeers.create({ log, ...doorkeeper }, { peerSeed, listen, mdns: options.lanDiscovery });
    };
    return (transport = new LateTransport({ make }, { peerSeed }));
  };
  const told = new FederationLog({ log });
  const clock = systemClock;
  const rng = systemRng;
  const { epochCertificate, siteName } = site.identity;
  const federation = await Federation.open(
    {
      ...{ store: site.store, clock, rng, makeTransport },
      seal: site.machine.seal,
      records: {
        open: site.machine.open,
        take: async (place, value) => {
          if (place.kind !== "state") await site.regain(place.kind, keyOfPlace(place), value);
        },
        settle: () => site.regainedSnapshots.settle(),
        isReturning: () => site.regainedSnapshots.isAny,
        fetchFirst: site.fetchFirst,
      },
      onEvent: (event) => told.tell(event),
      keepWayBack: (way) => wayBack.keep(way),
    },
    { siteName, epochCertificate, ...site.machine },
  );
  const { own, copies, membership, ownLog, replication } = federation.parts;
  site.regainedSnapshots.onCleared(() => replication.soon());
  site.primes.fetchBy((ids) => replication.wanted.fetch(ids));
  own.received(site.receivedMs());
  site.changes.onChange((change) => {
    if (change.kind === "collected") return own.collected();
    if (change.kind === "snapshot") own.received(change.receivedMs);
    void (change.kind === "state" ? federation.siteChanged() : federation.siteChanged(change.kind, change.key));
  });
  const { transport: peers, ledger } = federation.parts;
  const offsite = new OffsitePrimes({ self: federation.siteId, peers, sites: membership, ledger });
  const end = new AbortController();
  const stop = async (): Promise<void> => {
    end.abort(new Error("the site stops"));
    await federation.parts.remoteRestores[Symbol.asyncDispose]();
    await transport?.[Symbol.asyncDispose]();
  };
  try {
    await federation.start(end.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  const status = () =>
    reportStatus({
      ...{ federation, store: site.store, receivedTimes: () => receivedTimesOf(site), nowMs: site.now },
      drills: () => drillRecord.list(),
    });
  return {
    service: new FederationService({ federation, clock, rng, status, requestedKit }, { siteName, peerSeed }),
    offsite: () => (membership.roster === undefined ? undefined : (id) => offsite.get(id)),
    across: () => (membership.roster === undefined ? undefined : federation.parts.acrossSites),
    openKit: () => (membership.roster === undefined ? undefined : federation.parts.openKit),
    holderTampering: () => (membership.roster === undefined ? undefined : federation.parts.holderTampering),
    tellDrill: async ({ kind, gatherer, filesCount, bytes, failedCount, endedMs }) => {
      if (membership.roster === undefined) return;
      const gatherers = gatherer === undefined ? [] : [parseSiteId(gatherer)];
      const counts = { filesCount, bytes, failedCount, endedMs };
      await federation.parts.entries.write({ kind: "drill", drill: kind, gatherers, ...counts });
    },
    forRetention: {
      heldClock: federation.parts.replication.heldClock,
      timeZone: () => federation.parts.settings.current.timeZone,
      doubt: (known) => deletionDoubt(federation, known),
      doClocksAgree: () => membership.roster !== undefined && doClocksAgree(federation, site.now()),
      damage: async () => (membership.roster === undefined ? undefined : federation.damage()),
      withdraw: (keys) => federation.parts.siteStatements.withdrawSnapshots(keys),
    },
    damageFound: () => federation.parts.replication.damageFound(),
    isSuperseded: () => ownLog.suspicion === "newer-log",
    copiesOf: (receivedMs) => (membership.roster === undefined ? undefined : copies.of(receivedMs)),
    [Symbol.asyncDispose]: stop,
  };
}

function multiaddrOf(text: string): string {
  const { host, port } = parseListenAddress(text);
  return `/${isIPv6(host) ? "ip6" : "ip4"}/${host}/tcp/${port}`;
}
