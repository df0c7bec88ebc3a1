/** Says once who was refused and why, and counts what an attacker repeats. */
import type { PeerLimits } from "./peer-limits.ts";

/** What of the site's log is used. */
export interface PeersLog {
  info(details: Record<string, unknown>, message: string): void;
  warn(details: Record<string, unknown>, message: string): void;
}

const minuteMs = 60_000;
const rememberedCount = 1024;

export class RefusalLog {
  private readonly log: PeersLog;
  private readonly perMinuteCount: number;
  private readonly elapsedMs: () => number;
  /** What was said in this minute: reason and whom it concerns. */
  private said = new Set<string>();
  private minuteStartMs = -Infinity;
  private linesCount = 0;
  private suppressedCount = 0;

  constructor(components: { log: PeersLog; elapsedMs?: () => number }, init: { limits: PeerLimits }) {
    this.log = components.log;
    this.elapsedMs = components.elapsedMs ?? (() => performance.now());
    this.perMinuteCount = init.limits.peerRefusalsLoggedPerMinuteCount;
  }

  /** `who` is a peer's key or an address without its port. */
  refused(reason: string, who: string): void {
    this.beginMinute();
    const key = `${reason} ${who}`;
    if (this.said.has(key) || this.linesCount >= this.perMinuteCount) {
      this.suppressedCount++;
      return;
    }
    if (this.said.size < rememberedCount) this.said.add(key);
    this.linesCount++;
    this.log.warn({ who }, `refused: ${reason}`);
  }

  private beginMinute(): void {
    const nowMs = this.elapsedMs();
    if (nowMs - this.minuteStartMs < minuteMs) return;
    if (this.suppressedCount > 0) this.log.warn({ count: this.suppressedCount }, "refused more of the same");
    this.minuteStartMs = nowMs;
    this.said = new Set();
    this.linesCount = 0;
    this.suppressedCount = 0;
  }
}
