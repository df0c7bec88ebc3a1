/** Owners that have left or were expelled, and since when this site knows it: kept over restarts. docs/specs/replication.md, Dropping. */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { HeldClock } from "./held-clock.ts";

const KIND = "departed";
const schema = v.strictObject({ since: v.pipe(v.number(), v.safeInteger()) });

interface DepartureComponents {
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
  readonly heldClock: Pick<HeldClock, "note">;
}

export class Departures {
  readonly #components: DepartureComponents;

  constructor(components: DepartureComponents) {
    this.#components = components;
  }

  /** Since when by the holder's own clock; notes it when it was not noted yet. */
  async noted(owner: SiteId): Promise<number> {
    const { store, heldClock } = this.#components;
    const value = await store.fact(KIND, owner);
    if (value !== undefined) return readFactValue(value, schema, KIND).since;
    const { nowMs, fact } = heldClock.note();
    await store.appendFacts([{ kind: KIND, key: owner, value: encodeCbor({ since: nowMs }) }, fact]);
    return nowMs;
  }

  /** The owner is a member or guest, or nothing of it is left. */
  async clear(owner: SiteId): Promise<void> {
    const { store } = this.#components;
    if ((await store.fact(KIND, owner)) !== undefined)
      await store.appendFacts([{ kind: KIND, key: owner, value: undefined }]);
  }
}
