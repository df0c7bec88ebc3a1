/**
 * A site from a copied data directory and its kit, with nothing running: from the site's own disk, or from that of another site that
 * keeps its primes and has its ledger.
 */
import { Ledger } from "#ledger/ledger.ts";
import { toldFormerKeys } from "#node/federation/told-former-keys.ts";
import { privateKeysOf, readFormerKeys } from "#node/site/former-keys.ts";
import { siteDirectoryOf } from "#node/site/identity.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { storeDirectoryOf } from "#node/site/site-store.ts";
import { CopiedStore, type CopiedStoreInit } from "#node/store/copied-store.ts";
import { NodeDisk } from "#node/store/node-disk.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId, SnapshotId } from "#protocol/ids.ts";
import { RescuedSnapshots } from "./rescued-snapshots.ts";
import type { RescuedSite } from "./rescued-site.ts";
import { openSealedFacts } from "./sealed-facts.ts";

export interface CopiedSiteInit extends CopiedStoreInit {
  readonly dataDirectory: string;
  readonly siteId: SiteId;
  readonly readKeys: readonly Uint8Array[];
}

export class CopiedSite implements RescuedSite {
  readonly isVerified = false;
  readonly #store: CopiedStore;
  readonly #snapshots: RescuedSnapshots;

  private constructor(store: CopiedStore, snapshots: RescuedSnapshots) {
    this.#store = store;
    this.#snapshots = snapshots;
  }

  /** Throws `store-missing`, and `nothing-of-site` when nothing here is of the kit's site. */
  static async open({ dataDirectory, siteId, readKeys: kitKeys, ...init }: CopiedSiteInit): Promise<CopiedSite> {
    const store = await CopiedStore.open({ disk: new NodeDisk(storeDirectoryOf(dataDirectory)) }, init);
    try {
      const former = await readFormerKeys(siteDirectoryOf(dataDirectory), siteId, kitKeys);
      let readKeys = [...kitKeys, ...privateKeysOf(former)];
      const own = new RescuedSnapshots({ facts: store }, { siteId, readKeys });
      if (await own.opensAny()) return new CopiedSite(store, own);
      const ledger = await openCopiedLedger(store);
      readKeys = [...kitKeys, ...privateKeysOf(await toldFormerKeys({ ledger }, { siteId, readKeys: kitKeys }))];
      const facts = await openSealedFacts({ ledger }, { siteId, readKeys, signal: init.signal });
      const kept = new RescuedSnapshots({ facts }, { siteId, readKeys });
      if (await kept.opensAny()) return new CopiedSite(store, kept);
      throw new CostorError("nothing-of-site", `nothing here is a snapshot of site ${siteId}, whose kit this is`, {
        details: { siteId, primesCount: store.primesCount, damagedBytes: store.damagedBytes },
      });
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of stretches of the copy in which nothing valid was found. */
  get damagedBytes(): number {
    return this.#store.damagedBytes;
  }

  agents(): ReturnType<RescuedSite["agents"]> {
    return this.#snapshots.agents();
  }

  snapshots(agent: AgentId): ReturnType<RescuedSite["snapshots"]> {
    return this.#snapshots.snapshots(agent);
  }

  snapshot(agent: AgentId, snapshot: SnapshotId): ReturnType<RescuedSite["snapshot"]> {
    return this.#snapshots.snapshot(agent, snapshot);
  }

  async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    for (const id of ids) {
      signal?.throwIfAborted();
      yield { id, stored: await this.#store.get(id) };
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#store[Symbol.asyncDispose]();
  }
}

/** What was admitted once was allowed then; it is read only. */
function openCopiedLedger(store: CopiedStore): Promise<Ledger> {
  const speakers = { follow: () => undefined, lastAllowedSeq: () => Infinity, agreedLinks: () => [] };
  const appendFacts = (): never => {
    throw new CostorError("internal", "a copied store is not written to");
  };
  return Ledger.open({ store: new LedgerFacts({ store: { ...readerOf(store), appendFacts } }), speakers });
}

const readerOf = (store: CopiedStore): Pick<CopiedStore, "fact" | "facts"> => ({
  fact: (kind, key) => store.fact(kind, key),
  facts: (kind, prefix) => store.facts(kind, prefix),
});
