/**
 * Gets back from all other sites whatever they keep for this one, after somebody else had its machine: no live set and no placement of that
 * time says what is worth having. What no snapshot reaches is collected later like anything else. docs/specs/replication.md, After a takeover
 */
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { allSlices } from "./all-slices.ts";
import { type FetchedComponents, fetchOwn, isPeersFault } from "./fetch-own.ts";
import { HolderChannel, expectAnswer } from "./holder-channel.ts";
import type { OwnPrimes } from "./live-sets.ts";
import { replicateProtocol } from "./replicate-messages.ts";
import type { LedgerReader } from "./replication-ports.ts";

/** What the site does with its records of the former machines. */
export interface FormerRecords {
  /** Whether somebody else had the site's machine, and not all is back since. */
  readonly isTakenOver: () => boolean;
  /** Takes those that the peer still keeps, in force or withdrawn. Throws what is the peer's fault, and what the store throws. */
  readonly takeFrom: (peer: PeerKey, signal: AbortSignal) => Promise<void>;
}

export interface TakingBackComponents extends FetchedComponents {
  readonly peers: Pick<Peers, "open">;
  readonly ledger: Pick<LedgerReader, "receivers">;
  readonly own: Pick<OwnPrimes, "slice">;
  readonly rng: Rng;
  readonly former: Pick<FormerRecords, "takeFrom">;
  /** As `RegainingComponents.regained`. */
  readonly regained: () => Promise<boolean>;
}

export class TakingBack {
  readonly #components: TakingBackComponents;
  /** Those that have given all they have. */
  readonly #done = new Set<SiteId>();

  constructor(components: TakingBackComponents) {
    this.#components = components;
  }

  /** One turn; whether all is here. It waits for those whose receipts say that they keep something, and for one other site at least. */
  async turn(signal: AbortSignal): Promise<boolean> {
    const others = this.#others();
    for (const site of others) if (!this.#done.has(site) && (await this.#takeFrom(site, signal))) this.#done.add(site);
    if (this.waitsFor().length > 0 || (others.length > 0 && this.#done.size === 0)) return false;
    return this.#components.regained();
  }

  /** Sites that say to keep something, and have not given all of it yet. */
  waitsFor(): SiteId[] {
    const { self, ledger } = this.#components;
    const keepers = new Set(allSlices.flatMap((slice) => ledger.receivers(self, slice)));
    return this.#others().filter((site) => keepers.has(site) && !this.#done.has(site));
  }

  #others(): SiteId[] {
    const { self, sites } = this.#components;
    return sites.sites().filter((site) => site !== self);
  }

  async #takeFrom(site: SiteId, signal: AbortSignal): Promise<boolean> {
    const { sites, former, onFailure } = this.#components;
    const peer = sites.peerOf(site);
    if (peer === undefined) return false;
    try {
      await former.takeFrom(peer, signal);
      const wanted = await this.#lackingHere(peer, signal);
      return wanted.size === 0 || (await fetchOwn(this.#components, site, wanted, signal));
    } catch (error) {
      signal.throwIfAborted();
      if (!isPeersFault(error)) throw error;
      onFailure?.(site, error);
      return false;
    }
  }

  /** What the peer has of this site's and is not here, left out or not. */
  async #lackingHere(peer: PeerKey, signal: AbortSignal): Promise<Set<PrimeId>> {
    const { self, clock, peers, own, rng } = this.#components;
    const owner = Buffer.from(self, "hex");
    const wanted = new Set<PrimeId>();
    const channel = await peers.open(peer, replicateProtocol, signal);
    try {
      using holder = new HolderChannel({ channel, clock, rng }, { signal });
      for (const slice of allSlices) {
        expectAnswer(await holder.ask({ kind: "reserve", owner, slice, bytes: 0 }), "granted");
        const { extras } = await holder.compare(slice, (await own.slice(slice)).ids);
        for (const id of extras) wanted.add(id);
      }
      await channel.close();
      return wanted;
    } finally {
      channel.abort();
    }
  }
}
