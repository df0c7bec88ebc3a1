/**
 * Leaves the federation as its people wish: what this site holds for others is placed elsewhere first, and only then it asks to be
 * left out of the roster. Its own copies stay where they are, for the lock.
 */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { isHolder } from "#node/replication/fetch-rights.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { OwnEntries } from "./own-entries.ts";

export interface LeavingComponents {
  readonly clock: Pick<Clock, "now">;
  readonly ledger: Pick<Ledger, "statement">;
  readonly membership: Pick<Membership, "sites">;
  readonly entries: Pick<OwnEntries, "write" | "withdraw">;
  /** Asks to be left out of the roster; repeated without harm. */
  readonly remove: () => Promise<void>;
  /** What goes wrong is tried again within the hour. */
  readonly onFailure: (error: unknown) => void;
}

export interface LeavingStatus {
  readonly sinceMs: number;
  /** Sites that have not placed elsewhere yet what is held here for them. */
  readonly neededBy: readonly SiteId[];
}

export class Leaving {
  readonly #components: LeavingComponents;
  readonly #self: SiteId;
  #isAsked = false;

  constructor(components: LeavingComponents, init: { self: SiteId }) {
    this.#components = components;
    this.#self = init.self;
  }

  /** Undefined while nobody wishes it. */
  status(): LeavingStatus | undefined {
    const { ledger, membership } = this.#components;
    const leaving = ledger.statement(this.#self, "leaving", "")?.statement;
    if (leaving === undefined) return undefined;
    const sites = membership.sites();
    const holds = (owner: SiteId): boolean =>
      allSlices.some((slice) => isHolder({ ledger, sites: membership }, this.#self, owner, slice));
    return { sinceMs: leaving.sinceMs, neededBy: sites.filter((owner) => owner !== this.#self && holds(owner)) };
  }

  /** Throws `ledger-waiting`, `ledger-refused`. */
  async begin(): Promise<void> {
    if (this.status() === undefined)
      await this.#components.entries.write({ kind: "leaving", sinceMs: this.#components.clock.now() });
    this.soon();
  }

  /** Stays after all. */
  async cancel(): Promise<void> {
    await this.#components.entries.withdraw("leaving", "");
  }

  /** Goes on with it, once nobody needs this site any more. */
  soon(): void {
    const { ledger, onFailure } = this.#components;
    if (this.#isAsked || ledger.statement(this.#self, "leaving", "") === undefined) return;
    this.#isAsked = true;
    queueMicrotask(() => {
      this.#isAsked = false;
      if (this.status()?.neededBy.length === 0) this.#components.remove().catch(onFailure);
    });
  }
}
