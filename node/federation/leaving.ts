/**
 * Leaves the federation as its people wish: what this site holds for others is placed elsewhere first, and only then it asks to be
 * left out of the roster, or as a guest to be let out. Its own copies stay where they are, for the lock; or they are erased before, by an order of the kit, and whoever held some
 * has signed that he has none any more. docs/specs/replication.md, Erasing
 */
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { Roster } from "#ledger/roster.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { isHolder } from "#node/replication/fetch-rights.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type SignedEraseOrder, parseEraseOrder } from "#protocol/erase-order.ts";
import { CostorError } from "#protocol/errors.ts";
import { type RosterHash, type SiteId, parseRosterHash } from "#protocol/ids.ts";
import type { Erasures } from "./erasures.ts";
import type { OwnEntries } from "./own-entries.ts";

export interface LeavingComponents {
  readonly clock: Pick<Clock, "now">;
  readonly ledger: Pick<Ledger, "statement" | "currentLog" | "recoveryKeys">;
  readonly store: Pick<PrimeStore, "appendFacts" | "fact">;
  readonly erasures: Pick<Erasures, "isOrdered" | "look" | "waitingFor">;
  readonly membership: Pick<Membership, "hasRoster" | "roleOf" | "roster" | "sites">;
  readonly entries: Pick<OwnEntries, "write" | "withdraw">;
  /** Asks to be left out of the roster, or to be let out; repeated without harm. */
  readonly remove: () => Promise<void>;
  /** Does not ask so any more; repeated without harm. */
  readonly stay: () => Promise<void>;
  /** What goes wrong is tried again within the hour. */
  readonly onFailure: (error: unknown) => void;
}

export interface LeavingStatus {
  readonly sinceMs: number;
  /** Sites that have not placed elsewhere yet what is held here for them. */
  readonly neededBy: readonly SiteId[];
  /** Sites that have not signed yet that they have erased this one's copies; undefined while nothing was ordered. */
  readonly heldBy?: readonly SiteId[];
}

/** What became of a wish to leave, or to stay after all. */
export interface LeavingAsked {
  readonly leaving?: LeavingStatus | undefined;
  /** Of one that stays: whether there was an order to erase. */
  readonly hadOrder?: boolean;
}

const ORDER = { kind: "leaving", key: "erase-order" } as const;
/**
 * By which roster it was out since it said that it leaves: whoever is taken in again has left, and stays. Where another one took the place of that
 * roster, nobody has left.
 */
const OUT = { kind: "leaving", key: "out" } as const;
const outSchema = v.strictObject({
  roster: v.pipe(
    v.string(),
    v.transform((text): RosterHash => parseRosterHash(text)),
  ),
});
const orderSchema = v.strictObject({ order: v.instance(Uint8Array) });

export class Leaving {
  readonly #components: LeavingComponents;
  readonly #self: SiteId;
  readonly #queue = new SerialQueue();
  #isAsked = false;
  #outBy: RosterHash | undefined;

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
    return {
      sinceMs: leaving.sinceMs,
      neededBy: sites.filter((owner) => owner !== this.#self && holds(owner)),
      ...(this.#isOrdered() ? { heldBy: this.#components.erasures.waitingFor() } : {}),
    };
  }

  /** With an order to erase, that is published when others need this site no more. Throws `ledger-waiting`, `ledger-refused`, `kit-of-another-site`. */
  begin(order?: Uint8Array): Promise<void> {
    return this.#queue.run(() => this.#begin(order));
  }

  async #begin(order?: Uint8Array): Promise<void> {
    if (order !== undefined) {
      this.#requireOwn(parseEraseOrder(order));
      await this.#components.store.appendFacts([{ ...ORDER, value: encodeCbor({ order }) }]);
    }
    await this.#noteOut(undefined);
    if (this.status() === undefined)
      await this.#components.entries.write({ kind: "leaving", sinceMs: this.#components.clock.now(), isReady: false });
    this.soon();
  }

