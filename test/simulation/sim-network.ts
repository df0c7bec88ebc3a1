/**
 * A network in memory: the `Peers` port for many sites. Without faults and delays it needs no clock to go on, so it serves unit
 * tests too: `const network = new SimNetwork(); const peers = network.join(key); peers.serve(…); peers.start()`.
 *
 * A link is a direction between two sites. A channel over a link that is cut, or of which a frame is lost, breaks; what is
 * published is lost without a word.
 */
import type { Clock } from "#ledger/clock.ts";
import type { Doorkeeper } from "#node/federation/transport.ts";
import type { Rng } from "#ledger/rng.ts";
import { assertInvariant } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { SimPeers } from "./sim-peers.ts";
import type { VirtualTime } from "./virtual-time.ts";

export type NetworkEventListener = (what: string, from: PeerKey, to: PeerKey, bytesCount: number) => void;

/** How a site's line is; what it sends goes by it. */
export interface Line {
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly bytesPerSecond: number;
  /** Chance that a frame is lost, and its channel with it. */
  readonly breakRatio: number;
  readonly gossipLossRatio: number;
  readonly gossipDoubleRatio: number;
}

const perfectLine: Line = {
  latencyMs: 0,
  jitterMs: 0,
  bytesPerSecond: Infinity,
  breakRatio: 0,
  gossipLossRatio: 0,
  gossipDoubleRatio: 0,
};

export interface SimNetworkComponents {
  /** True time. Only asked when a line delays. */
  readonly clock: Clock;
  /** In place of sleeping on the clock. */
  readonly time?: Pick<VirtualTime, "after" | "afterEach">;
  /** Only asked when a line has jitter or faults. */
  readonly rng: Rng;
}

export interface SimNetworkInit {
  /** How long a dead connection looks alive. */
  readonly silenceMs?: number;
  /**
   * Mean pause before a machine dials again those that it keeps connections to and has not got; left out, links that are mended
   * connect at once.
   */
  readonly redialMs?: number;
  /** To how many others, of chance and then always the same, a machine keeps connections; to all when it is left out. */
  readonly degreeCount?: number;
  readonly onEvent?: NetworkEventListener;
  /** What a handler has thrown at `self`. */
  readonly onHandlerError?: (error: unknown, self: PeerKey) => void;
}

export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
  framesCount: number;
}

const HOP_COUNT = 3;

export class SimNetwork {
  readonly #components: SimNetworkComponents | undefined;
  readonly #init: SimNetworkInit;
  readonly #up = new Map<PeerKey, SimPeers>();
  readonly #lines = new Map<PeerKey, Line>();
  readonly #busyUntilMs = new Map<PeerKey, number>();
  /** By how many faults each link is cut. */
  readonly #cuts = new Map<string, number>();
  readonly #traffic = new Map<PeerKey, Map<string, Traffic>>();
  line: Line = perfectLine;

  constructor(components?: SimNetworkComponents, init: SimNetworkInit = {}) {
    this.#components = components;
    this.#init = init;
  }

  /** A machine that is not on the net before it starts. A site that comes back after a crash joins again. */
  join(self: PeerKey, doorkeeper?: Doorkeeper): SimPeers {
    return new SimPeers(this, self, doorkeeper);
  }

  /** The line of one site; undefined is that of all others. */
  shape(site: PeerKey, line: Line | undefined): void {
    if (line) this.#lines.set(site, line);
    else this.#lines.delete(site);
  }

