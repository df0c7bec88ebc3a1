/** One machine on a `SimNetwork`. */
import type { Channel, Protocol } from "#ledger/peers.ts";
import type { Doorkeeper, Transport } from "#node/federation/transport.ts";
import { CostorError, assertInvariant } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { SimChannel } from "./sim-channel.ts";
import type { SimNetwork } from "./sim-network.ts";

/** One machine's view of the network, from one start to its end. */
export class SimPeers implements Transport {
  readonly self: PeerKey;
  readonly #network: SimNetwork;
  readonly #served = new Map<string, { protocol: Protocol; handler: (channel: Channel) => Promise<void> }>();
  readonly #connected = new Set<PeerKey>();
  readonly #connectedListeners: ((peer: PeerKey) => void)[] = [];
  readonly #publishedListeners: ((message: Uint8Array) => void)[] = [];
  readonly #channels = new Set<SimChannel>();
  /** By peer and protocol. */
  readonly #servingCounts = new Map<string, number>();
  readonly #doorkeeper: Doorkeeper | undefined;
  /** What the doorkeeper has said; it thinks long. */
  readonly #admitted = new Map<PeerKey, boolean>();
  /** Those that it dials until it is connected with them. */
  readonly kept = new Set<PeerKey>();
  isRedialling = false;
  /** Whether a frame or message has come from another machine. */
  hasHeard = false;
  /** Called before the first one comes. */
  onHearing = (): void => {};
  #topic = "";
  #state: "new" | "up" | "gone" | "crashed" = "new";

