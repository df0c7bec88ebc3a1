/** How far this site's own primes are that come back from others, and when they will all be here at the rate since somebody first looked. */
import type { Clock } from "#ledger/clock.ts";
import type { KeptTotal } from "#node/store/prime-store.ts";

export interface ComingBackStatus {
  readonly count: number;
  readonly lackingCount: number;
  /** By the machine's clock; undefined while nothing has come since the first look. */
  readonly doneAtMs?: number;
}

export class ComingBack {
  readonly #clock: Pick<Clock, "elapsedMs" | "now">;
  #first: { readonly elapsedMs: number; readonly lackingCount: number } | undefined;

  constructor(components: { clock: Pick<Clock, "elapsedMs" | "now"> }) {
    this.#clock = components.clock;
  }

  /** `own`: what the site keeps for itself. Undefined when all of it is here. */
  look(own: KeptTotal | undefined): ComingBackStatus | undefined {
    const { count = 0, lostCount: lackingCount = 0 } = own ?? {};
    if (lackingCount === 0) {
      this.#first = undefined;
      return undefined;
    }
    const elapsedMs = this.#clock.elapsedMs();
    // More is lacking than before: the rest of it has only now become known.
    if (this.#first === undefined || lackingCount > this.#first.lackingCount) this.#first = { elapsedMs, lackingCount };
    const cameCount = this.#first.lackingCount - lackingCount;
    if (cameCount === 0) return { count, lackingCount };
    const leftMs = (lackingCount * (elapsedMs - this.#first.elapsedMs)) / cameCount;
    return { count, lackingCount, doneAtMs: this.#clock.now() + Math.round(leftMs) };
  }
}
