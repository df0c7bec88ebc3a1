import type { Clock } from "#ledger/clock.ts";

/** A clock that stands still until a test moves it; sleepers wake when their time has come. */
export class ManualClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();

  constructor(nowMs = Date.UTC(2026, 0, 5)) {
    this.#nowMs = nowMs;
  }

  now(): number {
    return this.#nowMs;
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const sleeper = { atMs: this.#elapsedMs + durationMs, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason as Error);
      });
    });
  }

  /** Lets time pass. */
  pass(durationMs: number): void {
    this.#nowMs += durationMs;
    this.#elapsedMs += durationMs;
    for (const sleeper of [...this.#sleepers].sort((left, right) => left.atMs - right.atMs)) {
      if (sleeper.atMs > this.#elapsedMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  /** Sets the clock of the wall, as people and bad batteries do; no time passes. */
  jumpTo(nowMs: number): void {
    this.#nowMs = nowMs;
  }
}
