/** How often something has happened within the last minute, by a clock that never jumps. */
import type { Clock } from "#ledger/clock.ts";

const MINUTE_MS = 60_000;

export class MinuteCount {
  readonly #clock: Pick<Clock, "elapsedMs">;
  readonly #mostCount: number;
  #timesMs: number[] = [];

  constructor({ clock }: { readonly clock: Pick<Clock, "elapsedMs"> }, { mostCount }: { readonly mostCount: number }) {
    this.#clock = clock;
    this.#mostCount = mostCount;
  }

  get isFull(): boolean {
    const nowMs = this.#clock.elapsedMs();
    this.#timesMs = this.#timesMs.filter((atMs) => nowMs - atMs < MINUTE_MS);
    return this.#timesMs.length >= this.#mostCount;
  }

  add(): void {
    this.#timesMs.push(this.#clock.elapsedMs());
  }
}
