/** Trying again: which failures can pass by themselves, how long to wait, when to give up. */
import type { Clock } from "#agent/schedule/clock.ts";
import { type CostorError, isCostorError } from "#protocol/errors.ts";

export interface RetryPolicy {
  readonly baseMs: number;
  readonly mostMs: number;
  /** How long to go on after the first failure with this error; 0: never again. */
  giveUpAfterMs(error: CostorError): number;
}

export interface RetryComponents {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or time is up; then throws its last error. Waits grow exponentially
 * with full jitter, so that many agents do not come back in step. Only for calls that are idempotent.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  policy: RetryPolicy,
  components: RetryComponents,
  signal?: AbortSignal,
): Promise<T> {
  let firstFailureMs: number | undefined;
  for (let failureCount = 0; ; failureCount++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (!isCostorError(error)) throw error;
      const nowMs = components.clock.nowMs();
      firstFailureMs ??= nowMs;
      const ceilingMs = Math.min(policy.mostMs, policy.baseMs * 2 ** failureCount);
      const waitMs = Math.max(retryAfterMs(error), ceilingMs * components.random());
      if (nowMs - firstFailureMs + waitMs >= policy.giveUpAfterMs(error)) throw error;
      await components.clock.sleep(waitMs, signal);
    }
  }
}

/** What the site asked for with Retry-After; failure.ts puts it there. */
function retryAfterMs(error: CostorError): number {
  const value = error.details["retryAfterMs"];
  return typeof value === "number" && value > 0 ? value : 0;
}
