/**
 * How many entries with receipts a holder writes within a day for one owner or steward. Entries are for ever, and a site may write no more
 * when it has very many: without a bound one hostile member would bring its holders there.
 */
import type { Clock } from "#ledger/clock.ts";
import { RecentCount } from "#node/site/recent-count.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

const DAY_MS = 24 * 3_600_000;

export class ReceiptRate {
  readonly #components: { readonly clock: Pick<Clock, "elapsedMs"> };
  readonly #counts = new Map<SiteId, RecentCount>();

  constructor(components: { readonly clock: Pick<Clock, "elapsedMs"> }) {
    this.#components = components;
  }

  /** Throws `too-many-requests` when the sender has had as many within a day as it may. */
  require(sender: SiteId): void {
    if (this.#counts.get(sender)?.isFull === true)
      throw new CostorError("too-many-requests", "this site has written as many receipts as it does in a day");
  }

  wrote(sender: SiteId): void {
    const init = { mostCount: limits.receiptEntriesPerDayCount, withinMs: DAY_MS };
    const count = this.#counts.get(sender) ?? new RecentCount(this.#components, init);
    this.#counts.set(sender, count);
    count.add();
  }
}
