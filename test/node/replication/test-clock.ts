import type { Clock } from "#ledger/clock.ts";

/** One machine's clocks, set by the test. */
export class TestClock implements Clock {
  wallMs = 1_800_000_000_000;
  passedMs = 0;
  now = (): number => this.wallMs;
  elapsedMs = (): number => this.passedMs;
  async sleep(durationMs: number): Promise<void> {
    this.pass(durationMs);
  }
  pass(durationMs: number): void {
    this.wallMs += durationMs;
    this.passedMs += durationMs;
  }
}

export const DAY_MS = 24 * 3_600_000;

/** A clock on which nothing is ever late. */
export const neverLate: Clock = {
  now: () => 0,
  elapsedMs: () => 0,
  sleep: (_, signal) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    }),
};
