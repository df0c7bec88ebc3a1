/** Sites that have refused a reservation, or whose runs came to nothing for days, for a day: nothing is placed there meanwhile. */
import type { Clock } from "#ledger/clock.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";

const REFUSED_MS = 24 * 3_600_000;
/** As long as one that is silent has. */
const FUTILE_MS = 3 * 24 * 3_600_000;

export class Refusals {
  readonly #clock: Pick<Clock, "elapsedMs">;
  readonly #untilMs = new Map<SiteId, number>();
  /** Since when nothing has come of runs. */
  readonly #futileSinceMs = new Map<SiteId, number>();

  constructor(components: { clock: Pick<Clock, "elapsedMs"> }) {
    this.#clock = components.clock;
  }

  refused(site: SiteId): void {
    this.#untilMs.set(site, this.#clock.elapsedMs() + REFUSED_MS);
  }

  /** It was reached, and nothing came of it. */
  cameToNothing(site: SiteId): void {
    const nowMs = this.#clock.elapsedMs();
    const sinceMs = this.#futileSinceMs.get(site) ?? nowMs;
    this.#futileSinceMs.set(site, sinceMs);
    if (nowMs - sinceMs >= FUTILE_MS) this.refused(site);
  }

  cameToSomething(site: SiteId): void {
    this.#futileSinceMs.delete(site);
  }

  refuses(site: SiteId): boolean {
    return (this.#untilMs.get(site) ?? Number.NEGATIVE_INFINITY) > this.#clock.elapsedMs();
  }
}

/** It has no room, whatever it has offered, may give no receipts, or spoils its runs: another one takes its place. */
export const cannotHold = (error: unknown): boolean =>
  (["quota-exceeded", "store-full", "ledger-refused", "peer-misbehaved"] as const).some((code) =>
    isCostorError(error, code),
  );
