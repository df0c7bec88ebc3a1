/** Holds those that send to a rate. One limit may serve many: they take their turns in the order in which they came. */
import type { Clock } from "./clock.ts";

/** A pause is not made up for: so much may be sent at once after it. */
const BURST_MS = 1000;

export class BandwidthLimit {
  readonly #clock: Clock;
  readonly #bytesPerSecond: () => number | undefined;
  /** On the clock that never jumps: when what was let through so far has gone at the rate. */
  #freeAtMs = Number.NEGATIVE_INFINITY;

  /** The rate is asked for each time: people change it. Without one nothing waits. */
  constructor(components: { clock: Clock }, init: { bytesPerSecond: () => number | undefined }) {
    this.#clock = components.clock;
    this.#bytesPerSecond = init.bytesPerSecond;
  }

  /** Resolves when so many bytes may be sent. Rejects with the signal's reason; what was waited for counts as sent. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const bytesPerSecond = this.#bytesPerSecond();
    if (bytesPerSecond === undefined) return;
    const nowMs = this.#clock.elapsedMs();
    const startMs = Math.max(this.#freeAtMs, nowMs - BURST_MS);
    this.#freeAtMs = startMs + (bytes / bytesPerSecond) * 1000;
    if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs, signal);
    else signal?.throwIfAborted();
  }
}
