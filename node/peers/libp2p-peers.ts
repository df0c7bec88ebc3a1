/**
 * The site's {@link Peers}: libp2p over TCP and WebSockets, Noise and Yamux. Who may connect is {@link Admission}'s to say;
 * a connection to whoever may no longer ends here. A member that cannot be dialled is reached through members that both know.
 */
import type { Connection, PeerInfo } from "@libp2p/interface";
import { Admission } from "./admission.ts";
import { endGossip, Gossip } from "./gossip.ts";
import { keepAlive } from "./keep-alive.ts";
import { KeptConnections } from "./kept-connections.ts";
import { type Libp2pNode, makeLibp2pNode } from "./libp2p-node.ts";
import { listenFailure } from "./listen-failure.ts";
import { PeerDialler, unreachable } from "./peer-dialler.ts";
import { peerIdOf, peerKeyOf, privateKeyFrom } from "./peer-identity.ts";
import { type PeerLimits, peerLimits } from "./peer-limits.ts";
import { type PeersLog, RefusalLog } from "./refusal-log.ts";
import { boundRelaying } from "./relay-flow.ts";
import { ServedProtocols } from "./served-protocols.ts";
import { StreamChannel } from "./stream-channel.ts";
import { assertInvariant } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import type { Channel, Peers, Protocol } from "#ledger/peers.ts";

export interface Libp2pPeersComponents {
  readonly log: PeersLog;
  /** Members and guests. */
  mayConnect(peer: PeerKey): boolean;
  /** All for which {@link mayConnect} holds. */
  members(): readonly PeerKey[];
  /** Names of the protocols that unknown peers may open now. */
  strangerProtocols(): readonly string[];
  /** Multiaddr texts of the peer's profile. */
  addressesOf(peer: PeerKey): readonly string[];
  /** By which people want this site to be reached, and by no others; none: by those at which it listens. */
  announcedAddresses(): readonly string[];
}

export interface Libp2pPeersInit {
  /** Ed25519 seed of this machine's identity, 32 bytes. */
  readonly peerSeed: Uint8Array;
  /** Multiaddr texts; none for a site that only dials. */
  readonly listen: readonly string[];
  /** Of the federation's gossip; undefined before there is one. */
  readonly topic?: string;
  /** Whether members on the LAN are looked for. */
  readonly mdns: boolean;
  readonly limits?: Partial<PeerLimits>;
}

export class Libp2pPeers implements Peers, AsyncDisposable {
  readonly self: PeerKey;
  private readonly components: Libp2pPeersComponents;
  private readonly limits: PeerLimits;
  private readonly admission: Admission;
  private readonly refusals: RefusalLog;
  private readonly served: ServedProtocols;
  private readonly node: Libp2pNode;
  private readonly dialler: PeerDialler;
  private readonly gossip: Gossip;
  private readonly kept: KeptConnections;
  private topic: string | undefined;
  private readonly connectedListeners: ((peer: PeerKey) => void)[] = [];
  private readonly publishedListeners: ((message: Uint8Array) => void)[] = [];
  /** Connections of members. */
  private readonly welcomed = new Map<Connection, PeerKey>();
  /** Those whose peer has said what it speaks: it does not while it does not know this machine. */
  private readonly identified = new WeakSet<Connection>();
  private isStarted = false;

  /** Does not listen or dial before {@link start}. */
  static async create(components: Libp2pPeersComponents, init: Libp2pPeersInit): Promise<Libp2pPeers> {
    const limits = peerLimits(init.limits);
    const refusals = new RefusalLog(components, { limits });
    const admission = new Admission({ ...callable(components), refusals }, { limits });
    const served = new ServedProtocols({ log: components.log, refusals }, { limits });
    const made: { peers?: Libp2pPeers } = {};
    const node = await makeLibp2pNode(
      { admission, refusals, onFoundOnLan: (found) => made.peers?.onFoundOnLan(found) },
      {
        privateKey: await privateKeyFrom(init.peerSeed),
        listen: init.listen,
        announced: () => components.announcedAddresses(),
        mdns: init.mdns,
        limits,
        ownProtocols: served.names,
      },
    );
    return (made.peers = new Libp2pPeers(components, init, { limits, refusals, admission, served, node }));
  }

