/**
 * The `PrimeStore` port on a simulated disk: one process's open store. Writes lie in a queue until their group is on the
 * disk, and only then are answered; a crash leaves the disk with some first part of what was in the queue.
 */
import type { Clock } from "#ledger/clock.ts";
import type { CheckReport, CollectInit, CollectReport, CompactionReport } from "#node/store/prime-store.ts";
import type { Fact, KeptTotal, PrimeStore, SliceTotal, SpaceReport } from "#node/store/prime-store.ts";
import { factRecord } from "#node/store/record-body.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { pagesOf, readBatch, verifyNumbered } from "./sim-batch.ts";
import type { SimDisk } from "./sim-disk.ts";

/** Facts are refused to agents, and primes to all, when less would stay free. */
const RESERVE_BYTES = 4096;

const PLAIN_KIND = /^[a-z]{1,32}$/;

interface Write {
  /** What it takes of the disk, if somebody else causes it. */
  readonly boundedBytes: number;
  /** Done one after the other; a crash may come between two. */
  readonly steps: readonly (() => void)[];
  readonly done: () => void;
  readonly refuse: (error: CostorError) => void;
}

export class SimStore implements PrimeStore {
  readonly #disk: SimDisk;
  readonly #clock: Clock | undefined;
  #queue: Write[] = [];
  #isWriting = false;
  #onPut: (() => void) | undefined;
  #state: "open" | "failed" | "closed" | "crashed" = "open";

  /** The clock is for disks that take time. Throws `store-locked`. */
  constructor(components: { disk: SimDisk; clock?: Clock }) {
    this.#disk = components.disk;
    this.#clock = components.clock;
    if (this.#disk.isOpen) throw new CostorError("store-locked", "the store is open");
    this.#disk.isOpen = true;
  }

  get generation(): string {
    return this.#disk.generation;
  }

  /** Has `listener` called once, when primes are about to be written. */
  onNextPut(listener: () => void): void {
    this.#onPut = listener;
  }

  /** Ends the process: nothing is answered any more. `doneRatio`, from 0 to 1: how much of what waits has reached the disk. */
  crash(doneRatio: number): void {
    const steps = this.#queue.flatMap(({ steps }) => steps);
    for (const step of steps.slice(0, Math.round(steps.length * doneRatio))) step();
    this.#queue = [];
    this.#state = "crashed";
    this.#disk.isOpen = false;
  }

  /** Lets all writes fail, those that wait too, until the store is opened again. */
  fail(doneRatio: number): void {
    const queue = this.#queue;
    this.crash(doneRatio);
    this.#state = "failed";
    this.#disk.isOpen = true;
    for (const { refuse } of queue) refuse(failed());
  }

  async put(sender: AgentId, primes: readonly StoredPrime[]): Promise<void> {
    await this.#ready();
    for (const [index, { id, stored }] of primes.entries()) {
      if (stored.length > limits.primeStoredBytes)
        throw new CostorError("limit-exceeded", `prime ${id} has ${stored.length} bytes`, { details: { index } });
      verifyNumbered(stored, id, index);
    }
    await this.#writePrimes(primes, (id) => this.#disk.claim(id, sender));
  }

  async putBatch(sender: AgentId, batch: Uint8Array): Promise<{ storedCount: number }> {
    await this.#ready();
    const primes = readBatch(batch);
    await this.#writePrimes(primes, (id) => this.#disk.claim(id, sender));
    return { storedCount: primes.length };
  }

  async putFor(site: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }> {
    await this.#ready();
    const primes = readBatch(batch);
    await this.#writePrimes(primes, (id) => this.#disk.keep(site, id));
    return { storedCount: primes.length, storedBytes: primes.reduce((sum, { stored }) => sum + stored.length, 0) };
  }

  keep(site: SiteId, ids: readonly PrimeId[]): Promise<void> {
    return this.#note(ids, (id) => this.#disk.keep(site, id));
  }

  claim(sender: AgentId, ids: readonly PrimeId[]): Promise<void> {
    return this.#note(ids, (id) => this.#disk.claim(id, sender));
  }

  async #note(ids: readonly PrimeId[], note: (id: PrimeId) => void): Promise<void> {
    await this.#ready();
    const steps = ids.map((id) => () => note(id));
    await this.#write(steps, 0);
  }

