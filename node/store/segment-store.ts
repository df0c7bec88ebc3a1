/**
 * The prime store in segments with an index in Level; docs/specs/store.md is its specification.
 *
 * Who calls whom: callers → this → CommitQueue → (planGroup → SegmentWriter → LiveIndex), one group at a time; reads go
 * LiveIndex → SegmentReader beside it. Invariants: the index never holds what is not durable; nothing is acknowledged
 * before it is in both; no body leaves unverified.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, primeIdFromBytes, primeIdToBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { parseBatch } from "#protocol/batch.ts";
import { isWithin, removalsOf, salvageFacts } from "./fact-salvage.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { Disk } from "./disk.ts";
import { planGroup, type PutRequest, requestBytes, type StoreRequest } from "./group-plan.ts";
import { LiveIndex } from "./live-index.ts";
import { NodeDisk } from "./node-disk.ts";
import { PrimeReader, unhealedDamage } from "./prime-reader.ts";
import type { CheckInit, CheckReport, CompactionReport, Fact, FactKind, PrimeStore, StoreStats } from "./prime-store.ts";
import { agentIdToBytes, type DamagedStretch, deletionRecords, factRecord, generationRecord, quarantineRecord } from "./record-body.ts";
import type { NewRecord } from "./record.ts";
import { sha256 } from "./record.ts";
import { SegmentReader } from "./segment-reader.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { SpaceReserve } from "./space-reserve.ts";
import { checkStore } from "./store-check.ts";
import { compactSegments } from "./compaction.ts";
import { IndexFault } from "./store-index.ts";
import { openLog, type OpenedLog } from "./store-opening.ts";

/** What a site's log should show. */
export interface StoreEvent {
  readonly event: "index-rebuilt" | "damage-found" | "torn-tail" | "new-generation";
  readonly message: string;
}

export interface SegmentStoreInit {
  readonly directory: string;
  readonly segmentBytes?: number;
  readonly reserveFileBytes?: number;
  readonly onEvent?: (event: StoreEvent) => void;
}

export interface SegmentStoreComponents {
  readonly disk?: Disk;
  readonly nowMs?: () => number;
}

/** Most bytes of one group: what is in memory twice while the next one is collected. */
const groupBytes = 32 * 1024 * 1024;
const defaultReserveFileBytes = 8 * 1024 * 1024;
const factsPerPageCount = 256;
/** The index's size is asked for once in so many groups. */
const groupsPerSizeCount = 64;

export class SegmentStore implements PrimeStore {
  readonly #disk: Disk;
  readonly #nowMs: () => number;
  readonly #onEvent: (event: StoreEvent) => void;
  readonly #queue: CommitQueue<StoreRequest>;
  readonly #writer: SegmentWriter;
  readonly #reader: SegmentReader;
  readonly #primes: PrimeReader;
  readonly #live: LiveIndex;
  readonly #reserve: SpaceReserve;
  /** Damage and generation that found no room yet. */
  #unsaved: NewRecord[] = [];
  #unsavedGeneration: string | undefined;
  #indexBytes = 0;
  #groupsCount = 0;
  #isClosed = false;

