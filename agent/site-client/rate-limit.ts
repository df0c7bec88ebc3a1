/** A bandwidth limit as a token bucket: over any stretch of time at most the rate times its length, plus one burst. */
import type { Clock } from "#agent/schedule/clock.ts";

export interface RateLimit {
  readonly bytesPerSecond: number;
  /** Largest piece that one {@link take} may ask for. */
  readonly pieceBytes: number;
  /** Resolves when `bytes` may be sent; calls are served in their order. */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
}

/** A quarter of a second's worth is sent at once, 64 KiB at the most: smooth for others on the line. */
const BURST_SECONDS = 0.25;
const BURST_MOST_BYTES = 64 * 1024;

export function createRateLimit(bytesPerSecond: number, clock: Clock): RateLimit {
  const pieceBytes = Math.max(1, Math.min(BURST_MOST_BYTES, Math.floor(bytesPerSecond * BURST_SECONDS)));
  /** The moment up to which what was let through has used up the rate. */
  let paidUntilMs = 0;
  return {
    bytesPerSecond,
    pieceBytes,
    async take(bytes, signal) {
      const nowMs = clock.nowMs();
      const burstMs = (pieceBytes / bytesPerSecond) * 1000;
      // A clock that was set back must not stop the sending for hours.
      if (paidUntilMs < nowMs || paidUntilMs > nowMs + 60_000 + burstMs) paidUntilMs = nowMs;
      paidUntilMs += (bytes / bytesPerSecond) * 1000;
      const waitMs = paidUntilMs - nowMs - burstMs;
      if (waitMs > 0) await clock.sleep(waitMs, signal);
    },
  };
}
