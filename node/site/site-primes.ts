/**
 * The site's own primes, wherever they are: what is damaged or missing here is fetched from the sites that hold it when somebody wants to read
 * it. So a restore goes on over damage, and on a new machine whose primes are yet to come.
 */
import type { PrimeStore } from "#node/store/prime-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";

/** Brings primes of this site here that others hold; those that nobody has stay away. */
export type FetchPrimes = (ids: readonly PrimeId[]) => Promise<void>;

export interface SitePrimeComponents {
  readonly store: Pick<PrimeStore, "get" | "hasSent" | "hasClaimed" | "hasKept">;
  /** Whether snapshots are back whose primes are not known as their agents' yet. */
  readonly isReturning: () => boolean;
}

export class SitePrimes {
  readonly #components: SitePrimeComponents;
  readonly #siteId: SiteId;
  #fetch: FetchPrimes | undefined;

  constructor(components: SitePrimeComponents, { siteId }: { siteId: SiteId }) {
    this.#components = components;
    this.#siteId = siteId;
  }

  /** From now on there is somebody to ask. */
  fetchBy(fetch: FetchPrimes): void {
    this.#fetch = fetch;
  }

  /** Here, and kept for the site, when it resolves: those that others have. */
  async bring(ids: readonly PrimeId[]): Promise<void> {
    await this.#fetch?.(ids);
  }

  /** Verified. Throws `prime-missing`, `prime-corrupt` when nobody has it. */
  async get(id: PrimeId): Promise<Buffer> {
    const { store } = this.#components;
    try {
      return await store.get(id);
    } catch (error) {
      const isGone = isCostorError(error, "prime-missing") || isCostorError(error, "prime-corrupt");
      if (!isGone || this.#fetch === undefined) throw error;
      await this.#fetch([id]);
      return store.get(id);
    }
  }

  /**
   * For each id whether the agent may read it: it has sent it, and it is here, or kept for the site and so with others. While snapshots are coming
   * back it is not known who has sent what, and an agent may read all of the site's own, whose keys it has only of what is its own.
   */
  async areReadable(agent: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    const { store, isReturning } = this.#components;
    // Before anything is asked: once they are back it is known who has sent what.
    const wasReturning = isReturning();
    const sent = await store.hasSent(agent, ids);
    if (!sent.includes(false)) return sent;
    const kept = await store.hasKept(this.#siteId, ids);
    if (!wasReturning) {
      const claimed = await store.hasClaimed(agent, ids);
      return ids.map((_, at) => sent[at]! || (kept[at]! && claimed[at]!));
    }
    const unknown = ids.filter((_, at) => !sent[at] && !kept[at]);
    if (unknown.length === 0) return ids.map(() => true);
    // What others hold of this site is its own, and kept once it is here.
    await this.bring(unknown);
    const fetched = await store.hasKept(this.#siteId, ids);
    return ids.map((_, at) => sent[at]! || fetched[at]!);
  }
}