  private constructor(disk: Disk, log: OpenedLog, reserve: SpaceReserve, init: SegmentStoreInit, nowMs: () => number) {
    this.#disk = disk;
    this.#nowMs = nowMs;
    this.#onEvent = init.onEvent ?? (() => {});
    this.#reserve = reserve;
    const { salt, end, nextSegment, index } = log;
    this.#queue = new CommitQueue({ groupBytes, bytesOf: requestBytes, commit: (requests) => this.#commit(requests) });
    this.#writer = new SegmentWriter({ disk }, { salt, end, nextSegment, segmentBytes: init.segmentBytes ?? limits.segmentBytes });
    this.#reader = new SegmentReader({ disk }, { salt });
    this.#live = new LiveIndex(
      { disk, runAlone: (action) => this.#queue.runAlone(action) },
      {
        index,
        salt,
        location: join(init.directory, "index"),
        isFresh: log.rebuiltBecause !== undefined,
        logEnd: () => this.#writer.end,
        onRebuilt: (reason, damage) => this.#noteRebuilt(reason, damage),
      },
    );
    this.#primes = new PrimeReader(
      { live: this.#live, reader: this.#reader, runAlone: (action) => this.#queue.runAlone(action) },
      { quarantine: (damage) => this.#recordDamage(damage) },
    );
  }

  /** Throws `store-locked`, `store-full`, `store-failed`. */
  static async open(init: SegmentStoreInit, components: SegmentStoreComponents = {}): Promise<SegmentStore> {
    const disk = components.disk ?? new NodeDisk(init.directory);
    const reserveInit = { segmentBytes: init.segmentBytes ?? limits.segmentBytes, fileBytes: init.reserveFileBytes ?? defaultReserveFileBytes };
    const reserve = new SpaceReserve({ disk }, reserveInit);
    try {
      const log = await openWithReserve(disk, reserve, init);
      const store = new SegmentStore(disk, log, reserve, init, components.nowMs ?? Date.now);
      await store.#start(log);
      return store;
    } catch (error) {
      throw openingError(error);
    }
  }

  async #start(log: OpenedLog): Promise<void> {
    try {
      if (log.tornTailBytes > 0) this.#tell("torn-tail", `ignored ${log.tornTailBytes} bytes that were never acknowledged`);
      if (log.rebuiltBecause !== undefined && log.recordsCount > 0) this.#tell("index-rebuilt", `rebuilt the index: ${log.rebuiltBecause}`);
      await this.#queue.runAlone(async () => {
        if (log.damage.length > 0) await this.#recordDamage(log.damage, log.salvage);
        else if (this.#live.current.meta.generation === "") await this.#startGeneration([], "a new store");
      });
      await this.#reserve.fill();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    void this.#live.verified("facts").catch(ignore);
    void this.#live.verified("rest").catch(ignore);
  }

  get generation(): string {
    return this.#unsavedGeneration ?? this.#live.current.meta.generation;
  }

  async put(sender: AgentId, primes: readonly { readonly id: PrimeId; readonly stored: Uint8Array }[]): Promise<void> {
    const verified: { digest: Buffer; stored: Uint8Array }[] = [];
    for (const [index, { id, stored }] of primes.entries()) {
      if (stored.length > limits.primeStoredBytes) {
        throw new CostorError("limit-exceeded", `prime ${id} has ${stored.length} bytes`, { details: { index } });
      }
      const digest = sha256(stored);
      const found = primeIdFromBytes(digest);
      if (found !== id) {
        throw new CostorError("prime-mismatch", `prime ${index} of the batch, ${id}, has the bytes of ${found}`, {
          details: { index, expected: id, found },
        });
      }
      verified.push({ digest, stored });
    }
    const request: PutRequest = { type: "put", agent: agentIdToBytes(sender), primes: verified };
    if (verified.length > 0) await this.#submit(request);
  }

  async putBatch(sender: AgentId, batch: Uint8Array): Promise<{ storedCount: number }> {
    if (batch.length > limits.batchBytes) throw new CostorError("limit-exceeded", `a batch has at most ${limits.batchBytes} bytes`);
    const primes = [...parseBatch(batch)];
    await this.put(sender, primes);
    return { storedCount: primes.length };
  }

