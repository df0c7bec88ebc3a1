/**
 * Gathers an owner's primes from all that hold them: each from the holder that is expected to be the fastest, from the next one when
 * nothing has come for a moment, or when that one lacks it, is gone, or lies. This site's own copies are the first.
 * docs/specs/replication.md, Fetching
 */
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import type { FetchProof } from "#node/replication/fetch-primes.ts";
import { isHolder } from "#node/replication/fetch-rights.ts";
import type { LedgerReader, Sites } from "#node/replication/replication-ports.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { verifyPrime } from "#protocol/sealing.ts";
import { HolderLink } from "./holder-link.ts";

export interface GatheringComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly peers: Pick<Peers, "open" | "connected">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly store: Pick<PrimeStore, "hasKept" | "get">;
  /** A holder did not do its part: others were asked. */
  readonly onFailure: (holder: SiteId, error: unknown) => void;
}

export interface GatheringInit {
  readonly owner: SiteId;
  /** By an order for a drill the owner itself is not asked. */
  readonly proof: FetchProof;
  readonly signal: AbortSignal;
}

/** Primes that are gathered at once: 64 MiB at the most, some 16 MB as a rule. */
const AT_ONCE_COUNT = 16;
/** After so long without anything, another holder is asked as well; on a slow line, when it takes so many times as long as before. */
const PATIENCE_MS = 1_000;
const PATIENCE_RATIO = 3;

export class PrimeGathering {
  readonly #components: GatheringComponents;
  readonly #init: GatheringInit;
  readonly #links = new Map<SiteId, HolderLink>();
  #primesCount = 0;
  #bytes = 0;

  constructor(components: GatheringComponents, init: GatheringInit) {
    this.#components = components;
    this.#init = init;
  }

  /** Handed out so far. */
  get totals(): { readonly primesCount: number; readonly bytes: number } {
    return { primesCount: this.#primesCount, bytes: this.#bytes };
  }

  /** In the asked order, each verified. Throws `prime-missing` for the first that nobody gives. */
  async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    for (let at = 0; at < ids.length; at += AT_ONCE_COUNT) {
      const part = ids.slice(at, at + AT_ONCE_COUNT);
      const found = await this.#gather(part, signal);
      for (const id of part) {
        const stored = found.get(id);
        if (stored === undefined)
          throw new CostorError("prime-missing", `prime ${id} cannot be had from any holder now`, { details: { id } });
        this.#primesCount++;
        this.#bytes += stored.length;
        yield { id, stored };
      }
    }
  }

  /** Cancels the ticket where it was used. Best effort; within the signal's time. */
  async cancel(signal: AbortSignal): Promise<void> {
    await Promise.allSettled([...this.#links.values()].map((link) => link.cancel(signal)));
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }

  async #gather(ids: readonly PrimeId[], signal: AbortSignal | undefined): Promise<Map<PrimeId, Uint8Array>> {
    const found = new Map<PrimeId, Uint8Array>();
    const wanted = new Set(ids);
    const take = ({ id, stored }: StoredPrime): void => {
      if (wanted.delete(id)) found.set(id, stored);
    };
    await this.#takeOwn(ids, take);
    const asked = new Map<PrimeId, Set<HolderLink>>(ids.map((id) => [id, new Set()]));
    /** Which holders are at it, and for which primes. */
    const running = new Map<Promise<void>, { readonly link: HolderLink; readonly ids: ReadonlySet<PrimeId> }>();
    for (let isLate = false; wanted.size > 0;) {
      signal?.throwIfAborted();
      this.#init.signal.throwIfAborted();
      const underWay = [...running.values()];
      const open = [...wanted].filter((id) => isLate || !underWay.some((attempt) => attempt.ids.has(id)));
      for (const [link, part] of this.#plan(open, asked)) {
        const attempt = link.fetch(part, take).catch((error: unknown) => {
          if (!this.#init.signal.aborted) this.#components.onFailure(link.init.site, error);
        });
        running.set(attempt, { link, ids: new Set(part) });
        void attempt.then(() => running.delete(attempt));
      }
      if (running.size === 0) return found;
      const before = wanted.size;
      isLate = (await this.#moment(running, signal)) && wanted.size === before;
    }
    return found;
  }

  /** Until one of them has ended, or more time is over than they should need; whether it is. */
  async #moment(
    running: ReadonlyMap<Promise<void>, { readonly link: HolderLink }>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const patienceMs = Math.max(
      PATIENCE_MS,
      ...[...running.values()].map(({ link }) => link.expectedMs(0) * PATIENCE_RATIO),
    );
    const ended = new AbortController();
    const until = AbortSignal.any([ended.signal, this.#init.signal, ...(signal === undefined ? [] : [signal])]);
    const over = this.#components.clock.sleep(patienceMs, until).then(() => true);
    const one = Promise.race(running.keys()).then(() => false);
    try {
      return await Promise.race([one, over]);
    } finally {
      ended.abort();
    }
  }

  /** For each prime the best holder that was not asked for it yet. */
  #plan(ids: readonly PrimeId[], asked: Map<PrimeId, Set<HolderLink>>): Map<HolderLink, PrimeId[]> {
    const plan = new Map<HolderLink, PrimeId[]>();
    const connected = new Set(this.#components.peers.connected());
    const cost = (link: HolderLink): number =>
      (link.isLiar ? 4e12 : 0) +
      (link.isResting ? 2e12 : 0) +
      (connected.has(link.init.peer) ? 0 : 1e12) +
      link.expectedMs((plan.get(link)?.length ?? 0) + 1);
    for (const id of ids) {
      const [first, ...others] = this.#holdersOf(sliceOf(id)).filter((link) => !asked.get(id)!.has(link));
      if (first === undefined) continue;
      const best = others.reduce((one, other) => (cost(other) < cost(one) ? other : one), first);
      asked.get(id)!.add(best);
      const part = plan.get(best) ?? [];
      plan.set(best, part);
      part.push(id);
    }
    return plan;
  }

  /** Those that say to have the slice, or ought to, and the owner itself, if a machine of it still answers. */
  #holdersOf(slice: number): HolderLink[] {
    const { self, sites, ledger } = this.#components;
    const { owner, proof } = this.#init;
    const links: HolderLink[] = [];
    for (const site of sites.sites()) {
      if (site === self) continue;
      const isOne =
        (site === owner && "ticket" in proof) ||
        ledger.statement(site, "receipt", `${owner}/${slice}`) !== undefined ||
        isHolder(this.#components, site, owner, slice);
      const link = isOne ? this.#linkTo(site) : undefined;
      if (link !== undefined) links.push(link);
    }
    return links;
  }

  #linkTo(site: SiteId): HolderLink | undefined {
    const peer = this.#components.sites.peerOf(site);
    if (peer === undefined) return undefined;
    const known = this.#links.get(site);
    if (known?.init.peer === peer) return known;
    known?.close();
    const link = new HolderLink(this.#components, { site, peer, ...this.#init });
    this.#links.set(site, link);
    return link;
  }

  async #takeOwn(ids: readonly PrimeId[], take: (prime: StoredPrime) => void): Promise<void> {
    const { store } = this.#components;
    const has = await store.hasKept(this.#init.owner, ids);
    for (const id of ids.filter((_, at) => has[at])) {
      try {
        const stored = await store.get(id);
        // The store goes by a checksum.
        verifyPrime(stored, id);
        take({ id, stored });
      } catch (error) {
        const isLacking = (["prime-missing", "prime-corrupt", "prime-mismatch"] as const).some((code) =>
          isCostorError(error, code),
        );
        if (!isLacking) throw error;
      }
    }
  }
}
