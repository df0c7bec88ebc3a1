/**
 * The index of an open store, kept usable: verified after opening, rebuilt when it is not as it was written, opened
 * again after Level ran out of space. "The writer's turn" is the time in which the commit queue runs nothing else.
 */
import { CostorError } from "#protocol/errors.ts";
import type { Disk } from "./disk.ts";
import type { PlacedRecord } from "./projection.ts";
import type { DamagedStretch } from "./record-body.ts";
import type { NewRecord, StoreSalt } from "./record.ts";
import { findSegments, foldSegments } from "./segment-fold.ts";
import type { LogEnd, SegmentClosing } from "./segment-writer.ts";
import { salvageIndex } from "./index-salvage.ts";
import { IndexFault, isForWantOfSpace } from "./level-handle.ts";
import type { StoreIndex } from "./store-index.ts";
import { rebuild } from "./store-opening.ts";

export interface LiveIndexComponents {
  readonly disk: Disk;
  /** Runs an action in the writer's turn. */
  readonly runAlone: <T>(action: () => Promise<T>) => Promise<T>;
}

export interface LiveIndexInit {
  readonly index: StoreIndex;
  readonly location: string;
  readonly salt: StoreSalt;
  /** Just made from the segments, so there is nothing to verify. */
  readonly isFresh: boolean;
  /** Everything before it is durable. */
  readonly logEnd: () => LogEnd;
  /** Called in the writer's turn after a rebuild, with damage that is not on record. */
  readonly onRebuilt: (reason: string, damage: readonly DamagedStretch[]) => Promise<void>;
}

type Part = "facts" | "rest";

const attemptsCount = 4;

export class LiveIndex {
  readonly #disk: Disk;
  readonly #runAlone: LiveIndexComponents["runAlone"];
  readonly #init: LiveIndexInit;
  readonly #stop = new AbortController();
  readonly #verified: Partial<Record<Part, Promise<void>>> = {};
  #index: StoreIndex;
  /** Grows whenever Level is closed and opened, so that readers can tell why their call failed. */
  #incarnation = 0;
  #pause: Promise<void> | undefined;
  #isBehind = false;
  /** Made from the segments by this process, so that there is nothing to verify. */
  #isProven: boolean;

  constructor(components: LiveIndexComponents, init: LiveIndexInit) {
    this.#disk = components.disk;
    this.#runAlone = components.runAlone;
    this.#init = init;
    this.#index = init.index;
    this.#isProven = init.isFresh;
  }

  /** Only for the writer's turn. */
  get current(): StoreIndex {
    return this.#index;
  }

  /** Reads, once more after a rebuild when the index turns out to be damaged. Throws `store-damaged`. */
  async read<T>(action: (index: StoreIndex) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      await this.#pause;
      const incarnation = this.#incarnation;
      try {
        return await action(this.#index);
      } catch (error) {
        if (!(error instanceof IndexFault)) throw error;
        if (attempt === attemptsCount)
          throw new CostorError("store-damaged", "the index cannot be read", { cause: error });
        await this.#repair(incarnation, error);
      }
    }
  }

  /** The same in the writer's turn. */
  async readInTurn<T>(action: (index: StoreIndex) => Promise<T>): Promise<T> {
    try {
      return await action(this.#index);
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
      await this.#repairInTurn(error);
      return action(this.#index);
    }
  }

  /** Resolves when the entries are known to be all there, which rebuilds the index if they are not. */
  verified(part: Part): Promise<void> {
    return (this.#verified[part] ??= this.#verify(part).catch((error) => {
      delete this.#verified[part];
      throw error;
    }));
  }

