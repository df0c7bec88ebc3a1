/** What this site keeps for owners and has, as replication asks for it. */
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import type { PrimeSet } from "#ledger/prime-set.ts";
import type { KeptPrimes } from "#node/replication/replication-ports.ts";
import { setOfList } from "#node/replication/slice-comparison.ts";
import type { CompactionReport, PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

export class KeptPrimeSets implements KeptPrimes {
  readonly #store: Pick<PrimeStore, "putFor" | "release" | "kept" | "lostOf">;
  #compared: { readonly name: string; readonly set: PrimeSet } | undefined;

  constructor(components: { store: Pick<PrimeStore, "putFor" | "release" | "kept" | "lostOf"> }) {
    this.#store = components.store;
  }

  put(owner: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }> {
    this.#compared = undefined;
    return this.#store.putFor(owner, batch);
  }

  release(owner: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    this.#compared = undefined;
    return this.#store.release(owner, ids, signal);
  }

  async slice(owner: SiteId, slice: number): Promise<PrimeId[]> {
    const lost = new Set<PrimeId>();
    for await (const page of this.#store.lostOf(owner)) for (const id of page) lost.add(id);
    const ids: PrimeId[] = [];
    for await (const page of this.#store.kept(owner, slice.toString(16)))
      ids.push(...page.filter((id) => !lost.has(id)));
    return ids;
  }

  async compare(owner: SiteId, slice: number, key: Uint8Array, question: Uint8Array): Promise<Uint8Array> {
    const name = `${owner} ${slice} ${Buffer.from(key).toString("hex")}`;
    if (this.#compared?.name !== name) this.#compared = { name, set: setOfList(key, await this.slice(owner, slice)) };
    return answerQuestion(this.#compared.set, question);
  }
}
