/**
 * The prime store in segments with an index in Level; docs/specs/store.md is its specification.
 *
 * Who calls whom: writes go to RecordLog, reads to PrimeReader and LiveIndex. Invariants: the index never holds what is
 * not durable; nothing is acknowledged before it is in both; no body leaves unverified.
 */
import { join } from "node:path";
import type { StoredPrime } from "#protocol/batch.ts";
import { type AgentId, type PrimeId, type SiteId, primeIdToBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Disk } from "./disk.ts";
import { type ClaimRequest, isAnyThere } from "./group-plan.ts";
import { keptIdPages, KeptReader, lostIdPages, type LostPage, sentIdPages } from "./kept-reader.ts";
import { NodeDisk } from "./node-disk.ts";
import { PrimeReader } from "./prime-reader.ts";
import type {
  CheckInit,
  CheckReport,
  CollectInit,
  CollectReport,
  CompactionReport,
  Fact,
  FactCause,
  FactKind,
  KeptTotal,
  PrimeStore,
  ScrubInit,
  ScrubStep,
  SliceTotal,
  SpaceReport,
  StoreStats,
} from "./prime-store.ts";
import { agentIdToBytes, factRecord, siteIdToBytes } from "./record-body.ts";
import { RecordLog, type StoreEvent } from "./record-log.ts";
import { SegmentReader } from "./segment-reader.ts";
import { SpaceReserve } from "./space-reserve.ts";
import { SpaceReturn } from "./space-return.ts";
import { primesOfBatch, verifiedPrimes } from "./sent-primes.ts";
import { checkStore, type StoreCheckComponents, type StoreCheckInit } from "./store-check.ts";
import type { StoreIndex } from "./store-index.ts";
import { scrubStep } from "./store-scrub.ts";
import { storeStats } from "./store-stats.ts";
import { openingError, type OpenedLog, openWithReserve } from "./store-opening.ts";

export interface SegmentStoreInit {
  readonly directory: string;
  readonly segmentBytes?: number;
  /** Largest size of the file that holds space back; 0 for none. */
  readonly reserveFileBytes?: number;
  readonly onEvent?: (event: StoreEvent) => void;
}

export interface SegmentStoreComponents {
  readonly disk?: Disk;
  readonly nowMs?: () => number;
}

const defaultReserveFileBytes = 8 * 1024 * 1024;
/** A page of facts ends with the one that reaches either. */
const factPageLimits = { count: 256, bytes: 1024 * 1024 };

export class SegmentStore implements PrimeStore {
  readonly #disk: Disk;
  readonly #log: RecordLog;
  readonly #reader: SegmentReader;
  readonly #primes: PrimeReader;
  readonly #kept: KeptReader;
  readonly #reserve: SpaceReserve;
  readonly #space: SpaceReturn;
  /** What the index held at opening is known to be right. */
  #isVerified = false;
  #closed: Promise<void> | undefined;

