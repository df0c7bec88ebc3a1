/** What people here wish of the roster: kept until another roster follows the one that has it, or until they change their mind. */
import * as v from "valibot";
import type { Wish } from "#ledger/membership-steps.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type LogId, type RosterHash, type SiteId, parseLogId, parseRosterHash, parseSiteId } from "#protocol/ids.ts";

const KIND = "wish";
const head = v.strictObject({
  logId: v.pipe(
    v.string(),
    v.transform((text): LogId => parseLogId(text)),
  ),
  seq: v.pipe(v.number(), v.safeInteger()),
});
const inRoster = v.optional(
  v.pipe(
    v.string(),
    v.transform((text): RosterHash => parseRosterHash(text)),
  ),
);
const schema = v.variant("action", [
  v.strictObject({ action: v.literal("admit"), in: inRoster }),
  v.strictObject({ action: v.literal("remove"), heads: v.array(head), in: inRoster }),
]);

/** What is kept: a wish for a new recovery key follows from what people have approved (kit-requests.ts). */
type KeptWish = Exclude<Wish, { readonly action: "rekey" }>;

export class Wishes {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  readonly #bySite = new Map<SiteId, KeptWish>();

  private constructor(store: Pick<PrimeStore, "appendFacts">) {
    this.#store = store;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "facts">): Promise<Wishes> {
    const wishes = new Wishes(store);
    for await (const { key, value } of store.facts(KIND)) {
      const siteId = parseSiteId(key);
      wishes.#bySite.set(siteId, { siteId, ...readFactValue(value, schema, KIND) });
    }
    return wishes;
  }

  list(): KeptWish[] {
    return [...this.#bySite.values()];
  }

  of(siteId: SiteId): KeptWish | undefined {
    return this.#bySite.get(siteId);
  }

  /** In place of another one about this site. Durable when it returns. */
  async make(wish: KeptWish): Promise<void> {
    const { siteId, ...kept } = wish;
    await this.#store.appendFacts([factOf(siteId, encodeCbor(kept as never))]);
    this.#bySite.set(siteId, wish);
  }

  /** A roster has it; unless people wish another thing by now. */
  async note(wish: Wish, roster: RosterHash): Promise<void> {
    if (wish.action !== "rekey" && this.#bySite.get(wish.siteId) === wish) await this.make({ ...wish, in: roster });
  }

  async forget(siteIds: readonly SiteId[]): Promise<void> {
    if (siteIds.length === 0) return;
    await this.#store.appendFacts(siteIds.map((siteId) => factOf(siteId, undefined)));
    for (const siteId of siteIds) this.#bySite.delete(siteId);
  }
}

const factOf = (siteId: SiteId, value: Uint8Array | undefined): SiteFact => ({ kind: KIND, key: siteId, value });
