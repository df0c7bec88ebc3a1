/**
 * Which members a site keeps connections to, and when it dials them again: all of a few, some at random of many. Pauses
 * double with each failure, with chance in them, so that not all dial at once when a line comes back. Who has many members, and is connected
 * with next to none of those that it dials, tries others in place of them: they may be off for good.
 */
import { randomInt } from "node:crypto";
import type { PeerLimits } from "./peer-limits.ts";
import type { PeerKey } from "#protocol/ids.ts";

export interface KeptConnectionsComponents {
  /** Members and guests but this site's machine itself. */
  members(): readonly PeerKey[];
  addressesOf(peer: PeerKey): readonly string[];
  /** Directly: a connection through a relay is one to make better. */
  isConnected(peer: PeerKey): boolean;
  /** Rejects when the peer is not reached, or not better than it is. */
  dial(peer: PeerKey): Promise<void>;
}

/** As many of many as news needs to come and go; with fewer, others are tried. In a cut in two halves nobody has fewer, and all dial the other side. */
const leastConnectedCount = 3;
/** By then the pauses are the longest. */
const hopelessFailuresCount = 7;

interface Kept {
  failuresCount: number;
  dueMs: number;
  addresses: string;
  dialling: boolean;
}

export class KeptConnections {
  private readonly components: KeptConnectionsComponents;
  private readonly limits: PeerLimits;
  private readonly kept = new Map<PeerKey, Kept>();
  private timer: NodeJS.Timeout | undefined;

  constructor(components: KeptConnectionsComponents, init: { limits: PeerLimits }) {
    this.components = components;
    this.limits = init.limits;
  }

  start(): void {
    this.timer = setInterval(() => this.look(), this.limits.peerRedialMinMs);
    this.timer.unref();
    this.membersChanged();
  }

  stop(): void {
    clearInterval(this.timer);
    this.kept.clear();
  }

  /** Members came, went, or have other addresses, which are tried at once. */
  membersChanged(): void {
    const members = this.components.members();
    const current = new Set(members);
    for (const peer of this.kept.keys()) if (!current.has(peer)) this.kept.delete(peer);
    const others = members.filter((peer) => !this.kept.has(peer));
    while (others.length > 0 && this.kept.size < this.limits.peerKeptCount) {
      const [peer] = others.splice(randomInt(others.length), 1);
      this.keep(peer!);
    }
    for (const [peer, kept] of this.kept) {
      const addresses = this.components.addressesOf(peer).join(" ");
      if (addresses === kept.addresses) continue;
      Object.assign(kept, { addresses, failuresCount: 0, dueMs: 0 });
    }
    this.look();
  }

  /** The peer can be reached in some new way; it is dialled at once. */
  seen(peer: PeerKey): void {
    const kept = this.kept.get(peer);
    if (kept !== undefined) kept.dueMs = 0;
    this.look();
  }

  private look(): void {
    const nowMs = performance.now();
    for (const [peer, kept] of this.kept) {
      if (kept.dialling) continue;
      if (this.components.isConnected(peer)) kept.failuresCount = 0;
      else if (kept.dueMs <= nowMs) void this.dial(peer, kept);
    }
  }

  private async dial(peer: PeerKey, kept: Kept): Promise<void> {
    kept.dialling = true;
    try {
      await this.components.dial(peer);
      kept.dueMs = performance.now() + this.pauseMs(0);
    } catch {
      kept.dueMs = performance.now() + this.pauseMs(kept.failuresCount++);
      if (kept.failuresCount >= hopelessFailuresCount && this.kept.get(peer) === kept) this.tryAnother(peer);
    } finally {
      kept.dialling = false;
    }
  }

  private tryAnother(peer: PeerKey): void {
    const connectedCount = [...this.kept.keys()].filter((each) => this.components.isConnected(each)).length;
    const others = this.components.members().filter((member) => !this.kept.has(member));
    if (connectedCount >= leastConnectedCount || others.length === 0) return;
    this.kept.delete(peer);
    this.keep(others[randomInt(others.length)]!);
  }

  private keep(peer: PeerKey): void {
    this.kept.set(peer, { failuresCount: 0, dueMs: 0, addresses: "", dialling: false });
  }

  /** From half the doubled pause to one and a half of it. */
  private pauseMs(failuresCount: number): number {
    const pauseMs = Math.min(
      this.limits.peerRedialMaxMs,
      this.limits.peerRedialMinMs * 2 ** Math.min(failuresCount, 30),
    );
    return pauseMs * (0.5 + Math.random());
  }
}
