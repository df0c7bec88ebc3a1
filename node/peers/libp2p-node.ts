/** Puts js-libp2p together with CoStor's limits: transports, encryption, multiplexer and services. */
import { circuitRelayServer, circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import type { GossipSub } from "@libp2p/gossipsub";
import { type Identify, identify } from "@libp2p/identify";
import type { Libp2p, PeerInfo, PrivateKey } from "@libp2p/interface";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { yamux } from "@libp2p/yamux";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import type { Admission } from "./admission.ts";
import { gossipService } from "./gossip.ts";
import { lanDiscovery } from "./lan-discovery.ts";
import { guardMuxer } from "./muxer-guard.ts";
import { noiseStreams } from "./noise-streams.ts";
import type { PeerLimits } from "./peer-limits.ts";
import { protocolGate } from "./protocol-gate.ts";
import type { RefusalLog } from "./refusal-log.ts";

export type Libp2pNode = Libp2p<{ identify: Identify; gossip: GossipSub }>;

export interface Libp2pNodeComponents {
  readonly admission: Admission;
  readonly refusals: RefusalLog;
  readonly onFoundOnLan: (found: PeerInfo) => void;
}

export interface Libp2pNodeInit {
  readonly privateKey: PrivateKey;
  readonly listen: readonly string[];
  /** By which others are told to reach this site, when not by those at which it listens; asked each time. */
  readonly announced: () => readonly string[];
  readonly mdns: boolean;
  readonly limits: PeerLimits;
  /** Protocols served by channels: they bound themselves. */
  readonly ownProtocols: ReadonlySet<string>;
}

/** Room in the socket: with Node's 64 KiB each write waits for the last one. */
const socketBufferBytes = 1024 * 1024;

/** Not started. */
export async function makeLibp2pNode(components: Libp2pNodeComponents, init: Libp2pNodeInit): Promise<Libp2pNode> {
  const { admission } = components;
  const { limits } = init;
  const socketOptions = { noDelay: true, keepAlive: true, highWaterMark: socketBufferBytes };
  const makeMuxer = yamux({
    maxInboundStreams: limits.peerStreamsCount,
    maxOutboundStreams: limits.peerStreamsCount,
    streamOptions: {
      maxStreamWindowSize: limits.peerStreamWindowBytes,
      maxReadBufferLength: limits.peerStreamWindowBytes,
    },
  });
  return createLibp2p({
    start: false,
    privateKey: init.privateKey,
    nodeInfo: { name: "costor", version: "1", userAgent: "costor" },
    addresses: {
      listen: [...init.listen, ...Array.from({ length: limits.peerRelaysCount }, () => "/p2p-circuit")],
      announceFilter: (addresses) => announcedOr(addresses, init.announced()),
    },
    transports: [
      tcp({ listenOpts: socketOptions, dialOpts: socketOptions, maxConnections: 2 * limits.peerConnectionsCount }),
      webSockets(),
      circuitRelayTransport(),
    ],
    connectionEncrypters: [noiseStreams()],
    streamMuxers: [() => guardMuxer(makeMuxer(), { limits })],
    connectionGater: admission.gater(),
    // Its pings would reach unknown peers too; keep-alive.ts asks the members.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: limits.peerConnectionsCount,
      maxIncomingPendingConnections: limits.peerConnectionsPendingCount,
      inboundConnectionThreshold: limits.peerConnectionsPerAddressPerSecondCount,
      inboundUpgradeTimeout: limits.peerHandshakeMs,
      inboundStreamProtocolNegotiationTimeout: limits.peerProtocolMs,
      outboundStreamProtocolNegotiationTimeout: limits.peerProtocolMs,
      dialTimeout: limits.peerDialMs,
      addressDialTimeout: limits.peerAddressDialMs,
      maxPeerAddrsToDial: limits.peerAddressesCount,
      maxParallelDials: limits.peerDialsCount,
    },
    services: {
      // First, so that it stands before what the others register.
      gate: protocolGate(components, init),
      identify: identify({ runOnConnectionOpen: false }),
      ping: ping(),
      gossip: gossipService(limits),
      relay: circuitRelayServer({
        maxInboundHopStreams: limits.peerRelayedConnectionsCount,
        maxOutboundStopStreams: limits.peerStreamsCount,
        reservations: { maxReservations: limits.peerRelayedCount, applyDefaultLimit: false },
      }),
      ...(init.mdns ? { lan: lanDiscovery(components.onFoundOnLan) } : {}),
    },
  });
}

/** What people have announced instead of all others; what of it is no multiaddr is left out. */
function announcedOr(addresses: Multiaddr[], texts: readonly string[]): Multiaddr[] {
  if (texts.length === 0) return addresses;
  return texts.flatMap((text) => {
    try {
      return [multiaddr(text)];
    } catch {
      return [];
    }
  });
}
