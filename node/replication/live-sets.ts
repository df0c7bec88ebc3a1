/** Signs what of this site's own primes is live, slice by slice. docs/specs/replication.md, Entries */
import type { Clock } from "#ledger/clock.ts";
import type { LedgerReader, OwnEntries } from "./replication-ports.ts";
import type { SignedSlice } from "./owner-run.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

/** What this site's own snapshots reach, whether or not all of it is here. */
export interface OwnPrimes {
  /** Ascending, and their stored bytes. */
  slice(slice: number): Promise<{ readonly ids: readonly PrimeId[]; readonly bytes: number }>;
  /** Changes when that slice may have changed. */
  revision(slice: number): number;
  /** The number of the newest snapshot: they are counted from 1 as they come, and none is counted twice. */
  snapshotsCount(): number;
}

/** Between two live sets of a slice. */
const LEAST_PAUSE_MS = 3_600_000;

export interface LiveSetComponents {
  readonly clock: Pick<Clock, "elapsedMs">;
  readonly self: SiteId;
  readonly ledger: Pick<LedgerReader, "statement" | "entry">;
  readonly entries: Pick<OwnEntries, "write">;
  readonly own: OwnPrimes;
}

export class LiveSets {
  readonly #components: LiveSetComponents;
  /** Revisions and snapshots that the newest live sets cover, as far as this process has signed them. */
  readonly #signed = new Map<number, { revision: number; snapshots: number; elapsedMs: number }>();
  readonly #signing = new Map<number, Promise<SignedSlice>>();

  constructor(components: LiveSetComponents) {
    this.#components = components;
  }

  /**
   * Whether the newest live set covers all there is, or is too young to be followed by another one: entries are for ever, and
   * each one has receipts. At first not known, and then false.
   */
  isCurrent(slice: number): boolean {
    const { own, clock } = this.#components;
    const signed = this.#signed.get(slice);
    if (signed === undefined) return false;
    if (clock.elapsedMs() - signed.elapsedMs < LEAST_PAUSE_MS) return true;
    return signed.revision === own.revision(slice) && signed.snapshots === own.snapshotsCount();
  }

  /** What is new does not wait: people ask for it. */
  hurry(): void {
    for (const signed of this.#signed.values()) signed.elapsedMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * What there is now, and the live set that says so: a new one where something has changed. Runs with two holders ask at
   * once, and get one. Throws like `OwnLog.write`.
   */
  sign(slice: number): Promise<SignedSlice> {
    const under = this.#signing.get(slice);
    if (under !== undefined) return under;
    const signing = this.#sign(slice).finally(() => this.#signing.delete(slice));
    this.#signing.set(slice, signing);
    return signing;
  }

  async #sign(slice: number): Promise<SignedSlice> {
    const { self, ledger, entries, own } = this.#components;
    // In this order: what a snapshot reaches is kept before the snapshot is counted.
    const [revision, snapshots] = [own.revision(slice), own.snapshotsCount()];
    const { ids, bytes } = await own.slice(slice);
    const hash = hashOfSet(ids);
    const newest = ledger.statement(self, "live-set", `${slice}`);
    const isSame = newest?.statement.hash === hash && newest.statement.snapshots === snapshots;
    const known = isSame ? await ledger.entry(newest.logId, newest.seq) : undefined;
    const generation = (newest?.statement.generation ?? 0) + (known === undefined ? 1 : 0);
    const entry =
      known ??
      (await entries.write({ kind: "live-set", slice, generation, count: ids.length, bytes, hash, snapshots }));
    this.#signed.set(slice, { revision, snapshots, elapsedMs: this.#components.clock.elapsedMs() });
    return { slice, ids, bytes, hash, generation, entry };
  }
}
