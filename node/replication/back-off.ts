/** When something that failed is tried again: per site, on the clock that never jumps. */
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import type { SiteId } from "#protocol/ids.ts";

const BASE_MS = 60_000;
const MOST_MS = 3_600_000;

export class BackOff {
  readonly #components: { readonly clock: Pick<Clock, "elapsedMs">; readonly rng: Rng };
  readonly #failures = new Map<SiteId, { readonly count: number; readonly untilMs: number }>();

  constructor(components: { clock: Pick<Clock, "elapsedMs">; rng: Rng }) {
    this.#components = components;
  }

  /** Whether it is to be left alone now. */
  waits(site: SiteId): boolean {
    const failure = this.#failures.get(site);
    return failure !== undefined && failure.untilMs > this.#components.clock.elapsedMs();
  }

  /** After the first failure half to whole of a minute, then of 2, 4 … 60 minutes; or so long. */
  failed(site: SiteId, waitMs?: number): void {
    const { clock, rng } = this.#components;
    const count = (this.#failures.get(site)?.count ?? 0) + 1;
    const backOffMs = Math.min(MOST_MS, BASE_MS * 2 ** (count - 1)) * (0.5 + rng.fraction() / 2);
    this.#failures.set(site, { count, untilMs: clock.elapsedMs() + (waitMs ?? backOffMs) });
  }

  /** Nobody waits any more. */
  forget(): void {
    this.#failures.clear();
  }

  succeeded(site: SiteId): void {
    this.#failures.delete(site);
  }
}
