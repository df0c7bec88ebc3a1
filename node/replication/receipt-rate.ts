/**
 * How many entries with receipts a holder writes within a day for one owner or steward. Entries are for ever, and a site may write no more
 * when it has very many: without a bound one hostile member would bring its holders there.
 */
import type { Clock } from "#ledger/clock.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

const DAY_MS = 24 * 3_600_000;

export class ReceiptRate {
  readonly #clock: Pick<Clock, "elapsedMs">;
  readonly #days = new Map<SiteId, { readonly sinceMs: number; readonly count: number }>();

  constructor(components: { readonly clock: Pick<Clock, "elapsedMs"> }) {
    this.#clock = components.clock;
  }

  /** Throws `too-many-requests` when the sender has had as many today as it may. */
  require(sender: SiteId): void {
    if (this.#day(sender).count >= limits.receiptEntriesPerDayCount)
      throw new CostorError("too-many-requests", "this site has written as many receipts as it does in a day");
  }

  wrote(sender: SiteId): void {
    const { sinceMs, count } = this.#day(sender);
    this.#days.set(sender, { sinceMs, count: count + 1 });
  }

  /** A day begins with its first receipt. */
  #day(sender: SiteId): { readonly sinceMs: number; readonly count: number } {
    const nowMs = this.#clock.elapsedMs();
    const day = this.#days.get(sender);
    return day === undefined || nowMs - day.sinceMs >= DAY_MS ? { sinceMs: nowMs, count: 0 } : day;
  }
}
