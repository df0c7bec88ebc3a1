/** The machine's time: the site's {@link Clock}. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "#ledger/clock.ts";

/** setTimeout takes no more; it would return at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsedMs: () => performance.now(),
  async sleep(durationMs, signal) {
    signal?.throwIfAborted();
    const untilMs = performance.now() + durationMs;
    try {
      for (let leftMs = durationMs; leftMs > 0; leftMs = untilMs - performance.now()) {
        await sleep(Math.min(Math.ceil(leftMs), longestTimerMs), undefined, { signal });
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