  /** Cuts a link, one way. Its connection dies after a while, if it is not mended before. */
  cut(from: PeerKey, to: PeerKey): void {
    const link = `${from} ${to}`;
    this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1);
    this.#after(this.#init.silenceMs ?? 0, () => {
      if (!this.canConnect(from, to)) this.#up.get(from)?.lose(to);
    });
  }

  /** Takes one cut back; a link that was cut twice stays cut. */
  mend(from: PeerKey, to: PeerKey): void {
    const link = `${from} ${to}`;
    const cutsCount = (this.#cuts.get(link) ?? 0) - 1;
    if (cutsCount > 0) this.#cuts.set(link, cutsCount);
    else if (this.#cuts.delete(link) && this.#init.redialMs === undefined) this.connect(from, to);
  }

  mendAll(): void {
    const links = [...this.#cuts.keys()];
    this.#cuts.clear();
    if (this.#init.redialMs !== undefined) return;
    for (const link of links) this.connect(...(link.split(" ") as [PeerKey, PeerKey]));
  }

  canPass(from: PeerKey, to: PeerKey): boolean {
    if (!this.#up.has(to) || !this.#up.has(from)) return false;
    return this.#cuts.size === 0 || !this.#cuts.has(`${from} ${to}`);
  }

  canReach(one: PeerKey, other: PeerKey): boolean {
    return this.canPass(one, other) && this.canPass(other, one);
  }

  /** Whether both reach each other and want to. */
  canConnect(one: PeerKey, other: PeerKey): boolean {
    return this.canReach(one, other) && this.#up.get(one)!.admits(other) && this.#up.get(other)!.admits(one);
  }

  up(key: PeerKey): SimPeers | undefined {
    return this.#up.get(key);
  }

  /** Bytes and frames of a site by protocol; "gossip" is what is published. */
  traffic(site: PeerKey, protocol: string): Traffic {
    let protocols = this.#traffic.get(site);
    if (!protocols) this.#traffic.set(site, (protocols = new Map()));
    let traffic = protocols.get(protocol);
    if (!traffic) protocols.set(protocol, (traffic = { sentBytes: 0, receivedBytes: 0, framesCount: 0 }));
    return traffic;
  }

  /** Of all sites, whatever became of it. */
  sent(): { sentBytes: number; framesCount: number } {
    const all = [...this.#traffic.values()].flatMap((protocols) => [...protocols.values()]);
    return {
      sentBytes: all.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
      framesCount: all.reduce((sum, { framesCount }) => sum + framesCount, 0),
    };
  }

  enter(peers: SimPeers): void {
    assertInvariant(!this.#up.has(peers.self), "a machine is on the net once", { self: peers.self });
    this.#up.set(peers.self, peers);
    this.meet(peers);
  }

  /** Chooses whom a machine keeps connections to, as long as they are too few, and dials those that it is not connected with. */
  meet(peers: SimPeers): void {
    const { degreeCount = Infinity } = this.#init;
    const { kept } = peers;
    for (const key of kept) if (!peers.admits(key)) kept.delete(key);
    const others = [...this.#up.keys()].filter((key) => key !== peers.self && !kept.has(key) && peers.admits(key));
    while (kept.size < degreeCount && others.length > 0) {
      const at = degreeCount === Infinity ? 0 : Math.floor(this.#fraction() * others.length);
      kept.add(others.splice(at, 1)[0]!);
    }
    for (const key of kept) if (!peers.isConnected(key)) this.connect(peers.self, key);
    this.redialSoon(peers);
  }

  /** A machine lacks some of its connections, perhaps. */
  redialSoon(peers: SimPeers): void {
    const { redialMs } = this.#init;
    if (redialMs === undefined || peers.isRedialling || [...peers.kept].every((key) => peers.isConnected(key))) return;
    peers.isRedialling = true;
    this.#after(redialMs * (0.5 + this.#fraction()), () => {
      peers.isRedialling = false;
      if (peers.isUp) this.meet(peers);
    });
  }

  leave(peers: SimPeers): void {
    if (this.#up.get(peers.self) === peers) this.#up.delete(peers.self);
  }

  connect(one: PeerKey, other: PeerKey): void {
    if (!this.canConnect(one, other)) return;
    this.#up.get(one)!.gain(other);
    this.#up.get(other)!.gain(one);
  }

  /** Carries a frame of a channel; it arrives, or `fail` is called. Frames of a link arrive in their order. */
  carry(
    from: SimPeers,
    to: SimPeers,
    protocol: string,
    bytesCount: number,
    arrive: () => void,
    fail: () => void,
  ): void {
    const line = this.#lineOf(from.self);
    const delayMs = this.#delayMs(from.self, line, bytesCount);
    this.traffic(from.self, protocol).sentBytes += bytesCount;
    const isLost = line.breakRatio > 0 && this.#fraction() < line.breakRatio;
    this.#after(delayMs, () => {
      const passes = !isLost && from.isUp && to.isUp && this.canPass(from.self, to.self);
      this.#init.onEvent?.(passes ? protocol : `lost ${protocol}`, from.self, to.self, bytesCount);
      if (!passes) return fail();
      const traffic = this.traffic(to.self, protocol);
      traffic.receivedBytes += bytesCount;
      traffic.framesCount++;
      to.hears();
      arrive();
    });
  }

  /** Published messages reach whoever can be reached, by others or not. */
  spread(from: SimPeers, message: Uint8Array): void {
    const line = this.#lineOf(from.self);
    const arrivals = new Map<number, SimPeers[]>();
    for (const to of this.#up.values()) {
      if (to === from || to.topic !== from.topic || !to.admits(from.self)) continue;
      if (line.gossipLossRatio > 0 && this.#fraction() < line.gossipLossRatio) continue;
      const times = line.gossipDoubleRatio > 0 && this.#fraction() < line.gossipDoubleRatio ? 2 : 1;
      for (let time = 0; time < times; time++) {
        // Each copy takes a way of its own, so that copies and messages overtake each other.
        const hopsCount = line.jitterMs > 0 ? 1 + Math.floor(this.#fraction() * HOP_COUNT) : 1;
        const delayMs = Math.ceil(this.#delayMs(from.self, line, message.length) * hopsCount);
        this.traffic(from.self, "gossip").sentBytes += message.length;
        const together = arrivals.get(delayMs);
        if (together) together.push(to);
        else arrivals.set(delayMs, [to]);
      }
    }
    for (const [delayMs, receivers] of arrivals)
      this.#afterEach(delayMs, receivers, (to) => {
        if (!to.isUp || !this.canPass(from.self, to.self)) return;
        this.#init.onEvent?.("gossip", from.self, to.self, message.length);
        this.traffic(to.self, "gossip").receivedBytes += message.length;
        to.hear(message);
      });
  }

  /** How long it takes until the first bytes could be there and back. */
  roundTripMs(one: PeerKey, other: PeerKey): number {
    return this.#lineOf(one).latencyMs + this.#lineOf(other).latencyMs;
  }

  /** Resolves after so long, without a clock when that is no time. */
  pass(durationMs: number, signal?: AbortSignal): Promise<void> | undefined {
    return durationMs > 0 ? this.#components!.clock.sleep(durationMs, signal) : undefined;
  }

  handlerFailed(error: unknown, self: PeerKey): void {
    this.#init.onHandlerError?.(error, self);
  }

  #lineOf(site: PeerKey): Line {
    return this.#lines.get(site) ?? this.line;
  }

  #delayMs(from: PeerKey, { latencyMs, jitterMs, bytesPerSecond }: Line, bytesCount: number): number {
    let delayMs = latencyMs;
    if (jitterMs > 0) delayMs += this.#fraction() * jitterMs;
    if (bytesPerSecond !== Infinity) {
      const nowMs = this.#components!.clock.elapsedMs();
      const doneMs = Math.max(nowMs, this.#busyUntilMs.get(from) ?? 0) + (bytesCount * 1000) / bytesPerSecond;
      this.#busyUntilMs.set(from, doneMs);
      delayMs += doneMs - nowMs;
    }
    return delayMs;
  }

  #fraction(): number {
    return this.#components!.rng.fraction();
  }

  #after(delayMs: number, action: () => void): void {
    if (delayMs <= 0) return queueMicrotask(action);
    const { clock, time } = this.#components!;
    if (time === undefined) void clock.sleep(delayMs).then(action);
    else time.after(delayMs, action);
  }

  #afterEach(delayMs: number, receivers: readonly SimPeers[], action: (to: SimPeers) => void): void {
    const { time } = this.#components ?? {};
    if (time !== undefined && delayMs > 0) time.afterEach(delayMs, receivers, action);
    else for (const to of receivers) this.#after(delayMs, () => action(to));
  }
}