  async hasSent(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    const digests = ids.map(primeIdToBytes);
    const agent = agentIdToBytes(sender);
    return this.#live.read(async (index) => {
      const [places, claims] = await Promise.all([index.locate(digests), index.hasClaims(digests, agent)]);
      return digests.map((_, at) => places[at] !== undefined && claims[at]!);
    });
  }

  get(id: PrimeId): Promise<Buffer> {
    return this.#primes.get(id);
  }

  getMany(ids: readonly PrimeId[]): Promise<Buffer[]> {
    return this.#primes.getMany(ids);
  }

  async appendFacts(facts: readonly Fact[]): Promise<void> {
    const records = facts.map(({ kind, key, value }) => factRecord(kind, key, value));
    if (records.length > 0) await this.#submit({ type: "records", records });
  }

  async fact(kind: FactKind, key: string): Promise<Buffer | undefined> {
    await this.#live.verified("facts");
    return (await this.#live.read((index) => index.fact(kind, Buffer.from(key, "utf8"))))?.value;
  }

  async *facts(kind: FactKind, prefix = ""): AsyncGenerator<{ key: string; value: Buffer }> {
    let after: Buffer | undefined;
    for (;;) {
      const page = await this.factPage(kind, prefix, after);
      for (const { key, value } of page) yield { key: key.toString("utf8"), value };
      after = page.at(-1)?.key;
      if (page.length < factsPerPageCount) return;
    }
  }

  /** The next facts whose keys start with `prefix`, after the key `after`; fewer than a page's at the end. */
  async factPage(kind: FactKind, prefix: string, after: Uint8Array | undefined): Promise<{ key: Buffer; value: Buffer }[]> {
    await this.#live.verified("facts");
    const start = after === undefined ? undefined : Buffer.from(after);
    return this.#live.read((index) => index.factsAfter(kind, Buffer.from(prefix, "utf8"), start, factsPerPageCount));
  }

  closedEpoch(): Promise<number> {
    return this.#live.read(async (index) => index.meta.closedEpoch);
  }

  async markClosed(marks: readonly string[], epoch?: number): Promise<void> {
    if (marks.length > 0) await this.#live.markClosed(marks, epoch);
  }

  areClosed(marks: readonly string[]): Promise<boolean[]> {
    return this.#live.read((index) => index.areClosed(marks));
  }

  check(init: CheckInit = {}): Promise<CheckReport> {
    const components = { disk: this.#disk, live: this.#live, runAlone: <T>(action: () => Promise<T>) => this.#queue.runAlone(action) };
    return checkStore(components, init, { logEnd: () => this.#writer.end, quarantine: (damage) => this.#recordFoundDamage(damage) });
  }

  rebuildIndex(): Promise<void> {
    return this.#queue.runAlone(() => this.#live.rebuildInTurn("asked for"));
  }

  async remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    const digests = ids.map(primeIdToBytes);
    const before = await this.#live.read(async (index) => index.meta.primeCount);
    if (digests.length > 0) await this.#submit({ type: "records", records: deletionRecords(digests) });
    const removedPrimesCount = before - (await this.#live.read(async (index) => index.meta.primeCount));
    const moved = await compactSegments(
      { disk: this.#disk, live: this.#live, reader: this.#reader, runAlone: (action) => this.#queue.runAlone(action) },
      {
        logEnd: () => this.#writer.end,
        append: (records) => this.#writeInTurn(records),
        quarantine: (damage) => this.#recordFoundDamage(damage),
        signal,
      },
    );
    return { removedPrimesCount, ...moved };
  }

  async stats(): Promise<StoreStats> {
    const { freeBytes, totalBytes } = await this.#disk.space();
    return this.#live.read(async (index) => {
      const indexBytes = await index.sizeBytes();
      const finished = [...(await index.segments()).values()].filter((endBytes) => endBytes !== undefined);
      const { segment, endBytes } = this.#writer.end;
      return {
        primesCount: index.meta.primeCount,
        primesBytes: index.meta.primeBytes,
        factsCount: index.meta.facts.count,
        segmentsCount: finished.length + (segment > 0 ? 1 : 0),
        segmentsBytes: finished.reduce((sum, bytes) => sum + bytes, endBytes),
        indexBytes,
        freeBytes,
        reserveBytes: this.#reserve.reserveBytes(totalBytes, indexBytes),
        quarantinedCount: (await unhealedDamage(index)).length,
        isFailed: this.#writer.failure !== undefined,
      };
    });
  }

  /** Everything that a rebuild must give again, line by line. */
  async dump(): Promise<string[]> {
    return this.#live.read(async (index) => {
      const lines: string[] = [];
      for await (const line of index.dump()) lines.push(line);
      return lines;
    });
  }

  /** Resolves when what the index held at opening is known to be complete. */
  async whenVerified(): Promise<void> {
    await this.#live.verified("facts");
    await this.#live.verified("rest");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#live.stopVerifying();
    await this.#queue.drain();
    try {
      const records = await this.#writer.close(this.#receivedMs());
      await this.#live.applyInTurn(this.#writer.takeClosings(), records);
    } catch (error) {
      // Without the clean record the next opening starts a new segment; nothing is lost.
      if (!isCostorError(error)) throw error;
    } finally {
      await this.#live.close();
      await this.#reader.close();
    }
  }

  async #submit(request: StoreRequest): Promise<void> {
    if (this.#isClosed) throw new CostorError("store-failed", "the store is closed");
    if (this.#writer.failure !== undefined) throw this.#writer.failure;
    await this.#queue.commit(request);
  }

  /** In the writer's turn. */
  async #commit(requests: readonly StoreRequest[]): Promise<readonly (Error | undefined)[]> {
    let roomBytes = await this.#reserve.roomBytes(await this.#currentIndexBytes());
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#live.mendInTurn();
        await this.#saveUnsaved();
        const room = roomBytes;
        const plan = await this.#live.readInTurn((index) => planGroup(index, requests, room));
        if (plan.records.length > 0) await this.#writeInTurn(plan.records);
        if (attempt === 1) await this.#reserve.fill();
        return plan.refusals;
      } catch (error) {
        if (!isCostorError(error, "store-full") || attempt === 3) throw error;
        // First without new primes, then on the file that was kept for this.
        if (attempt === 2 || requests.every(({ type }) => type === "records")) await this.#reserve.release();
        roomBytes = 0;
      }
    }
  }

  async #writeInTurn(records: readonly NewRecord[]): Promise<void> {
    try {
      const placed = await this.#writer.append(records, this.#receivedMs());
      await this.#live.applyInTurn(this.#writer.takeClosings(), placed);
    } catch (error) {
      await this.#live.applyInTurn(this.#writer.takeClosings(), []).catch(ignore);
      throw error;
    }
  }

  async #currentIndexBytes(): Promise<number> {
    if (this.#groupsCount++ % groupsPerSizeCount === 0) this.#indexBytes = await this.#live.readInTurn((index) => index.sizeBytes());
    return this.#indexBytes;
  }

  /** Never before an earlier one, whatever the clock does. */
  #receivedMs(): number {
    return Math.max(this.#nowMs(), this.#live.current.meta.receivedMs);
  }

  /** In the writer's turn. */
  async #recordDamage(damage: readonly DamagedStretch[], salvage: readonly NewRecord[] = []): Promise<void> {
    if (damage.length === 0) return;
    this.#tell("damage-found", `found ${damage.length} damaged stretches, the first in segment ${damage[0]!.segment} at ${damage[0]!.offset}`);
    await this.#startGeneration([quarantineRecord(damage), ...salvage], "damage was found");
  }

  /**
   * In the writer's turn: damage in segments whose records are in the index already. Facts are saved from the index; when
   * more than primes is lost, the index is made anew, so that it is what the segments say again.
   */
  async #recordFoundDamage(damage: readonly DamagedStretch[]): Promise<void> {
    if (damage.every(({ id }) => id !== undefined)) return this.#recordDamage(damage);
    const salvaged = await this.#live.readInTurn((index) => salvageFacts(index, (place) => isWithin(place, damage)));
    await this.#recordDamage(damage, salvaged?.records);
    await this.#live.rebuildInTurn("other records than primes were damaged");
    const removals = salvaged === undefined ? [] : await removalsOf(this.#live.current, salvaged.known);
    if (removals.length > 0) await this.#writeInTurn(removals);
  }

  async #startGeneration(records: readonly NewRecord[], reason: string): Promise<void> {
    const generation = randomBytes(16);
    this.#unsaved.push(...records, generationRecord(generation));
    this.#unsavedGeneration = generation.toString("hex");
    this.#tell("new-generation", `the store has a new generation: ${reason}`);
    try {
      await this.#saveUnsaved();
    } catch (error) {
      // It holds in memory, and is written with the next group. Reads go on.
      if (!isCostorError(error, "store-full") || reason === "a new store") throw error;
    }
  }

  async #saveUnsaved(): Promise<void> {
    if (this.#unsaved.length === 0) return;
    try {
      await this.#writeInTurn(this.#unsaved);
    } catch (error) {
      if (!isCostorError(error, "store-full")) throw error;
      await this.#reserve.release();
      await this.#live.mendInTurn();
      await this.#writeInTurn(this.#unsaved);
    }
    this.#unsaved = [];
    this.#unsavedGeneration = undefined;
  }

  async #noteRebuilt(reason: string, damage: readonly DamagedStretch[]): Promise<void> {
    this.#tell("index-rebuilt", `rebuilt the index: ${reason}`);
    await this.#recordDamage(damage);
  }

  #tell(event: StoreEvent["event"], message: string): void {
    this.#onEvent({ event, message });
  }
}

const ignore = (): void => {};

/** Level cannot open on a disk that is full to the last byte: then the reserve file makes room. */
async function openWithReserve(disk: Disk, reserve: SpaceReserve, init: SegmentStoreInit): Promise<OpenedLog> {
  const opening = { indexLocation: join(init.directory, "index") };
  try {
    return await openLog({ disk }, opening);
  } catch (error) {
    if (!(error instanceof IndexFault) || !error.isForWantOfSpace) throw error;
    await reserve.release();
    return openLog({ disk }, opening);
  }
}

function openingError(error: unknown): unknown {
  if (isCostorError(error)) return error;
  const isFull = (error instanceof IndexFault && error.isForWantOfSpace) || (error as { code?: string }).code === "ENOSPC";
  if (isFull) return new CostorError("store-full", "the disk is too full to open the store", { cause: error });
  return new CostorError("store-failed", `the store cannot be opened: ${(error as Error).message}`, { cause: error });
}