  private constructor(
    components: Libp2pPeersComponents,
    init: Libp2pPeersInit,
    parts: {
      limits: PeerLimits;
      refusals: RefusalLog;
      admission: Admission;
      served: ServedProtocols;
      node: Libp2pNode;
    },
  ) {
    this.components = components;
    const { limits, node, admission } = parts;
    this.limits = limits;
    this.refusals = parts.refusals;
    this.admission = admission;
    this.served = parts.served;
    this.node = node;
    this.topic = init.topic;
    const self = peerKeyOf(node.peerId);
    assertInvariant(self !== undefined, "this machine has an Ed25519 key");
    this.self = self;
    const addressesOf = (peer: PeerKey): readonly string[] => components.addressesOf(peer);
    this.dialler = new PeerDialler({ node, addressesOf, isMember: (peerId) => admission.isMember(peerId) }, { limits });
    this.gossip = new Gossip(
      {
        gossipsub: node.services.gossip,
        onMessage: (message) => this.publishedListeners.forEach((listener) => listener(message)),
      },
      { limits },
    );
    this.kept = new KeptConnections(
      {
        members: () => components.members().filter((peer) => peer !== self),
        addressesOf,
        isConnected: (peer) => this.dialler.existing(peerIdOf(peer))?.direct === true,
        dial: (peer) => this.dialler.connectDirectly(peer),
      },
      { limits },
    );
  }

  /** Throws `listen-failed`. */
  async start(): Promise<void> {
    assertInvariant(!this.isStarted, "the transport is started once");
    this.isStarted = true;
    const { node } = this;
    node.addEventListener("connection:open", ({ detail }) => this.onConnection(detail));
    await this.served.register((name, onStream) =>
      node.handle(name, onStream, {
        maxInboundStreams: this.limits.peerStreamsCount,
        maxOutboundStreams: this.limits.peerStreamsCount,
      }),
    );
    try {
      await node.start();
    } catch (cause) {
      throw listenFailure(cause);
    }
    this.gossip.setTopic(this.topic);
    this.kept.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kept.stop();
    await this.node.stop();
  }

  async open(peer: PeerKey, protocol: Protocol, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted();
    if (!this.components.mayConnect(peer)) throw unreachable(peer, "the peer is no member");
    return this.openOn(await this.dialler.connect(peer, signal), peer, protocol, signal);
  }

  /**
   * A channel to a machine that is no member's here yet. Its connection ends with the channel, and after half a minute. Throws as
   * {@link open} does.
   */
  async dialStranger(
    peer: PeerKey,
    addresses: readonly string[],
    protocol: Protocol,
    signal?: AbortSignal,
  ): Promise<Channel> {
    return this.admission.withStranger(peer, async () => {
      const connection = await this.dialler.connectAt(peer, addresses, signal);
      return this.openOn(connection, peer, protocol, signal, () => {
        if (!this.welcomed.has(connection)) this.dialler.leave(connection);
      });
    });
  }

