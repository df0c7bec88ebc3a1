/**
 * The writing half of a store: requests → CommitQueue → planGroup → SegmentWriter → LiveIndex. Methods whose names end in
 * `InTurn`, and the callbacks, run in the writer's turn: while the queue runs nothing else.
 */
import { randomBytes } from "node:crypto";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { Disk } from "./disk.ts";
import { type GroupRoom, isCold, isOfSite, planGroup, requestBytes, type StoreRequest } from "./group-plan.ts";
import { LiveIndex } from "./live-index.ts";
import { type DamagedStretch, generationRecord, quarantineRecords } from "./record-body.ts";
import type { NewRecord } from "./record.ts";
import { type LogEnd, SegmentWriter } from "./segment-writer.ts";
import type { SpaceReserve } from "./space-reserve.ts";
import type { OpenedLog } from "./store-opening.ts";

/** What a site's log should show. */
export interface StoreEvent {
  readonly event: "index-rebuilt" | "damage-found" | "torn-tail" | "new-generation" | "failed";
  readonly message: string;
}

export interface RecordLogComponents {
  readonly disk: Disk;
  readonly reserve: SpaceReserve;
  readonly nowMs: () => number;
}

export interface RecordLogInit {
  readonly opened: OpenedLog;
  readonly indexLocation: string;
  readonly segmentBytes: number;
  readonly onEvent: (event: StoreEvent) => void;
}

/** Most bytes of one group: what is in memory twice while the next one is collected. */
const groupBytes = 32 * 1024 * 1024;
const noRoom: GroupRoom = { primesBytes: 0, agentsBytes: 0 };
/** The index's size is asked for once in so many groups. */
const groupsPerSizeCount = 64;

export class RecordLog {
  readonly live: LiveIndex;
  readonly #queue: CommitQueue<StoreRequest>;
  readonly #writer: SegmentWriter;
  readonly #reserve: SpaceReserve;
  readonly #nowMs: () => number;
  readonly #onEvent: (event: StoreEvent) => void;
  /** Damage and generation that found no room yet. */
  #unsaved: NewRecord[] = [];
  #unsavedGeneration: string | undefined;
  /** Why the index has to be made anew once that is saved: until then it knows what the segments do not. */
  #rebuildReason: string | undefined;
  #indexBytes = 0;
  #groupsCount = 0;
  #isClosed = false;

  constructor(components: RecordLogComponents, init: RecordLogInit) {
    const { disk } = components;
    const { salt, end, nextSegment, index, rebuiltBecause } = init.opened;
    this.#reserve = components.reserve;
    this.#nowMs = components.nowMs;
    this.#onEvent = init.onEvent;
    this.#queue = new CommitQueue({ groupBytes, bytesOf: requestBytes, commit: (requests) => this.#commit(requests) });
    const onFailure = (failure: CostorError): void => this.#tell("failed", failure.message);
    this.#writer = new SegmentWriter({ disk, onFailure }, { salt, end, nextSegment, segmentBytes: init.segmentBytes });
    this.live = new LiveIndex(
      { disk, runAlone: (action) => this.runAlone(action) },
      {
        index,
        salt,
        location: init.indexLocation,
        isFresh: rebuiltBecause !== undefined,
        logEnd: () => this.end,
        onRebuilt: async (reason, damage) => {
          this.#tell("index-rebuilt", `rebuilt the index: ${reason}`);
          this.#rebuildReason = undefined;
          await this.recordDamageInTurn(damage);
          await this.#settleDamage();
        },
      },
    );
  }

  /** Enters what opening found. */
  async start(opened: OpenedLog): Promise<void> {
    const { tornTailBytes, rebuiltBecause, recordsCount, damage } = opened;
    if (tornTailBytes > 0) this.#tell("torn-tail", `ignored ${tornTailBytes} bytes that were never acknowledged`);
    if (rebuiltBecause !== undefined && recordsCount > 0)
      this.#tell("index-rebuilt", `rebuilt the index: ${rebuiltBecause}`);
    try {
      await this.runAlone(async () => {
        if (damage.length > 0) await this.recordDamageInTurn(damage);
        else if (this.live.current.meta.generation === "") await this.#startGeneration([], "a new store");
        else await this.#settleDamage();
      });
    } finally {
      await this.#reserve.fill();
    }
    passFailpoint("start.store-open");
  }

  /** Everything before it is durable. */
  get end(): LogEnd {
    return this.#writer.end;
  }

  get isFailed(): boolean {
    return this.#writer.failure !== undefined;
  }

  get generation(): string {
    return this.#unsavedGeneration ?? this.live.current.meta.generation;
  }

  runAlone<T>(action: () => Promise<T>): Promise<T> {
    return this.#queue.runAlone(action);
  }

