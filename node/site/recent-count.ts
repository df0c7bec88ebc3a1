/** How often something has happened lately, by a clock that never jumps. */
import type { Clock } from "#ledger/clock.ts";

export interface RecentCountInit {
  readonly mostCount: number;
  /** How long each one counts. */
  readonly withinMs: number;
}

export class RecentCount {
  readonly #clock: Pick<Clock, "elapsedMs">;
  readonly #init: RecentCountInit;
  #timesMs: number[] = [];

  constructor({ clock }: { readonly clock: Pick<Clock, "elapsedMs"> }, init: RecentCountInit) {
    this.#clock = clock;
    this.#init = init;
  }

  get isFull(): boolean {
    const nowMs = this.#clock.elapsedMs();
    this.#timesMs = this.#timesMs.filter((atMs) => nowMs - atMs < this.#init.withinMs);
    return this.#timesMs.length >= this.#init.mostCount;
  }

  add(): void {
    this.#timesMs.push(this.#clock.elapsedMs());
  }
}