  serve(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void {
    assertInvariant(!this.isStarted, "protocols are served before the transport is started", { name: protocol.name });
    this.served.add(protocol, handler);
  }

  connected(): readonly PeerKey[] {
    return [...new Set(this.welcomed.values())];
  }

  onConnected(listener: (peer: PeerKey) => void): void {
    this.connectedListeners.push(listener);
  }

  publish(message: Uint8Array): void {
    assertInvariant(message.length <= this.limits.gossipMessageBytes, "a message fits", { length: message.length });
    this.gossip.publish(message).catch((error: unknown) => {
      this.components.log.info({ err: error }, "a message was not spread");
    });
  }

  onPublished(listener: (message: Uint8Array) => void): void {
    this.publishedListeners.push(listener);
  }

  /** The federation's topic, once there is a federation; undefined for none. */
  setTopic(topic: string | undefined): void {
    this.topic = topic;
    if (this.node.status === "started") this.gossip.setTopic(topic);
  }

  /** Members or their addresses are others than before: whoever may not connect any more is disconnected. */
  membershipChanged(): void {
    for (const connection of this.node.getConnections()) {
      const isMember = this.admission.isMember(connection.remotePeer);
      if (isMember && this.welcomed.has(connection)) this.identify(connection);
      else if (isMember) this.welcome(connection);
      else if (this.welcomed.has(connection)) {
        this.refusals.refused("no member any more", this.welcomed.get(connection)!);
        connection.abort(new Error("not a member any more"));
      }
    }
    this.kept.membersChanged();
  }

  /** Multiaddr texts by which this site may be reached, for its profile; those through relays with them. */
  addresses(): readonly string[] {
    return this.node.getMultiaddrs().map((address) => address.toString());
  }

  onAddressesChanged(listener: () => void): void {
    this.node.addEventListener("self:peer:update", () => listener());
  }

  private async openOn(
    connection: Connection,
    peer: PeerKey,
    protocol: Protocol,
    signal?: AbortSignal,
    onClosed?: () => void,
  ): Promise<Channel> {
    try {
      const late = AbortSignal.timeout(this.limits.peerProtocolMs);
      const stream = await connection.newStream(protocol.name, {
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
        maxOutboundStreams: this.limits.peerStreamsCount,
      });
      if (onClosed !== undefined) stream.addEventListener("close", onClosed, { once: true });
      return new StreamChannel(stream, { peer, protocol, limits: this.limits });
    } catch (cause) {
      signal?.throwIfAborted();
      onClosed?.();
      throw unreachable(peer, `the peer does not open ${protocol.name}`, cause);
    }
  }

  private onConnection(connection: Connection): void {
    const { remotePeer } = connection;
    if (this.admission.isMember(remotePeer)) return this.welcome(connection);
    if (!this.admission.isDialled(remotePeer) && this.components.strangerProtocols().length === 0)
      return connection.abort(new Error("not a member any more"));
    const late = setTimeout(() => {
      if (!this.welcomed.has(connection)) connection.abort(new Error("a connection to a stranger is short"));
    }, this.limits.peerStrangerConnectionMs);
    late.unref();
    connection.addEventListener("close", () => clearTimeout(late), { once: true });
  }

  private welcome(connection: Connection): void {
    const peer = peerKeyOf(connection.remotePeer);
    if (peer === undefined || this.welcomed.has(connection) || connection.status !== "open") return;
    const others = [...this.welcomed].filter(([, key]) => key === peer).map(([other]) => other);
    this.welcomed.set(connection, peer);
    connection.addEventListener(
      "close",
      () => {
        this.welcomed.delete(connection);
        this.beginGossipAgain(peer);
      },
      { once: true },
    );
    // The oldest is the likeliest to be dead.
    others
      .slice(0, Math.max(0, others.length + 1 - this.limits.peerConnectionsPerPeerCount))
      .forEach((other) => other.abort(new Error("one connection too many")));
    boundRelaying(connection, this.limits.peerUnreadBytes);
    keepAlive(connection, this.limits, () => this.identify(connection));
    this.identify(connection);
    if (others.length === 0) this.connectedListeners.forEach((listener) => listener(peer));
  }

  /**
   * Gossip runs on one connection of a peer and ends with it; gossipsub takes the next when that is identified. The two sides
   * may notice the end seconds apart, and what one has begun anew the other then forgets: so both begin from nothing.
   */
  private beginGossipAgain(peer: PeerKey): void {
    for (const [other, key] of this.welcomed) {
      if (key !== peer) continue;
      // Once gossipsub has seen its streams end.
      const later = setTimeout(() => {
        endGossip(other);
        this.identified.delete(other);
        this.identify(other);
      }, this.limits.peerRedialMinMs);
      later.unref();
    }
  }

  /** What it speaks; gossip and relays go by that. */
  private identify(connection: Connection): void {
    if (this.identified.has(connection)) return;
    this.identified.add(connection);
    this.node.services.identify.identify(connection).catch(() => this.identified.delete(connection));
  }

  private onFoundOnLan({ id, multiaddrs }: PeerInfo): void {
    const peer = peerKeyOf(id);
    if (peer === undefined || !this.components.mayConnect(peer)) return;
    const addresses = multiaddrs.slice(0, this.limits.peerAddressesCount);
    this.node.peerStore.merge(id, { multiaddrs: addresses }).then(
      () => this.kept.seen(peer),
      () => {},
    );
  }
}

/** The functions without their object. */
const callable = (components: Libp2pPeersComponents) => ({
  mayConnect: (peer: PeerKey) => components.mayConnect(peer),
  strangerProtocols: () => components.strangerProtocols(),
});