  /** Resolves when the request is durable and indexed. Throws `store-full`, `store-failed`. */
  async submit(request: StoreRequest): Promise<void> {
    if (this.#isClosed) throw new CostorError("store-failed", "the store is closed");
    if (this.#writer.failure !== undefined) throw this.#writer.failure;
    await this.#queue.commit(request);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.live.stopVerifying();
    await this.#queue.drain();
    try {
      const records = await this.#writer.close(this.#receivedMs());
      await this.live.applyInTurn(this.#writer.takeClosings(), records);
    } catch (error) {
      // Without the clean record the next opening starts a new segment; nothing is lost.
      if (!isCostorError(error)) throw error;
    } finally {
      await this.live.close();
    }
  }

  async #commit(requests: readonly StoreRequest[]): Promise<readonly (Error | undefined)[]> {
    const mayUseReserve = requests.some(isOfSite);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.live.mendInTurn();
        await this.#saveUnsaved();
        const room = attempt === 1 ? await this.#reserve.room(await this.#currentIndexBytes()) : noRoom;
        const plan = await this.live.readInTurn((index) => planGroup(index, requests, room));
        if (plan.records.length > 0) await this.writeInTurn(plan.records, { isCold: requests.every(isCold) });
        if (attempt === 1) await this.#reserve.fill();
        return plan.refusals;
      } catch (error) {
        if (!isCostorError(error, "store-full") || attempt === 3) throw error;
        // First without what agents cause, then on the file that was kept for this.
        if (mayUseReserve && (attempt === 2 || requests.every(isOfSite))) await this.#reserve.release();
      }
    }
  }

  /**
   * Makes records durable and enters them. Throws `store-full`, `store-failed`. Nothing is appended while the index is behind: it may
   * be closed, and another process may have its lock. `isCold`: nobody reads them soon.
   */
  async writeInTurn(records: readonly NewRecord[], { isCold = false } = {}): Promise<void> {
    await this.live.mendInTurn();
    try {
      const placed = await this.#writer.append(records, { receivedMs: this.#receivedMs(), isCold });
      passFailpoint("index.durable");
      await this.live.applyInTurn(this.#writer.takeClosings(), placed);
      passFailpoint("index.entered");
    } catch (error) {
      await this.live.applyInTurn(this.#writer.takeClosings(), []).catch(() => {});
      throw error;
    }
  }

  /** The last segment is finished, and another one begun. Throws `store-full`, `store-failed`. */
  async endSegmentInTurn(): Promise<void> {
    this.#writer.endSegment();
    await this.writeInTurn([]);
  }

  async #currentIndexBytes(): Promise<number> {
    if (this.#groupsCount++ % groupsPerSizeCount === 0)
      this.#indexBytes = await this.live.readInTurn((index) => index.sizeBytes());
    return this.#indexBytes;
  }

  /** Never before an earlier one, whatever the clock does. */
  #receivedMs(): number {
    return Math.max(this.#nowMs(), this.live.current.meta.receivedMs);
  }

  /** Puts damage on record, and with it what was saved from it. */
  async recordDamageInTurn(damage: readonly DamagedStretch[], salvage: readonly NewRecord[] = []): Promise<void> {
    if (damage.length === 0) return;
    const [{ segment, offset }] = damage as [DamagedStretch, ...DamagedStretch[]];
    try {
      await this.#startGeneration([...quarantineRecords(damage), ...salvage], "damage was found");
    } finally {
      // Who is told may ask at once what is lost.
      this.#tell(
        "damage-found",
        `found ${damage.length} damaged stretches, the first in segment ${segment} at ${offset}`,
      );
    }
  }

  /**
   * Damage in segments whose records are in the index already. Facts are saved from the index; when more than primes is
   * lost, the index is made anew, so that it is what the segments say again.
   */
  async recordFoundDamageInTurn(damage: readonly DamagedStretch[]): Promise<void> {
    if (damage.every(({ id }) => id !== undefined)) return this.recordDamageInTurn(damage);
    const salvage = await this.live.salvageInTurn();
    this.#rebuildReason = "other records than primes were damaged";
    await this.recordDamageInTurn(damage, salvage);
  }

  /**
   * Makes the index anew. Segments may be damaged and nobody know it yet, so what a rebuild would lose by that is made durable first, as
   * far as the index can be trusted.
   */
  async rebuildInTurn(reason: string): Promise<void> {
    await this.live.mendInTurn();
    const salvage = await this.live.salvageInTurn();
    if (salvage.length > 0) await this.writeInTurn(salvage);
    await this.live.rebuildInTurn(reason);
  }

  async #startGeneration(records: readonly NewRecord[], reason: string): Promise<void> {
    const generation = randomBytes(16);
    this.#unsaved = [...this.#unsaved, ...records, generationRecord(generation)];
    this.#unsavedGeneration = generation.toString("hex");
    this.#tell("new-generation", `the store has a new generation: ${reason}`);
    try {
      await this.#saveUnsaved();
    } catch (error) {
      // It holds in memory, and is written with the next group. Reads go on.
      const isFull = isCostorError(error, "store-full") || isCostorError(error, "store-failed");
      if (!isFull || this.live.current.meta.generation === "") throw error;
    }
  }

  async #saveUnsaved(): Promise<void> {
    if (this.#unsaved.length === 0 && this.#rebuildReason === undefined) return;
    try {
      if (this.#unsaved.length > 0) await this.writeInTurn(this.#unsaved);
    } catch (error) {
      if (!isCostorError(error, "store-full")) throw error;
      await this.#reserve.release();
      await this.writeInTurn(this.#unsaved);
    }
    this.#unsaved = [];
    this.#unsavedGeneration = undefined;
    await this.#settleDamage();
  }

  /** The index may be gone on with once all damage that it is past is on record. */
  async #settleDamage(): Promise<void> {
    if (this.#unsaved.length > 0) return;
    if (this.#rebuildReason === undefined) await this.live.settleInTurn();
    else await this.live.rebuildInTurn(this.#rebuildReason);
  }

  #tell(event: StoreEvent["event"], message: string): void {
    this.#onEvent({ event, message });
  }
}
