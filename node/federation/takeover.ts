/**
 * That somebody else had this site's machine before this one, and not all is back that he has given up: a durable mark, the fact `takeover`,
 * with an empty key. docs/specs/replication.md, After a takeover
 */
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteFact } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";

const place = { kind: "takeover", key: "" } as const;

/** Written by the new machine before it is the site. */
export const takeoverFact: SiteFact = { ...place, value: encodeCbor({}) };

export class Takeover {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #isOpen: boolean;

  private constructor(store: Pick<PrimeStore, "appendFacts">, isOpen: boolean) {
    this.#store = store;
    this.#isOpen = isOpen;
  }

  static async open(store: Pick<PrimeStore, "fact" | "appendFacts">): Promise<Takeover> {
    return new Takeover(store, (await store.fact(place.kind, place.key)) !== undefined);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** All is back. */
  async end(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#store.appendFacts([{ ...place, value: undefined }]);
    this.#isOpen = false;
  }
}