  has = async (ids: readonly PrimeId[]): Promise<boolean[]> => ids.map((id) => this.#disk.primes.has(id));

  async release(site: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    signal?.throwIfAborted();
    return this.#removeBy(ids, (id) => this.#disk.release(site, id) && this.#disk.remove(id));
  }

  async collect(site: SiteId, ids: readonly PrimeId[], { relying, isDry }: CollectInit): Promise<CollectReport> {
    await this.#ready();
    const agents = new Set(relying);
    const report = { removedPrimesCount: 0, removedBytes: 0 };
    const steps = ids.map((id) => () => {
      if (this.#disk.isRelied(id, agents)) return;
      const stored = this.#disk.isKeptForOther(site, id) ? undefined : this.#disk.primes.get(id);
      if (isDry !== true) this.#disk.collect(site, id);
      report.removedPrimesCount += Number(stored !== undefined);
      report.removedBytes += stored?.length ?? 0;
    });
    await this.#write(steps, 0);
    return report;
  }

  compact(): Promise<SpaceReport> {
    return this.#removeBy([], () => false);
  }

  async *sent(): AsyncGenerator<PrimeId[]> {
    await this.#readable();
    yield* pagesOf(this.#disk.sent());
  }

  async remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    signal?.throwIfAborted();
    return this.#removeBy(ids, (id) => this.#disk.remove(id));
  }

  async hasSent(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    await this.#ready();
    return ids.map((id) => this.#disk.primes.has(id) && this.#disk.hasClaim(id, sender));
  }

  hasClaimed = async (sender: AgentId, ids: readonly PrimeId[]) => ids.map((id) => this.#disk.hasClaim(id, sender));

  async get(id: PrimeId): Promise<Buffer> {
    await this.#readable();
    const stored = this.#disk.primes.get(id);
    if (stored && !this.#disk.rotten.has(id)) return Buffer.from(stored);
    if (stored) this.#disk.lose(id);
    else if (!this.#disk.quarantined.has(id)) throw new CostorError("prime-missing", `prime ${id} is not held`);
    throw new CostorError("prime-corrupt", `prime ${id} is damaged`);
  }

  async getMany(ids: readonly PrimeId[]): Promise<Buffer[]> {
    return Promise.all(ids.map((id) => this.get(id)));
  }

  async *kept(site: SiteId, prefix = ""): AsyncGenerator<PrimeId[]> {
    await this.#readable();
    yield* pagesOf(this.#disk.keptWith(site, prefix));
  }

  async hasKept(site: SiteId, ids: readonly PrimeId[]): Promise<boolean[]> {
    await this.#readable();
    return ids.map((id) => this.#disk.hasKept(site, id));
  }

  async keptTotals(): Promise<KeptTotal[]> {
    await this.#readable();
    return [...this.#disk.keptTotals()];
  }

  async keptSlices(site: SiteId): Promise<SliceTotal[]> {
    await this.#readable();
    return [...this.#disk.keptSlices(site)];
  }

  async *lostOf(site: SiteId): AsyncGenerator<PrimeId[]> {
    await this.#readable();
    yield* pagesOf(this.#disk.lostOf(site));
  }

  async appendFacts(facts: readonly Fact[], cause: "site" | "agent" = "site"): Promise<void> {
    await this.#ready();
    for (const { kind, key, value } of facts) if (!isPlain(kind, key, value)) factRecord(kind, key, value);
    const bytes = facts.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
    await this.#write(
      facts.map((fact) => () => this.#disk.setFact(fact)),
      cause === "agent" ? bytes : 0,
    );
  }

  async fact(kind: string, key: string): Promise<Buffer | undefined> {
    await this.#readable();
    return this.#disk.fact(kind, key);
  }

  async *facts(kind: string, prefix = ""): AsyncGenerator<{ key: string; value: Buffer }> {
    await this.#readable();
    yield* this.#disk.facts(kind, prefix);
  }

  async closedEpoch(): Promise<number> {
    await this.#readable();
    return this.#disk.closedEpoch;
  }

  async markClosed(marks: readonly string[], epoch = this.#disk.closedEpoch): Promise<void> {
    await this.#ready();
    if (epoch === this.#disk.closedEpoch) for (const mark of marks) this.#disk.closedMarks.add(mark);
  }

  async areClosed(marks: readonly string[]): Promise<boolean[]> {
    await this.#readable();
    return marks.map((mark) => this.#disk.closedMarks.has(mark));
  }

  async check({ readData = false, signal, onProgress }: Parameters<PrimeStore["check"]>[0] = {}): Promise<CheckReport> {
    await this.#readable();
    signal?.throwIfAborted();
    const disk = this.#disk;
    const primesCount = disk.primes.size;
    const damaged = readData ? [...disk.rotten] : [];
    for (const id of damaged) disk.lose(id);
    onProgress?.({ doneBytes: disk.usedBytes, totalBytes: disk.usedBytes });
    const place = { what: "record", file: "", offset: 0, lengthBytes: 0 };
    return {
      ...{ segmentsCount: 1, recordsCount: primesCount, primesCount },
      verifiedPrimesCount: readData ? primesCount - damaged.length : 0,
      readBytes: readData ? disk.usedBytes : 0,
      findings: damaged.map((id) => ({ ...place, id, message: `prime ${id} is damaged` })),
      quarantined: [],
    } as CheckReport;
  }

  async scrub(): ReturnType<PrimeStore["scrub"]> {
    return { next: undefined, totalBytes: this.#disk.usedBytes, ...(await this.check({ readData: true })) };
  }

  verifyIndex = async (): Promise<boolean> => true;

  async rebuildIndex(): Promise<void> {
    await this.#ready();
    this.#disk.closedMarks.clear();
  }

  async stats(): ReturnType<PrimeStore["stats"]> {
    await this.#readable();
    const { primes, primesBytes, factsCount, usedBytes, freeBytes, quarantined } = this.#disk;
    return {
      primesCount: primes.size,
      primesBytes,
      factsCount,
      segmentsCount: 1,
      segmentsBytes: usedBytes,
      indexBytes: 0,
      freeBytes,
      reserveBytes: RESERVE_BYTES,
      quarantinedCount: quarantined.size,
      damagedCount: quarantined.size,
      isFailed: this.#state === "failed",
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== "open" && this.#state !== "failed") return;
    while (this.#isWriting) await this.#write([], 0);
    this.#state = "closed";
    this.#disk.isOpen = false;
  }

  async #removeBy(ids: readonly PrimeId[], remove: (id: PrimeId) => boolean): Promise<CompactionReport> {
    await this.#ready();
    let removedPrimesCount = 0;
    const freeBytes = this.#disk.freeBytes;
    await this.#write(
      ids.map((id) => () => void (removedPrimesCount += Number(remove(id)))),
      0,
    );
    const freedBytes = Math.max(0, this.#disk.freeBytes - freeBytes);
    return { removedPrimesCount, removedSegmentsCount: 0, movedBytes: 0, freedBytes };
  }

  #writePrimes(primes: readonly StoredPrime[], note: (id: PrimeId) => void): Promise<void> {
    this.#onPut?.();
    this.#onPut = undefined;
    const news = primes.filter(({ id }) => !this.#disk.primes.has(id));
    return this.#write(
      primes.map((prime) => () => {
        this.#disk.putPrime(prime);
        note(prime.id);
      }),
      news.reduce((sum, { stored }) => sum + stored.length, 0),
    );
  }

  async #write(steps: Write["steps"], boundedBytes: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ steps, boundedBytes, done: resolve, refuse: reject });
    if (!this.#isWriting) void this.#writeGroups();
    await promise;
    await this.#readable();
  }

  async #writeGroups(): Promise<void> {
    this.#isWriting = true;
    while (this.#queue.length > 0 && this.#state === "open") {
      const groupCount = this.#queue.length;
      const writeMs = this.#disk.drawWriteMs();
      if (writeMs > 0) await this.#clock!.sleep(writeMs);
      if (this.#state !== "open") break;
      for (const { steps, boundedBytes, done, refuse } of this.#queue.splice(0, groupCount)) {
        if (boundedBytes > 0 && this.#disk.freeBytes < boundedBytes + RESERVE_BYTES) {
          refuse(new CostorError("store-full", "the disk is full"));
          continue;
        }
        for (const step of steps) step();
        done();
      }
    }
    this.#isWriting = false;
  }

  /** A process that has crashed does nothing more: what is returned is to be awaited. Throws `store-failed`. */
  #readable(): Promise<void> | undefined {
    if (this.#state === "crashed") return new Promise(() => {});
    if (this.#state === "closed") throw failed();
    return undefined;
  }

  #ready(): Promise<void> | undefined {
    if (this.#state === "failed") throw failed();
    return this.#readable();
  }
}

/** Whether a fact is surely within its limits: what is not is looked at by the real store's own rules. */
const isPlain = (kind: string, key: string, value: Uint8Array | undefined): boolean =>
  PLAIN_KIND.test(kind) && 4 * key.length <= limits.factKeyBytes && (value?.length ?? 0) <= limits.factValueBytes;

const failed = (): CostorError => new CostorError("store-failed", "the store takes no more");
