/**
 * Erases what is held of owners that have ordered it by their kits, and says so. docs/specs/replication.md, Erasing
 *
 * What there was is noted before the first prime goes, and the receipt is written when the last one is gone: a stop anywhere changes neither.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { eraseOrderOf, erasedBy, isExpected } from "#ledger/erasing.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SignedEraseOrder } from "#protocol/erase-order.ts";
import { allSlices } from "./all-slices.ts";
import { type DroppedSliceComponents, dropSlice } from "./dropping.ts";
import type { OwnerTurns } from "./owner-turns.ts";
import type { Sites } from "./replication-ports.ts";

export interface ErasingComponents extends DroppedSliceComponents {
  readonly sites: Pick<Sites, "sites">;
  readonly store: Pick<PrimeStore, "appendFacts" | "compact" | "fact" | "keptSlices" | "keptTotals">;
  readonly ownerTurns: OwnerTurns;
}

const KIND = "erasing";
const natural = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({ order: v.string(), count: natural, bytes: natural, hash: v.string() });
/** What there was when the order was first seen. */
type Note = v.InferOutput<typeof schema>;

export class Erasing {
  readonly #components: ErasingComponents;

  constructor(components: ErasingComponents) {
    this.#components = components;
  }

  /** All that is ordered. Safe to repeat. Throws what the store and the ledger throw, and the signal's reason. */
  async erase(signal: AbortSignal): Promise<void> {
    const { self, sites, store, ledger, ownerTurns } = this.#components;
    const keeping = new Set((await store.keptTotals()).map(({ site }) => site));
    for (const owner of new Set([...keeping, ...sites.sites()])) {
      const order = owner === self ? undefined : eraseOrderOf({ ledger }, owner);
      if (order === undefined) continue;
      signal.throwIfAborted();
      const note = await this.#noteOf(order);
      const isSaid = erasedBy({ ledger }, self, order) !== undefined;
      if (keeping.has(owner) || (!isSaid && (note !== undefined || isExpected({ ledger }, self, owner))))
        await ownerTurns.run(owner, () => this.#erase(order, note, signal));
    }
  }

  async #erase(order: SignedEraseOrder, noted: Note | undefined, signal: AbortSignal): Promise<void> {
    const { self, ledger, entries, store } = this.#components;
    const { siteId: owner } = order;
    const { count, bytes, hash } = noted ?? (await this.#note(order));
    for (const slice of allSlices) await dropSlice(this.#components, owner, slice, signal);
    await store.compact(signal);
    if (erasedBy({ ledger }, self, order) === undefined)
      await entries.write({ kind: "erased", owner, order: Buffer.from(order.id, "hex"), count, bytes, hash });
  }

  async #noteOf({ siteId, id }: SignedEraseOrder): Promise<Note | undefined> {
    const value = await this.#components.store.fact(KIND, siteId);
    const note = value && readFactValue(value, schema, KIND);
    return note?.order === id ? note : undefined;
  }

  async #note({ siteId: owner, id }: SignedEraseOrder): Promise<Note> {
    const { kept, store } = this.#components;
    const digest = createHash("sha256");
    let count = 0;
    for (const slice of allSlices)
      for (const prime of await kept.slice(owner, slice)) {
        digest.update(prime, "hex");
        count++;
      }
    const slices = await store.keptSlices(owner);
    const note = {
      order: id,
      count,
      bytes: slices.reduce((sum, { bytes }) => sum + bytes, 0),
      hash: digest.digest("hex"),
    };
    await store.appendFacts([{ kind: KIND, key: owner, value: encodeCbor(note) }]);
    return note;
  }
}
