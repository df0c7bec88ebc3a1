/**
 * The port through which a site keeps what must last: primes, who sent them, for which sites they are kept, and small facts. `SegmentStore` implements
 * it; `StoreProxy` passes the calls to one in a worker thread. Contract tests: `test/conformance/prime-store.ts`.
 *
 * Calls may overlap. A call that writes resolves once its effect survives a crash of the machine, and not before; when
 * it rejects, its effect may or may not be there, except that `store-full` and all refusals of input leave none.
 * Reads see all writes that were acknowledged before the read was called.
 */
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import type { DamagedStretch } from "./record-body.ts";

/** What a fact is about: lower-case letters, digits and `-`, at most 32. */
export type FactKind = string;

export interface Fact {
  readonly kind: FactKind;
  /** At most `limits.factKeyBytes` of UTF-8. */
  readonly key: string;
  /** At most `limits.factValueBytes`; undefined removes the fact. */
  readonly value: Uint8Array | undefined;
}

/** Who causes facts: what agents do must not take the room in which the site deletes. */
export type FactCause = "site" | "agent";

export interface CheckInit {
  /** Also reads and verifies every prime. */
  readonly readData?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CheckProgress) => void;
}

export interface CheckProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** One thing that is not as it was written. */
export interface CheckFinding {
  readonly what: "segment-header" | "segment-missing" | "record" | "index";
  /** File name below the store's directory. */
  readonly file: string;
  readonly offset: number;
  readonly lengthBytes: number;
  /** The prime that was here, when it is known. */
  readonly id?: PrimeId;
  /** One sentence for a person. */
  readonly message: string;
}

export interface CheckReport {
  readonly segmentsCount: number;
  readonly recordsCount: number;
  readonly primesCount: number;
  /** Primes whose bytes were read and verified. */
  readonly verifiedPrimesCount: number;
  readonly readBytes: number;
  /** Found by this check; new damage is quarantined by the time the check ends. */
  readonly findings: readonly CheckFinding[];
  /** All damage on record that no later copy has healed. */
  readonly quarantined: readonly DamagedStretch[];
}

/** Where a record starts. */
export interface ScrubPlace {
  readonly segment: number;
  readonly offset: number;
}

export interface ScrubInit {
  /** What `ScrubStep.next` said; undefined: the first record. */
  readonly from: ScrubPlace | undefined;
  /** Reads nothing from here on; undefined: up to the last record. */
  readonly until: ScrubPlace | undefined;
  /** About so much is read: whole records, and of a segment in which more than primes is damaged all that is left. */
  readonly bytes: number;
}

export interface ScrubStep {
  /** Undefined when all up to `until` was read. */
  readonly next: ScrubPlace | undefined;
  readonly readBytes: number;
  /** Of all records. */
  readonly totalBytes: number;
  /** New ones. */
  readonly findings: readonly CheckFinding[];
}

export interface StoreStats {
  readonly primesCount: number;
  readonly primesBytes: number;
  readonly factsCount: number;
  readonly segmentsCount: number;
  readonly segmentsBytes: number;
  readonly indexBytes: number;
  readonly freeBytes: number;
  /** Primes are refused when less would stay free. */
  readonly reserveBytes: number;
  /** Stretches of damage that no later copy has healed. */
  readonly quarantinedCount: number;
  /** All stretches of damage in segments that are still there, healed or not. */
  readonly damagedCount: number;
  /** The store refuses all writes until it is opened again. */
  readonly isFailed: boolean;
}

export interface CollectInit {
  readonly relying: readonly AgentId[];
  readonly isDry?: boolean;
}

export interface CollectReport {
  readonly removedPrimesCount: number;
  /** Stored bytes of them. */
  readonly removedBytes: number;
}

export interface CompactionReport extends SpaceReport {
  readonly removedPrimesCount: number;
}

export interface SpaceReport {
  readonly removedSegmentsCount: number;
  readonly movedBytes: number;
  readonly freedBytes: number;
}

/** What is kept of one slice: of the ids with one first hex digit. */
export interface SliceTotal {
  readonly slice: number;
  readonly count: number;
  readonly bytes: number;
  readonly lostCount: number;
}

/** What is kept for one site. */
export interface KeptTotal {
  readonly site: SiteId;
  readonly count: number;
  /** Stored bytes of those that are here. */
  readonly bytes: number;
  /** How many are not here. */
  readonly lostCount: number;
}

export interface PrimeStore extends AsyncDisposable {
  /** 32 hex digits. Another value than before means that acknowledged data may be missing: senders ask for all of theirs. */
  readonly generation: string;

  /**
   * Keeps primes that `sender` has sent, and that it did. Idempotent. Nothing is kept when any id is wrong.
   * Throws `prime-mismatch`, `limit-exceeded`, `store-full`, `store-failed`.
   */
  put(sender: AgentId, primes: readonly { readonly id: PrimeId; readonly stored: Uint8Array }[]): Promise<void>;

  /**
   * The same for a batch as it came off the wire (protocol/batch.ts); its buffer is taken over and must not be used afterwards.
   * Throws as `put`, and `bad-request`; a `prime-mismatch` has the prime's number in `details.index`.
   */
  putBatch(sender: AgentId, batch: Uint8Array): Promise<{ storedCount: number }>;