  constructor(network: SimNetwork, self: PeerKey, doorkeeper?: Doorkeeper) {
    this.#network = network;
    this.self = self;
    this.#doorkeeper = doorkeeper;
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  async start(): Promise<void> {
    assertInvariant(this.#state === "new", "a machine starts once", { self: this.self });
    this.#state = "up";
    this.#network.enter(this);
  }

  /** Leaves the net for good: all its channels break. */
  stop(): void {
    this.#leave();
    for (const channel of [...this.#channels]) channel.abort();
  }

  /** The same, and whoever waits on this machine for the network waits for ever. */
  crash(): void {
    this.#leave();
    this.#state = "crashed";
    for (const channel of [...this.#channels]) channel.die();
  }

  #leave(): void {
    if (this.#state !== "up") return;
    this.#state = "gone";
    this.#network.leave(this);
    for (const peer of [...this.#connected]) this.#disconnect(peer);
  }

  async open(peer: PeerKey, protocol: Protocol, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted();
    await this.#network.pass(this.#network.roundTripMs(this.self, peer), signal);
    if (this.#state === "crashed") await new Promise(() => {});
    const other = this.#network.up(peer);
    if (!this.isUp || peer === this.self || !other || !this.#network.canReach(this.self, peer) || !this.admits(peer))
      throw unreachable(peer, "it is not reached");
    if (other.admits(this.self)) this.#network.connect(this.self, peer);
    else if (!other.letsStrangersOpen(protocol)) throw unreachable(peer, "it lets no strangers in");
    return other.#accept(this, protocol);
  }

  serve(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void {
    assertInvariant(this.#state === "new", "protocols are served from the start", { protocol: protocol.name });
    assertInvariant(!this.#served.has(protocol.name), "a protocol is served once", { protocol: protocol.name });
    this.#served.set(protocol.name, { protocol, handler });
  }

  async dialStranger(
    peer: PeerKey,
    _addresses: readonly string[],
    protocol: Protocol,
    signal?: AbortSignal,
  ): Promise<Channel> {
    signal?.throwIfAborted();
    await this.#network.pass(this.#network.roundTripMs(this.self, peer), signal);
    if (this.#state === "crashed") await new Promise(() => {});
    const other = this.#network.up(peer);
    if (!other || !this.#network.canReach(this.self, peer) || !other.letsStrangersOpen(protocol))
      throw unreachable(peer, "it is not reached, or lets nobody in");
    return other.#accept(this, protocol);
  }

  letsStrangersOpen({ name }: Protocol): boolean {
    return this.#doorkeeper?.strangerProtocols().includes(name) ?? false;
  }

  /** Whether this machine wants to be connected with a peer. */
  admits(peer: PeerKey): boolean {
    if (!this.#doorkeeper) return true;
    let isAdmitted = this.#admitted.get(peer);
    if (isAdmitted === undefined) this.#admitted.set(peer, (isAdmitted = this.#doorkeeper.mayConnect(peer)));
    return isAdmitted;
  }

  /** Who may connect is looked at again, now. */
  membershipChanged(): void {
    this.#admitted.clear();
    if (!this.isUp) return;
    for (const peer of [...this.#connected]) if (!this.admits(peer)) this.lose(peer);
    this.#network.meet(this);
  }

  get topic(): string {
    return this.#topic;
  }

  setTopic(topic: string): void {
    this.#topic = topic;
  }

  /** Of no use to anybody: who has a key finds its machine. */
  addresses(): readonly string[] {
    return [`/dns4/${this.self.slice(0, 8)}.example/tcp/8444`];
  }

  onAddressesChanged(): void {}

  connected(): readonly PeerKey[] {
    return [...this.#connected];
  }

  isConnected(peer: PeerKey): boolean {
    return this.#connected.has(peer);
  }

  onConnected(listener: (peer: PeerKey) => void): void {
    this.#connectedListeners.push(listener);
  }

  publish(message: Uint8Array): void {
    if (this.isUp) this.#network.spread(this, Uint8Array.prototype.slice.call(message));
  }

  onPublished(listener: (message: Uint8Array) => void): void {
    this.#publishedListeners.push(listener);
  }

  gain(peer: PeerKey): void {
    if (this.#connected.has(peer)) return;
    this.#connected.add(peer);
    for (const listener of this.#connectedListeners)
      queueMicrotask(() => {
        if (this.isUp) listener(peer);
      });
  }

  /** The connection with a peer is lost, with its channels. */
  lose(peer: PeerKey): void {
    this.#disconnect(peer);
    for (const channel of [...this.#channels]) if (channel.peer === peer) channel.abort();
  }

  #disconnect(peer: PeerKey): void {
    this.#connected.delete(peer);
    const other = this.#network.up(peer);
    if (this.isUp) this.#network.redialSoon(this);
    if (!other) return;
    other.#connected.delete(this.self);
    this.#network.redialSoon(other);
  }

  /** Something comes from another machine. */
  hears(): void {
    if (this.hasHeard) return;
    this.onHearing();
    this.hasHeard = true;
  }

  hear(message: Uint8Array): void {
    this.hears();
    for (const listener of this.#publishedListeners) listener(message);
  }

  /** Opens a channel from `opener` to this machine, and gives the opener its end. */
  #accept(opener: SimPeers, asked: Protocol): SimChannel {
    const served = this.#served.get(asked.name);
    if (!served) throw unreachable(this.self, `it does not serve ${asked.name}`);
    const { protocol, handler } = served;
    const place = `${opener.self} ${protocol.name}`;
    const servingCount = this.#servingCounts.get(place) ?? 0;
    if (servingCount >= protocol.maxChannelsPerPeerCount) throw unreachable(this.self, "it has too many channels open");
    this.#servingCounts.set(place, servingCount + 1);
    const carried = (from: SimPeers, to: SimPeers) => (bytesCount: number, arrive: () => void) =>
      this.#network.carry(from, to, protocol.name, bytesCount, arrive, () => theirs.abort());
    const [ours, theirs] = SimChannel.pair(
      {
        peer: opener.self,
        maxFrameBytes: protocol.maxFrameBytes,
        carry: carried(this, opener),
        onEnded: () => this.#channels.delete(ours),
      },
      {
        peer: this.self,
        maxFrameBytes: asked.maxFrameBytes,
        carry: carried(opener, this),
        onEnded: () => opener.#channels.delete(theirs),
      },
    );
    this.#channels.add(ours);
    opener.#channels.add(theirs);
    queueMicrotask(() => void this.#serveChannel(ours, handler, place));
    return theirs;
  }

  async #serveChannel(channel: SimChannel, handler: (channel: Channel) => Promise<void>, place: string): Promise<void> {
    try {
      await handler(channel);
      channel.finish();
    } catch (error) {
      this.#network.handlerFailed(error, this.self);
      channel.abort();
    } finally {
      this.#servingCounts.set(place, this.#servingCounts.get(place)! - 1);
    }
  }
}

const unreachable = (peer: PeerKey, why: string): CostorError =>
  new CostorError("peer-unreachable", `site ${peer}: ${why}`);
