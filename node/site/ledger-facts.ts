/** Keeps a ledger in the site's prime store, as facts: so it is as durable, as checked and as rebuilt as everything there. */
import type { LedgerChange, LedgerStore } from "#ledger/ledger-store.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";

const KIND = "ledger";

export class LedgerFacts implements LedgerStore {
  readonly #store: Pick<PrimeStore, "fact" | "facts" | "appendFacts">;

  constructor(components: { store: Pick<PrimeStore, "fact" | "facts" | "appendFacts"> }) {
    this.#store = components.store;
  }

  all(): ReturnType<LedgerStore["all"]> {
    return this.#store.facts(KIND);
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#store.fact(KIND, key);
  }

  async write(changes: readonly LedgerChange[]): Promise<void> {
    await this.#store.appendFacts(changes.map(({ key, value }) => ({ kind: KIND, key, value })));
  }
}