  private constructor(
    components: { disk: Disk; reserve: SpaceReserve; log: RecordLog; reader: SegmentReader },
    { segmentBytes }: { segmentBytes: number },
  ) {
    const { disk, reserve, log, reader } = components;
    this.#disk = disk;
    this.#reserve = reserve;
    this.#log = log;
    this.#reader = reader;
    this.#kept = new KeptReader({ live: log.live });
    this.#space = new SpaceReturn({ disk, log, reader }, { segmentBytes });
    this.#primes = new PrimeReader(
      { live: log.live, reader, runAlone: (action) => log.runAlone(action) },
      { quarantine: (damage) => log.recordDamageInTurn(damage) },
    );
  }

  /** Throws `store-locked`, `store-full`, `store-failed`. */
  static async open(init: SegmentStoreInit, components: SegmentStoreComponents = {}): Promise<SegmentStore> {
    const { segmentBytes = limits.segmentBytes, reserveFileBytes = defaultReserveFileBytes, onEvent = ignore } = init;
    const { disk = new NodeDisk(init.directory), nowMs = Date.now } = components;
    const indexLocation = join(init.directory, "index");
    const reserve = new SpaceReserve({ disk }, { segmentBytes, fileBytes: reserveFileBytes });
    try {
      const opened = await openWithReserve({ disk, reserve, nowMs }, { indexLocation, segmentBytes });
      const log = new RecordLog({ disk, reserve, nowMs }, { opened, indexLocation, segmentBytes, onEvent });
      const reader = new SegmentReader({ disk }, { salt: opened.salt });
      const store = new SegmentStore({ disk, reserve, log, reader }, { segmentBytes });
      await store.#start(opened);
      return store;
    } catch (error) {
      throw openingError(error);
    }
  }

  async #start(opened: OpenedLog): Promise<void> {
    try {
      await this.#log.start(opened);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    // Calls that need the answer wait for it; an error comes up there.
    this.whenVerified().catch(ignore);
  }

  get generation(): string {
    return this.#log.generation;
  }

  put(sender: AgentId, primes: readonly { readonly id: PrimeId; readonly stored: Uint8Array }[]): Promise<void> {
    return this.#claim({ agent: agentIdToBytes(sender) }, primes);
  }

  async #claim(by: ClaimRequest["by"], sent: readonly StoredPrime[]): Promise<void> {
    const primes = verifiedPrimes(sent);
    const ids = primes.map(({ digest }) => digest);
    if (ids.length > 0) await this.#submit({ type: "claim", by, ids, primes });
  }

  /** What the index has is not written again, so until it is known to be right that has to be found out first. */
  async #submit(request: ClaimRequest): Promise<void> {
    if (!this.#isVerified && (await this.#log.live.read((index) => isAnyThere(index, request))))
      await this.whenVerified();
    await this.#log.submit(request);
  }

  async putBatch(sender: AgentId, batch: Uint8Array): Promise<{ storedCount: number }> {
    const primes = primesOfBatch(batch);
    await this.put(sender, primes);
    return { storedCount: primes.length };
  }

  async putFor(site: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }> {
    const primes = primesOfBatch(batch);
    await this.#claim({ site: siteIdToBytes(site) }, primes);
    return { storedCount: primes.length, storedBytes: primes.reduce((sum, { stored }) => sum + stored.length, 0) };
  }

  keep(site: SiteId, ids: readonly PrimeId[]): Promise<void> {
    return this.#note({ site: siteIdToBytes(site) }, ids);
  }

  claim(sender: AgentId, ids: readonly PrimeId[]): Promise<void> {
    return this.#note({ agent: agentIdToBytes(sender) }, ids);
  }

  async #note(by: ClaimRequest["by"], ids: readonly PrimeId[]): Promise<void> {
    if (ids.length > 0) await this.#submit({ type: "claim", by, ids: ids.map(primeIdToBytes), primes: [] });
  }

  async release(site: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    if (!this.#isVerified) await this.whenVerified();
    return this.#space.release(site, ids, signal);
  }

  collect(site: SiteId, ids: readonly PrimeId[], init: CollectInit): Promise<CollectReport> {
    return this.#space.collect(site, ids, init);
  }

  sent(): AsyncGenerator<PrimeId[]> {
    return sentIdPages((after) => this.sentPage(after));
  }

  sentPage(after: Uint8Array | undefined): Promise<Buffer> {
    return this.#kept.sentPage(after);
  }

  kept(site: SiteId, prefix = ""): AsyncGenerator<PrimeId[]> {
    return keptIdPages((...args) => this.keptPage(...args), site, prefix);
  }

  keptPage(site: SiteId, prefix: string, after: Uint8Array | undefined): Promise<Buffer> {
    return this.#kept.page(site, prefix, after);
  }

  hasKept(site: SiteId, ids: readonly PrimeId[]): Promise<boolean[]> {
    return this.#kept.has(site, ids);
  }

  keptTotals(): Promise<KeptTotal[]> {
    return this.#kept.totals();
  }

  keptSlices(site: SiteId): Promise<SliceTotal[]> {
    return this.#kept.slices(site);
  }

  lostOf(site: SiteId): AsyncGenerator<PrimeId[]> {
    return lostIdPages((...args) => this.lostPage(...args), site);
  }

  lostPage(site: SiteId, after: Uint8Array | undefined): Promise<LostPage | undefined> {
    return this.#kept.lostPage(site, after);
  }

  hasSent(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    const digests = ids.map(primeIdToBytes);
    const agent = agentIdToBytes(sender);
    return this.#believed(async (index) => {
      const [places, claims] = await Promise.all([index.locate(digests), index.hasClaims(digests, agent)]);
      return digests.map((_, at) => places[at] !== undefined && claims[at]!);
    });
  }

  hasClaimed(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    const [digests, agent] = [ids.map(primeIdToBytes), agentIdToBytes(sender)];
    return this.#believed((index) => index.hasClaims(digests, agent));
  }

  has(ids: readonly PrimeId[]): Promise<boolean[]> {
    const digests = ids.map(primeIdToBytes);
    return this.#believed(async (index) => (await index.locate(digests)).map((place) => place !== undefined));
  }

  /** What is there and what is not is believed only once the index is known to be right. */
  async #believed(ask: (index: StoreIndex) => Promise<boolean[]>): Promise<boolean[]> {
    if (!this.#isVerified) await this.whenVerified();
    return this.#log.live.read(ask);
  }

  get(id: PrimeId): Promise<Buffer> {
    return this.#primes.get(id);
  }

  getMany(ids: readonly PrimeId[]): Promise<Buffer[]> {
    return this.#primes.getMany(ids);
  }

  async appendFacts(facts: readonly Fact[], cause: FactCause = "site"): Promise<void> {
    const records = facts.map(({ kind, key, value }) => factRecord(kind, key, value));
    if (records.length > 0) await this.#log.submit({ type: "records", records, cause });
  }

  async fact(kind: FactKind, key: string): Promise<Buffer | undefined> {
    await this.#log.live.verified("facts");
    return (await this.#log.live.read((index) => index.fact(kind, Buffer.from(key, "utf8"))))?.value;
  }

  async *facts(kind: FactKind, prefix = ""): AsyncGenerator<{ key: string; value: Buffer }> {
    let after: Buffer | undefined;
    for (;;) {
      const page = await this.factPage(kind, prefix, after);
      for (const { key, value } of page) yield { key: key.toString("utf8"), value };
      if (page.length === 0) return;
      after = page.at(-1)!.key;
    }
  }

  /** The next facts whose keys start with `prefix`, after the key `after`; none at the end. */
  async factPage(
    kind: FactKind,
    prefix: string,
    after: Uint8Array | undefined,
  ): Promise<{ key: Buffer; value: Buffer }[]> {
    await this.#log.live.verified("facts");
    const start = after === undefined ? undefined : Buffer.from(after);
    return this.#log.live.read((index) => index.factsAfter(kind, Buffer.from(prefix, "utf8"), start, factPageLimits));
  }

  closedEpoch(): Promise<number> {
    return this.#log.live.read(async (index) => index.meta.closedEpoch);
  }

  async markClosed(marks: readonly string[], epoch?: number): Promise<void> {
    if (marks.length > 0) await this.#log.live.markClosed(marks, epoch);
  }

  areClosed(marks: readonly string[]): Promise<boolean[]> {
    return this.#log.live.read((index) => index.areClosed(marks));
  }

  get #checked(): StoreCheckComponents {
    return { disk: this.#disk, live: this.#log.live, runAlone: (action) => this.#log.runAlone(action) };
  }

  get #checkInit(): StoreCheckInit {
    return {
      logEnd: () => this.#log.end,
      quarantine: (damage) => this.#log.recordFoundDamageInTurn(damage),
      rebuild: (reason) => this.#log.rebuildInTurn(reason),
    };
  }

  check(init: CheckInit = {}): Promise<CheckReport> {
    return checkStore(this.#checked, init, this.#checkInit);
  }

  scrub(init: ScrubInit): Promise<ScrubStep> {
    return scrubStep(this.#checked, this.#checkInit, init);
  }

  verifyIndex(): Promise<boolean> {
    return this.#log.live.verifyAgain();
  }

  rebuildIndex(): Promise<void> {
    return this.#log.runAlone(() => this.#log.rebuildInTurn("asked for"));
  }

  remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    return this.#space.remove(ids, signal);
  }

  compact(signal?: AbortSignal): Promise<SpaceReport> {
    return this.#space.compact(signal);
  }

  stats(): Promise<StoreStats> {
    return storeStats({ disk: this.#disk, log: this.#log, reserve: this.#reserve });
  }

  /** Everything that a rebuild must give again, line by line. */
  async dump(): Promise<string[]> {
    return this.#log.live.read(async (index) => {
      const lines: string[] = [];
      for await (const line of index.dump()) lines.push(line);
      return lines;
    });
  }

  /** Resolves when what the index held at opening is known to be complete. */
  async whenVerified(): Promise<void> {
    await this.#log.live.verified("facts");
    await this.#log.live.verified("rest");
    this.#isVerified = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#space
      .stop()
      .then(() => this.#log.close())
      .finally(() => this.#reader.close()));
  }
}

const ignore = (): void => {};