  /** Verifies again, whatever was found before. */
  async verifyInTurn(): Promise<boolean> {
    for (const part of ["facts", "rest"] as const) {
      const isEqual = await this.#index.verify(part, this.#stop.signal).catch((error) => {
        if (error instanceof IndexFault) return false;
        throw error;
      });
      if (!isEqual) return false;
    }
    return true;
  }

  /** The same beside the writer, which makes the index anew when it is wrong. Whether it was right. */
  async verifyAgain(): Promise<boolean> {
    const isRight = [await this.#makeRight("facts"), await this.#makeRight("rest")];
    return isRight.every(Boolean);
  }

  async #verify(part: Part): Promise<void> {
    while (!this.#isProven) if (await this.#makeRight(part)) return;
  }

  /** Verifies once; when the index is not right it is made anew. */
  async #makeRight(part: Part): Promise<boolean> {
    await this.#pause;
    const incarnation = this.#incarnation;
    let fault = new IndexFault("it is not as it was written");
    try {
      if (await this.#index.verify(part, this.#stop.signal)) return true;
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
      fault = error;
    }
    await this.#repair(incarnation, fault);
    return false;
  }

  /** Makes the index right after a reader's call failed, unless that was done since. Throws `store-full`. */
  async #repair(incarnation: number, fault: IndexFault): Promise<void> {
    this.#stop.signal.throwIfAborted();
    if (incarnation !== this.#incarnation) return this.#pause;
    await this.#runAlone(async () => {
      if (incarnation === this.#incarnation) await this.#repairInTurn(fault);
    });
  }

  /** What Level holds stays right when it has no room, so then it is opened again. Making it anew would take more room. */
  async #repairInTurn(fault: IndexFault): Promise<void> {
    if (fault.isForWantOfSpace) throw this.#fallBehind(fault);
    if (this.#isBehind) await this.mendInTurn();
    else await this.#rebuild(fault.message);
  }

  /** Enters durable records. Throws `store-full` when Level has no room: `mendInTurn` enters them later. */
  async applyInTurn(closings: readonly SegmentClosing[], records: readonly PlacedRecord[]): Promise<void> {
    // What it lacks comes before these.
    if (this.#isBehind) throw this.#fallBehind(undefined);
    try {
      for (const { segment, endBytes, next } of closings) await this.#index.closeSegment(segment, endBytes, next);
      await this.#index.apply(records);
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
      await this.#repairInTurn(error);
    }
  }

  /** Notes that all damage is on record. Without space that waits until the index is mended. */
  async settleInTurn(): Promise<void> {
    try {
      await this.#index.setComplete(true);
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
      this.#fallBehind(error);
    }
  }

  /** Marks are not worth an error: without space they are left out. */
  async markClosed(marks: readonly string[], epoch: number | undefined): Promise<void> {
    await this.#runAlone(async () => {
      if (this.#isBehind || (epoch !== undefined && epoch !== this.#index.meta.closedEpoch)) return;
      try {
        await this.#index.markClosed(marks);
      } catch (error) {
        if (!(error instanceof IndexFault)) throw error;
        if (error.isForWantOfSpace) this.#fallBehind(error);
        else await this.#rebuild(error.message);
      }
    });
  }

  #fallBehind(cause: unknown): CostorError {
    this.#isBehind = true;
    return new CostorError("store-full", "the disk is full", { cause });
  }

  /** Catches up after Level had no room. Throws `store-full` while there is none: Level stays open for reading then. */
  async mendInTurn(): Promise<void> {
    if (!this.#isBehind) return;
    const { freeBytes } = await this.#disk.space();
    if (this.#index.isOpen && freeBytes < (await this.#index.reopeningBytes()))
      throw new CostorError("store-full", "the disk is full");
    try {
      await this.#pausing(async () => {
        await this.#index.reopen();
        this.#assertOurs();
        const segments = await findSegments(this.#disk, this.#index.meta.position.segment);
        const init = { salt: this.#init.salt, segments, provenEnds: this.#provenEnds() };
        const { damage } = await foldSegments({ disk: this.#disk, index: this.#index }, init);
        if (damage.length > 0) throw new IndexFault("damage was met while the index caught up");
      });
      this.#isBehind = false;
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
      if (error.isForWantOfSpace) throw this.#fallBehind(error);
      await this.#rebuild(error.message);
    }
  }

  /** While Level was closed its lock was free, and another process may have written where this one would go on. */
  #assertOurs(): void {
    const { position } = this.#index.meta;
    const { segment, endBytes } = this.#init.logEnd();
    if (position.segment > segment || (position.segment === segment && position.offset > endBytes))
      throw new CostorError("store-failed", "another process has written to the store");
  }

  /** What a rebuild from damaged segments would get wrong, to be made durable before it. */
  async salvageInTurn(): Promise<readonly NewRecord[]> {
    const segments = await findSegments(this.#disk);
    const init = { salt: this.#init.salt, segments, provenEnds: await this.#trustedEnds() };
    return (await this.readInTurn((index) => salvageIndex({ disk: this.#disk, index }, init)))?.records ?? [];
  }

  #provenEnds(): Map<number, number> {
    const { segment, endBytes } = this.#init.logEnd();
    return new Map(segment > 0 ? [[segment, endBytes]] : []);
  }

  /**
   * Not while Level has no room, since a new index would find none either. Of damage in the segments nothing has to be known: what only
   * the index knows is to be saved before. Throws `store-full`.
   */
  async rebuildInTurn(reason: string): Promise<void> {
    await this.mendInTurn();
    await this.#rebuild(reason, await this.#trustedEnds());
  }

  /** Where segments end, as the index says if it is right: the header that states it may be damaged. */
  async #trustedEnds(): Promise<Map<number, number>> {
    const ends = this.#provenEnds();
    try {
      if (!(await this.#index.verify("rest"))) return ends;
      for (const [segment, endBytes] of await this.#index.segments())
        if (endBytes !== undefined && !ends.has(segment)) ends.set(segment, endBytes);
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
    }
    return ends;
  }

  async #rebuild(reason: string, provenEnds: ReadonlyMap<number, number> = this.#provenEnds()): Promise<void> {
    const { location, salt, onRebuilt } = this.#init;
    try {
      const damage = await this.#pausing(async () => {
        await this.#index.close();
        this.#isBehind = false;
        const made = await rebuild({ disk: this.#disk }, { indexLocation: location, salt, provenEnds, reason });
        this.#index = made.index;
        return made.damage;
      });
      this.#isProven = true;
      await onRebuilt(reason, damage);
    } catch (error) {
      if (isForWantOfSpace(error)) throw new CostorError("store-full", "the disk is full", { cause: error });
      throw error;
    }
  }

  /** Readers that come meanwhile wait. */
  async #pausing<T>(action: () => Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<void>();
    this.#pause = ended.promise;
    this.#incarnation++;
    try {
      return await action();
    } finally {
      this.#pause = undefined;
      ended.resolve();
    }
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  stopVerifying(): void {
    this.#stop.abort(new CostorError("store-failed", "the store is closed"));
  }

  async close(): Promise<void> {
    this.stopVerifying();
    await Promise.allSettled(Object.values(this.#verified));
    await this.#index.close();
  }
}
