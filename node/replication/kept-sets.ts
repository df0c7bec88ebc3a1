/**
 * What this site keeps for owners and has, with fingerprints in memory. All changes of these sets come through here, so that the
 * fingerprints follow. Of one owner, batches may be added at once; what takes away, and the reading of slices for fingerprints, runs alone:
 * nothing changes a slice while it is read.
 */
import { PrimeFingerprints } from "#ledger/prime-fingerprints.ts";
import { PrimeSet } from "#ledger/prime-set.ts";
import { answerQuestion } from "#ledger/reconcile-answer.ts";
import { decodeQuestion } from "#ledger/reconcile-messages.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { CompactionReport, PrimeStore } from "#node/store/prime-store.ts";
import { parseBatch } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { OwnerTurns } from "./owner-turns.ts";
import type { KeptPrimes } from "./replication-ports.ts";

export interface KeptSetsComponents {
  readonly store: Pick<PrimeStore, "putFor" | "release" | "kept" | "hasKept" | "lostOf" | "keptTotals" | "generation">;
}

/** One set's fingerprints under one key, of the slices that were asked about. */
interface LoadedSet {
  readonly owner: SiteId;
  readonly fingerprints: PrimeFingerprints;
  readonly slices: Set<number>;
  /** Of the store when the first slice was read. */
  readonly generation: string;
}

/** 52 kB each at the most: a run has one key, and few runs go on at once. */
const mostLoadedCount = 16;

export class KeptSets implements KeptPrimes {
  readonly #store: KeptSetsComponents["store"];
  readonly #turns = new OwnerTurns();
  /** What is being added, by owner. */
  readonly #coming = new Map<SiteId, Set<PrimeId>>();
  /** By owner and key, the least recently used first. */
  readonly #loaded = new Map<string, LoadedSet>();

  constructor(components: KeptSetsComponents) {
    this.#store = components.store;
  }

  async put(owner: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }> {
    const ids = Array.from(parseBatch(batch), ({ id }) => id);
    return this.#turns.share(owner, async () => {
      let coming = this.#coming.get(owner);
      if (coming === undefined) this.#coming.set(owner, (coming = new Set()));
      // What an earlier batch brings that is not done yet is that one's to add.
      const own = [...new Set(ids)].filter((id) => !coming.has(id));
      for (const id of own) coming.add(id);
      try {
        return await this.#change(owner, own, "add", () => this.#store.putFor(owner, batch));
      } finally {
        for (const id of own) coming.delete(id);
      }
    });
  }

  release(owner: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    const each = [...new Set(ids)];
    return this.#turns.run(owner, () =>
      this.#change(owner, each, "remove", () => this.#store.release(owner, ids, signal)),
    );
  }

  async slice(owner: SiteId, slice: number): Promise<PrimeId[]> {
    return (await Array.fromAsync(this.#pages(owner, slice.toString(16)))).flat();
  }

  async compare(owner: SiteId, slice: number, key: Uint8Array, question: Uint8Array): Promise<Uint8Array> {
    const digit = slice.toString(16);
    const { sums, below, finds } = decodeQuestion(question);
    if ([...sums, ...below, ...finds.map(({ prefix }) => prefix)].some((prefix) => !prefix.startsWith(digit)))
      throw new CostorError("bad-encoding", "a question about another slice");
    const fingerprints = await this.#fingerprints(owner, slice, key);
    return answerQuestion(new PrimeSet({ fingerprints, idsWith: (prefix) => this.#pages(owner, prefix) }), question);
  }

  #fingerprints(owner: SiteId, slice: number, key: Uint8Array): Promise<PrimeFingerprints> {
    return this.#turns.run(owner, async () => {
      const name = `${owner} ${Buffer.from(key).toString("hex")}`;
      let loaded = this.#loaded.get(name);
      this.#loaded.delete(name);
      const { generation } = this.#store;
      if (loaded?.generation !== generation)
        loaded = { owner, fingerprints: new PrimeFingerprints({ key }), slices: new Set(), generation };
      const { fingerprints, slices } = loaded;
      if (!slices.has(slice)) {
        for await (const ids of this.#pages(owner, slice.toString(16))) fingerprints.add(ids);
        slices.add(slice);
      }
      // What was lost comes back without a change of keeps, so fingerprints that lack it are used once only.
      if (!(await this.#hasLost(owner))) this.#loaded.set(name, loaded);
      const oldest = this.#loaded.keys().next();
      if (this.#loaded.size > mostLoadedCount) this.#loaded.delete(oldest.value!);
      return fingerprints;
    });
  }

  async #hasLost(owner: SiteId): Promise<boolean> {
    return (await this.#store.keptTotals()).some(({ site, lostCount }) => site === owner && lostCount > 0);
  }

  /** In the owner's turn. */
  async #change<T>(owner: SiteId, ids: readonly PrimeId[], how: "add" | "remove", act: () => Promise<T>): Promise<T> {
    const followers = [...this.#loaded.values()].filter((loaded) => loaded.owner === owner);
    const wasKept = followers.length > 0 ? await this.#store.hasKept(owner, ids) : [];
    const changed = followers.length > 0 ? ids.filter((_, at) => wasKept[at] === (how === "remove")) : [];
    try {
      const result = await act();
      for (const { fingerprints, slices } of followers)
        fingerprints[how](changed.filter((id) => slices.has(sliceOf(id))));
      return result;
    } catch (error) {
      // It may have had its effect or not.
      for (const [name, loaded] of this.#loaded) if (loaded.owner === owner) this.#loaded.delete(name);
      throw error;
    }
  }

  /** The ids of a set that start with `prefix`, ascending. */
  async *#pages(owner: SiteId, prefix: string): AsyncGenerator<PrimeId[]> {
    const lost = new Set<PrimeId>();
    for await (const page of this.#store.lostOf(owner)) for (const id of page) lost.add(id);
    for await (const page of this.#store.kept(owner, prefix))
      yield lost.size === 0 ? page : page.filter((id) => !lost.has(id));
  }
}
