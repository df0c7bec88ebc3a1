/** This site's own primes from the sites that hold them, and never from its own store. */
import type { Peers } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import { fetchPrimes } from "#node/replication/fetch-primes.ts";
import { isPeersFault } from "#node/replication/fetch-own.ts";
import { holdersOf } from "#node/replication/held-primes.ts";
import type { LedgerReader, Sites } from "#node/replication/replication-ports.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

export interface OffsitePrimeComponents {
  readonly self: SiteId;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement">;
}

export class OffsitePrimes {
  readonly #components: OffsitePrimeComponents;

  constructor(components: OffsitePrimeComponents) {
    this.#components = components;
  }

  /** From the first holder that gives it, verified. Throws `prime-missing`. */
  async get(id: PrimeId): Promise<Uint8Array> {
    const { self, sites } = this.#components;
    const faults: string[] = [];
    for (const holder of holdersOf(this.#components, sliceOf(id))) {
      const peer = sites.peerOf(holder);
      if (peer === undefined) continue;
      try {
        for await (const { stored } of fetchPrimes(this.#components, { peer, owner: self, ids: [id] })) return stored;
        faults.push(`${holder.slice(0, 16)} does not have it`);
      } catch (error) {
        if (!isPeersFault(error)) throw error;
        faults.push(`${holder.slice(0, 16)}: ${(error as Error).message}`);
      }
    }
    throw new CostorError("prime-missing", faults.join("; ") || "no other site says to hold it");
  }
}