  /** Stays after all. Resolves with whether there was an order to erase: whoever has seen it may use it until the kit is replaced. */
  cancel(): Promise<{ readonly hadOrder: boolean }> {
    return this.#queue.run(() => this.#cancel());
  }

  async #cancel(): Promise<{ readonly hadOrder: boolean }> {
    const { store, entries, stay } = this.#components;
    const hadOrder = this.#isOrdered() || (await store.fact(ORDER.kind, ORDER.key)) !== undefined;
    await store.appendFacts([{ ...ORDER, value: undefined }]);
    await stay();
    await entries.withdraw("erase", "");
    await entries.withdraw("leaving", "");
    await this.#noteOut(undefined);
    return { hadOrder };
  }

  async #noteOut(roster: RosterHash | undefined): Promise<void> {
    if ((await this.#notedOut()) !== roster)
      await this.#components.store.appendFacts([{ ...OUT, value: roster && encodeCbor({ roster }) }]);
    this.#outBy = roster;
  }

  async #notedOut(): Promise<RosterHash | undefined> {
    const value = await this.#components.store.fact(OUT.kind, OUT.key);
    return value && readFactValue(value, outSchema, OUT.kind).roster;
  }

  /** Rosters have come, one after the other: the site may have been out and be in again. */
  passed(rosters: readonly Roster[]): void {
    this.#outBy =
      this.#ifKept(this.#outBy) ??
      rosters.find(({ expelled }) => expelled.some(({ siteId }) => siteId === this.#self))?.hash;
    this.soon();
  }

  #ifKept(roster: RosterHash | undefined): RosterHash | undefined {
    return roster !== undefined && this.#components.membership.hasRoster(roster) ? roster : undefined;
  }

  #isOrdered(): boolean {
    return this.#components.ledger.statement(this.#self, "erase", "") !== undefined;
  }

  #requireOwn({ siteId, logId, recoveryKey }: SignedEraseOrder): void {
    const { ledger } = this.#components;
    const isOwn = siteId === this.#self && logId === ledger.currentLog(siteId)?.log.id;
    if (!isOwn || !ledger.recoveryKeys.isNewest(siteId, recoveryKey))
      throw new CostorError("kit-of-another-site", "the order is not signed by this site's kit for this machine");
  }

  /** An order to erase that was given and waits: of who leaves at once, holders erase when they hear of it. */
  async publishOrder(): Promise<void> {
    const { store, entries } = this.#components;
    const value = await store.fact(ORDER.kind, ORDER.key);
    if (value === undefined || this.#isOrdered()) return;
    const { order } = readFactValue(value, orderSchema, ORDER.kind);
    await entries.write({ kind: "erase", order: Buffer.from(order) });
  }

  async #goOn(): Promise<void> {
    const { erasures, remove, membership } = this.#components;
    const outBy = this.#ifKept(await this.#notedOut()) ?? this.#ifKept(this.#outBy);
    if (this.#isIn && outBy !== undefined) return void (await this.#cancel());
    if (!this.#isIn) return this.#noteOut(outBy ?? membership.roster?.hash);
    const status = this.status();
    if (status === undefined || status.neededBy.length > 0) return;
    await this.publishOrder();
    if (this.#isOrdered() && !erasures.isOrdered)
      throw new CostorError(
        "kit-of-another-site",
        "the order to erase is not by this site's kit of now: leave --cancel, and order it anew",
      );
    await erasures.look();
    if (!this.#isOrdered() || erasures.waitingFor().length === 0) await remove();
  }

  get #isIn(): boolean {
    const { role } = this.#components.membership.roleOf(this.#self);
    return role === "member" || role === "guest";
  }

  /** Goes on with it, once nobody needs this site any more. */
  soon(): void {
    const { ledger, onFailure } = this.#components;
    if (this.#isAsked || ledger.statement(this.#self, "leaving", "") === undefined) return;
    this.#isAsked = true;
    queueMicrotask(() => {
      this.#isAsked = false;
      this.#queue.run(() => this.#goOn()).catch(onFailure);
    });
  }
}