  /** Notes that `sender` has sent these: what is known of snapshots tells it when the record is lost. Throws as `keep`. */
  claim(sender: AgentId, ids: readonly PrimeId[]): Promise<void>;

  /** For each id whether it is held. */
  has(ids: readonly PrimeId[]): Promise<boolean[]>;

  /** For each id whether it is held and `sender` has sent it. */
  hasSent(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]>;

  /** For each id whether `sender` has sent it, held or not: what is damaged here, or yet to come, is its own all the same. */
  hasClaimed(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]>;

  /** Verified on reading. Throws `prime-missing`, `prime-corrupt`. */
  get(id: PrimeId): Promise<Buffer>;

  /** The primes in the order asked for, read in the order they lie on the disk. Throws like `get`. */
  getMany(ids: readonly PrimeId[]): Promise<Buffer[]>;

  /**
   * Notes that these primes are kept for `site`. Idempotent. A keep is about the id alone: what is not here is kept all the same, and
   * what is lost stays kept. Throws `store-full`, `store-failed`.
   */
  keep(site: SiteId, ids: readonly PrimeId[]): Promise<void>;

  /**
   * Puts the primes of a batch as `putBatch` does and keeps them for `site`, both or neither. What is counted is the whole
   * batch, whether or not it was here before. Throws as `putBatch`.
   */
  putFor(site: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }>;

  /**
   * Ends keeps of `site`. Primes that then are kept for no site and that no agent has sent are removed as by `remove`. A prime that is
   * put, or kept, by a call that overlaps this one stays. Space comes back once releases have removed much, or by {@link compact}.
   */
  release(site: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport>;

  /**
   * Ends keeps of `site` and removes the primes, with whatever claims there are, unless they are kept for another site. Of what an
   * agent of `relying` has sent nothing changes: the caller names all that may be sending, and answers for nothing else reaching what it
   * collects. Gives no space back: {@link compact} does. With `isDry` it only tells.
   */
  collect(site: SiteId, ids: readonly PrimeId[], init: CollectInit): Promise<CollectReport>;

  /** Gives back the space of segments that are mostly dead, in steps between which others write. */
  compact(signal?: AbortSignal): Promise<SpaceReport>;

  /** Primes that any agent has sent, ascending, in pages as `kept`. */
  sent(): AsyncIterable<PrimeId[]>;

  /**
   * What is kept for `site`, ascending, in pages of at most a few thousand; of ids that start with `prefix`, hex digits. What
   * changes meanwhile may be missed or not.
   */
  kept(site: SiteId, prefix?: string): AsyncIterable<PrimeId[]>;
  hasKept(site: SiteId, ids: readonly PrimeId[]): Promise<boolean[]>;
  /** One entry for each site that something is kept for, ascending; kept up to date with each write, so it costs nothing. */
  keptTotals(): Promise<KeptTotal[]>;
  /** The same of one site by slice: none for a slice of which nothing is kept. */
  keptSlices(site: SiteId): Promise<SliceTotal[]>;
  /** What is kept for `site` and is not here, ascending, in pages as `kept`. At once when nothing is lost. */
  lostOf(site: SiteId): AsyncIterable<PrimeId[]>;

  /**
   * Facts are written in their order; the newest of a kind and key is the one that counts. Those that an agent causes are
   * refused with `store-full` while only the last part of the reserve is free.
   */
  appendFacts(facts: readonly Fact[], cause?: FactCause): Promise<void>;
  fact(kind: FactKind, key: string): Promise<Buffer | undefined>;
  /** In byte order of the keys (UTF-8), those that start with `prefix`. */
  facts(kind: FactKind, prefix?: string): AsyncIterable<{ key: string; value: Buffer }>;

  /** Changes whenever primes may have gone, with which all closed marks go. */
  closedEpoch(): Promise<number>;
  /**
   * Notes that whole trees were found here. Not durable: a mark only saves work. With an `epoch`, from before the trees
   * were walked, nothing is noted if primes may have gone since.
   */
  markClosed(marks: readonly string[], epoch?: number): Promise<void>;
  areClosed(marks: readonly string[]): Promise<boolean[]>;

  /** Reads everything and compares. Quarantines what is damaged; a damaged index is rebuilt. */
  check(init?: CheckInit): Promise<CheckReport>;
  /** Reads on and verifies every record; quarantines what is damaged, as `check` does. Other calls go on meanwhile. */
  scrub(init: ScrubInit): Promise<ScrubStep>;
  /** Whether the index is as it was written; when it is not, it is made anew. Other calls go on meanwhile. */
  verifyIndex(): Promise<boolean>;
  /** Makes the index anew from the segments, and keeps what only it knows. Other calls wait. */
  rebuildIndex(): Promise<void>;
  stats(): Promise<StoreStats>;

  /**
   * Removes primes for ever, whoever has sent them, and gives back the space of segments that are mostly dead.
   * The caller answers for nothing reaching them. Keeps stay: a prime that is still kept counts as lost.
   */
  remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport>;
}
