/** Signs what of this site's own primes is live, slice by slice. docs/specs/replication.md, Entries */
import type { Clock } from "#ledger/clock.ts";
import type { LedgerReader, OwnEntries } from "./replication-ports.ts";
import type { SignedSlice } from "./owner-run.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { StatementOf } from "#ledger/statements.ts";
import { allSlices } from "./all-slices.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import type { LogId, PrimeId, SiteId } from "#protocol/ids.ts";

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
  readonly ledger: Pick<LedgerReader, "currentLog" | "statement" | "entry">;
  readonly entries: Pick<OwnEntries, "writeAll">;
  readonly own: OwnPrimes;
}

export class LiveSets {
  readonly #components: LiveSetComponents;
  /** Revisions and snapshots that the newest live sets cover, as far as this process has signed them. */
  readonly #signed = new Map<number, { revision: number; snapshots: number; elapsedMs: number }>();
  readonly #queue = new SerialQueue();

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
   * What there is now, and the live set that says so. Where something has changed, all slices are signed anew in one entry. Runs
   * with two holders ask one after the other, and get one. Throws like `OwnLog.write`.
   */
  sign(slice: number): Promise<SignedSlice> {
    return this.#queue.run(async () => {
      const { ledger, own } = this.#components;
      const known = { snapshots: own.snapshotsCount(), revisions: allSlices.map((each) => own.revision(each)) };
      const set = await this.#read(slice);
      if (!this.#isSigned(set)) await this.#signAll(known, set);
      const { logId, seq, statement } = this.#newest(slice)!;
      const entry = await ledger.entry(logId, seq);
      // Another machine that writes as this site may come between.
      if (entry === undefined || statement.hash !== set.hash)
        throw new CostorError("too-many-requests", "the slice is signed otherwise than it was read");
      return { ...set, generation: statement.generation, snapshots: statement.snapshots, entry };
    });
  }

  async #read(slice: number): Promise<ReadSlice> {
    const { ids, bytes } = await this.#components.own.slice(slice);
    return { slice, ids, bytes, hash: hashOfSet(ids) };
  }

  /** Whether a live set in force says so, and covers the newest snapshot or is too young to be followed by another one. */
  #isSigned({ slice, hash }: ReadSlice): boolean {
    const newest = this.#newest(slice);
    return newest?.statement.hash === hash && this.#isOwn(newest) && this.isCurrent(slice);
  }

  #newest(slice: number) {
    const { self, ledger } = this.#components;
    return ledger.statement(self, "live-set", `${slice}`);
  }

  /** Of this machine's log: what a former machine has signed no holder takes from this one. */
  #isOwn({ logId }: { readonly logId: LogId }): boolean {
    const { self, ledger } = this.#components;
    return ledger.currentLog(self)?.log.id === logId;
  }

  /** In one entry, those that are as they were left out. `known` was there before any slice was read: what it counts is in them. */
  async #signAll({ snapshots, revisions }: Known, read: ReadSlice): Promise<void> {
    const { entries, clock } = this.#components;
    const changed: StatementOf<"live-set">[] = [];
    for (const slice of allSlices) {
      const { ids, bytes, hash } = slice === read.slice ? read : await this.#read(slice);
      const newest = this.#newest(slice);
      const said = newest?.statement;
      if (newest !== undefined && said?.hash === hash && said.snapshots === snapshots && this.#isOwn(newest)) continue;
      const generation = (said?.generation ?? 0) + 1;
      changed.push({ kind: "live-set", slice, generation, count: ids.length, bytes, hash, snapshots });
    }
    if (changed.length > 0) await entries.writeAll(changed);
    passFailpoint("replicate.signed");
    const elapsedMs = clock.elapsedMs();
    for (const slice of allSlices) this.#signed.set(slice, { revision: revisions[slice]!, snapshots, elapsedMs });
  }
}

/** A slice as it is now. */
type ReadSlice = Pick<SignedSlice, "slice" | "ids" | "bytes" | "hash">;

/** What {@link OwnPrimes} said of all slices. */
interface Known {
  readonly snapshots: number;
  readonly revisions: readonly number[];
}
