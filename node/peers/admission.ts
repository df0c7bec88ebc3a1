/**
 * Who may connect, asked at each point where js-libp2p asks: members and guests; unknown peers, few and for a short time,
 * for the protocols that are open to strangers; and those that this site dials though they are strangers here. Whoever is none
 * of these is refused as soon as Noise has told who it is, before the multiplexer exists.
 */
import type { ConnectionGater, MultiaddrConnection, PeerId } from "@libp2p/interface";
import { getNetConfig, isNetworkAddress } from "@libp2p/utils";
import type { Multiaddr } from "@multiformats/multiaddr";
import { PeerViolation } from "./muxer-guard.ts";
import { peerKeyOf } from "./peer-identity.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { RefusalLog } from "./refusal-log.ts";
import type { PeerKey } from "#protocol/ids.ts";

export interface AdmissionComponents {
  /** Members and guests. */
  mayConnect(peer: PeerKey): boolean;
  /** Names of the protocols that unknown peers may open now. */
  strangerProtocols(): readonly string[];
  readonly refusals: RefusalLog;
}

export class Admission {
  private readonly components: AdmissionComponents;
  private readonly limits: PeerLimits;
  private readonly pendingByAddress = new Map<string, number>();
  /** Connections whose peer is not known yet, with their address. */
  private readonly pending = new Map<MultiaddrConnection, string>();
  /** Connections of peers that were let in unknown, with their address, from when Noise has told who it is. */
  private readonly strangers = new Map<MultiaddrConnection, { readonly peer: PeerKey; readonly address: string }>();
  /** Strangers that are dialled, with how many dials need them. */
  private readonly dialled = new Map<PeerKey, number>();

  constructor(components: AdmissionComponents, init: { limits: PeerLimits }) {
    this.components = components;
    this.limits = init.limits;
  }

  isMember(peerId: PeerId): boolean {
    const peer = peerKeyOf(peerId);
    return peer !== undefined && this.components.mayConnect(peer);
  }

  isDialled(peerId: PeerId): boolean {
    const peer = peerKeyOf(peerId);
    return peer !== undefined && this.dialled.has(peer);
  }

  /** Whether the peer may open or be asked for this protocol. */
  allows(peerId: PeerId, protocolName: string): boolean {
    if (this.isMember(peerId)) return true;
    return this.components.strangerProtocols().includes(protocolName);
  }

  /** While `work` lasts, the peer may be dialled though it is no member here. */
  async withStranger<T>(peer: PeerKey, work: () => Promise<T>): Promise<T> {
    this.dialled.set(peer, (this.dialled.get(peer) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const count = this.dialled.get(peer)! - 1;
      if (count > 0) this.dialled.set(peer, count);
      else this.dialled.delete(peer);
    }
  }

  gater(): ConnectionGater {
    return {
      denyDialPeer: (peerId) => !this.mayDial(peerId),
      denyInboundConnection: (connection) => this.denyPending(connection),
      denyInboundEncryptedConnection: (peerId, connection) => this.denyInbound(peerId, connection),
      denyOutboundEncryptedConnection: (peerId, connection) => {
        this.logViolation(peerId, connection);
        return !this.mayDial(peerId);
      },
      denyInboundRelayReservation: (peerId) => this.denyRelay(peerId, "asked to be relayed to"),
      denyOutboundRelayedConnection: (source, destination) =>
        this.denyRelay(source, "asked to be relayed") ||
        this.denyRelay(destination, "somebody asked to be relayed to it"),
      denyInboundRelayedConnection: (_relay, peerId) => this.denyRelay(peerId, "came through a relay"),
      filterMultiaddrForPeer: (peerId) => this.isMember(peerId),
    };
  }

  private mayDial(peerId: PeerId): boolean {
    return this.isMember(peerId) || this.isDialled(peerId);
  }

  /** Nobody knows yet who it is; only what one address may hold is bounded. */
  private denyPending(connection: MultiaddrConnection): boolean {
    const address = addressOf(connection.remoteAddr);
    const count = this.pendingByAddress.get(address) ?? 0;
    if (count >= this.limits.peerConnectionsPendingPerAddressCount) {
      this.components.refusals.refused("too many connections that do not say who they are", address);
      return true;
    }
    this.pendingByAddress.set(address, count + 1);
    this.pending.set(connection, address);
    connection.addEventListener("close", () => {
      if (this.endPending(connection)) this.components.refusals.refused("no handshake of a site's machine", address);
    });
    return false;
  }

  private endPending(connection: MultiaddrConnection): boolean {
    const address = this.pending.get(connection);
    if (address === undefined) return false;
    this.pending.delete(connection);
    const left = this.pendingByAddress.get(address)! - 1;
    if (left > 0) this.pendingByAddress.set(address, left);
    else this.pendingByAddress.delete(address);
    return true;
  }

  private denyInbound(peerId: PeerId, connection: MultiaddrConnection): boolean {
    this.endPending(connection);
    this.logViolation(peerId, connection);
    const peer = peerKeyOf(peerId);
    const address = addressOf(connection.remoteAddr);
    if (peer !== undefined && this.components.mayConnect(peer)) return false;
    if (peer === undefined || this.components.strangerProtocols().length === 0) {
      this.components.refusals.refused("not a member", address);
      return true;
    }
    const { peerStrangersCount, peerStrangersPerAddressCount } = this.limits;
    // Whoever has become known since is a stranger no more.
    const strangers = [...this.strangers.values()].filter((other) => !this.components.mayConnect(other.peer));
    const ofAddressCount = strangers.filter((other) => other.address === address).length;
    if (strangers.length >= peerStrangersCount || ofAddressCount >= peerStrangersPerAddressCount) {
      this.components.refusals.refused("too many strangers", address);
      return true;
    }
    if (connection.status !== "open") return true;
    this.strangers.set(connection, { peer, address });
    connection.addEventListener("close", () => this.strangers.delete(connection), { once: true });
    return false;
  }

  /** From when the peer is known: the multiplexer may end its connection before anybody else has seen it. */
  private logViolation(peerId: PeerId, connection: MultiaddrConnection): void {
    connection.addEventListener("close", ({ error }) => {
      if (error instanceof PeerViolation)
        this.components.refusals.refused(error.message, peerKeyOf(peerId) ?? peerId.toString());
    });
  }

  private denyRelay(peerId: PeerId, what: string): boolean {
    if (this.isMember(peerId)) return false;
    this.components.refusals.refused(`not a member, ${what}`, peerKeyOf(peerId) ?? peerId.toString());
    return true;
  }
}

/** Whom to hold responsible: an IPv4 address, an IPv6 /64, or the relay it comes through. */
export function addressOf(address: Multiaddr): string {
  if (!isNetworkAddress(address)) return "unknown";
  const { type, host } = getNetConfig(address);
  return type === "ip6" ? networkOf(host) : host;
}

/** The first four groups of an IPv6 address. */
function networkOf(host: string): string {
  const [head = "", tail] = host.split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const tailGroups = tail === "" ? [] : tail.split(":");
    while (groups.length + tailGroups.length < 8) groups.push("0");
    groups.push(...tailGroups);
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}
