/**
 * What this site's own snapshots reach, for replication. Commits keep it before the snapshot exists, so a set that is read after
 * the number of the newest snapshot has all of that snapshot.
 */
import type { OwnPrimes } from "#node/replication/live-sets.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

export interface OwnPrimeComponents {
  readonly store: Pick<PrimeStore, "kept" | "keptSlices">;
}

export class OwnPrimeSets implements OwnPrimes {
  readonly #components: OwnPrimeComponents;
  readonly #siteId: SiteId;
  #revision = 0;
  #newestReceivedMs = 0;

  constructor(components: OwnPrimeComponents, { siteId }: { siteId: SiteId }) {
    this.#components = components;
    this.#siteId = siteId;
  }

  /** A snapshot exists that the site received then: such times grow from snapshot to snapshot, so they number them. */
  received(receivedMs: number): void {
    this.#revision++;
    this.#newestReceivedMs = Math.max(this.#newestReceivedMs, receivedMs);
  }

  /** Less is kept than before. */
  collected(): void {
    this.#revision++;
  }

  async slice(slice: number): Promise<{ ids: readonly PrimeId[]; bytes: number }> {
    const { store } = this.#components;
    const ids: PrimeId[] = [];
    for await (const page of store.kept(this.#siteId, slice.toString(16))) ids.push(...page);
    const total = (await store.keptSlices(this.#siteId)).find((one) => one.slice === slice);
    return { ids, bytes: total?.bytes ?? 0 };
  }

  revision(): number {
    return this.#revision;
  }

  snapshotsCount(): number {
    return this.#newestReceivedMs;
  }
}
