/**
 * Appends groups of records to segments. One call at a time. After a failed sync, or a failed write that is not for want
 * of space, it never writes again: what the kernel holds can no longer be trusted (docs/specs/store.md, "Writing").
 */
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { type Disk, type DiskFile, isNoSpace } from "./disk.ts";
import type { PlacedRecord } from "./projection.ts";
import { batchRecord, cleanRecord } from "./record-body.ts";
import {
  encodeHeader,
  encodeSegmentHeader,
  type NewRecord,
  recordBytes,
  recordHeaderBytes,
  recordKind,
  type RecordPlace,
  segmentHeaderBytes,
  segmentName,
  type StoreSalt,
} from "./record.ts";

export const segmentsDirectory = "segments";
export const segmentPath = (segment: number): string => `${segmentsDirectory}/${segmentName(segment)}`;

/** Where the log ends when the writer takes over. */
export interface LogEnd {
  /** 0 when there is no segment. */
  readonly segment: number;
  readonly endBytes: number;
  /** Whether the segment ends exactly with a clean record. */
  readonly isClean: boolean;
}

export interface SegmentClosing {
  readonly segment: number;
  readonly endBytes: number;
  readonly next: RecordPlace;
}

export interface AppendInit {
  readonly receivedMs: number;
  readonly isCold: boolean;
}

export interface SegmentWriterInit {
  readonly salt: StoreSalt;
  readonly segmentBytes: number;
  readonly end: LogEnd;
  /** The number for the next new segment: above all that ever were. */
  readonly nextSegment: number;
}

export interface SegmentWriterComponents {
  readonly disk: Disk;
  /** It will never write again. */
  readonly onFailure?: (failure: CostorError) => void;
}

export class SegmentWriter {
  readonly #disk: Disk;
  readonly #onFailure: (failure: CostorError) => void;
  readonly #salt: StoreSalt;
  readonly #segmentBytes: number;
  #end: LogEnd;
  #nextSegment: number;
  #file: DiskFile | undefined;
  #closings: SegmentClosing[] = [];
  #failure: CostorError | undefined;
  #isEnding = false;

  constructor({ disk, onFailure = () => undefined }: SegmentWriterComponents, init: SegmentWriterInit) {
    this.#disk = disk;
    this.#onFailure = onFailure;
    this.#salt = init.salt;
    this.#segmentBytes = init.segmentBytes;
    this.#end = init.end;
    this.#nextSegment = init.nextSegment;
  }

  /** Everything before it is durable. */
  get end(): LogEnd {
    return this.#end;
  }

  /** Why it no longer writes. */
  get failure(): CostorError | undefined {
    return this.#failure;
  }

  /** What the segment files take that hold `bodyBytes` in `recordsCount` records more. */
  static groupBytes(recordsCount: number, bodyBytes: number): number {
    return bodyBytes + (recordsCount + 2) * recordHeaderBytes + segmentHeaderBytes;
  }

  /**
   * Writes the records as one group; durable when it resolves. `isCold`: nobody reads them soon. Throws `store-full` when there was
   * no room: nothing is left of the group then. Throws `store-failed`.
   */
  async append(records: readonly NewRecord[], { receivedMs, isCold }: AppendInit): Promise<PlacedRecord[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const groupBytes = records.reduce((sum, { body }) => sum + recordBytes(body.length), 0);
    await this.#makeRoom(groupBytes, receivedMs);
    const head = batchRecord({ durableBytes: this.#end.endBytes, receivedMs });
    const from = this.#end.endBytes;
    const placed = await this.#write([head, ...records], false);
    if (isCold) await this.#file!.leaveCache(from, this.#end.endBytes - from);
    return placed;
  }

  /** The next append begins another segment. */
  endSegment(): void {
    this.#isEnding = true;
  }

  /** Segments that were finished since the last call, for the index; also after an append that failed. */
  takeClosings(): SegmentClosing[] {
    const closings = this.#closings;
    this.#closings = [];
    return closings;
  }

  /** Ends the segment so that it can be appended to. The records are for the index. */
  async close(receivedMs: number): Promise<PlacedRecord[]> {
    try {
      return this.#file === undefined || this.#end.isClean || this.#failure !== undefined
        ? []
        : await this.#writeClean(receivedMs);
    } finally {
      await this.#file?.close();
      this.#file = undefined;
    }
  }

  async #makeRoom(groupBytes: number, receivedMs: number): Promise<void> {
    const { segment, endBytes, isClean } = this.#end;
    const isFull = endBytes > segmentHeaderBytes && (this.#isEnding || endBytes + groupBytes > this.#segmentBytes);
    if (this.#file === undefined && isClean && !isFull) {
      this.#file = await this.#attempt(() => this.#disk.openWrite(segmentPath(segment)));
    }
    if (this.#file !== undefined && !isFull) return;
    if (this.#file !== undefined && !isClean) await this.#writeClean(receivedMs);
    await this.#startSegment(receivedMs);
  }

  async #startSegment(createdMs: number): Promise<void> {
    const segment = this.#nextSegment;
    const path = segmentPath(segment);
    const header = encodeSegmentHeader({
      salt: this.#salt,
      segment,
      previousSegment: this.#end.segment,
      previousEndBytes: this.#end.endBytes,
      createdMs,
    });
    const file = await this.#attempt(() => this.#disk.create(path));
    await this.#attempt(
      () => file.write([header], 0),
      async () => {
        await file.close();
        await this.#disk.unlink(path);
      },
    );
    passFailpoint("sync.segment-made");
    await this.#attemptSync(() => file.sync());
    await this.#attemptSync(() => this.#disk.syncDirectory(segmentsDirectory));
    await this.#file?.close();
    this.#file = file;
    this.#nextSegment = segment + 1;
    const next = { segment, offset: segmentHeaderBytes };
    if (this.#end.segment > 0) this.#closings.push({ segment: this.#end.segment, endBytes: this.#end.endBytes, next });
    this.#end = { segment, endBytes: segmentHeaderBytes, isClean: false };
    this.#isEnding = false;
  }

  async #writeClean(receivedMs: number): Promise<PlacedRecord[]> {
    return this.#write([cleanRecord({ durableBytes: this.#end.endBytes, receivedMs })], true);
  }

  async #write(records: readonly NewRecord[], isClean: boolean): Promise<PlacedRecord[]> {
    const file = this.#file!;
    const { segment, endBytes } = this.#end;
    const headers = Buffer.allocUnsafe(records.length * recordHeaderBytes);
    const pieces: Uint8Array[] = [];
    const placed: PlacedRecord[] = [];
    let offset = endBytes;
    for (const [index, record] of records.entries()) {
      const header = headers.subarray(index * recordHeaderBytes, (index + 1) * recordHeaderBytes);
      encodeHeader(header, record, this.#salt, { segment, offset });
      pieces.push(header, record.body);
      placed.push(placedRecord(record, { segment, offset }));
      offset += recordBytes(record.body.length);
    }
    await this.#attempt(
      () => file.write(pieces, endBytes),
      () => file.truncate(endBytes),
    );
    passFailpoint("sync.written");
    await this.#attemptSync(async () => {
      await file.sync();
      if (!(await file.hasName())) throw new Error(`${segmentPath(segment)} was removed`);
    });
    passFailpoint("sync.synced");
    this.#end = { segment, endBytes: offset, isClean };
    return placed;
  }

  /** Runs `undo` when `action` fails for want of space; any other failure, and one of `undo`, ends all writing. */
  async #attempt<T>(action: () => Promise<T>, undo: () => Promise<void> = async () => {}): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (!isNoSpace(error)) throw this.#fail("a write to the disk failed", error);
      try {
        await undo();
      } catch (undoError) {
        throw this.#fail("taking a write back failed", undoError);
      }
      throw new CostorError("store-full", "the disk is full", { cause: error });
    }
  }

  async #attemptSync(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      throw this.#fail("making data durable failed", error);
    }
  }

  #fail(message: string, cause: unknown): CostorError {
    this.#failure = new CostorError("store-failed", `${message}: ${(cause as Error).message}`, { cause });
    this.#onFailure(this.#failure);
    return this.#failure;
  }
}

function placedRecord(record: NewRecord, place: RecordPlace): PlacedRecord {
  const { kind, digest, body } = record;
  const header = { kind, digest, bodyBytes: body.length, ...place };
  return kind === recordKind.prime
    ? header
    : { ...header, body: Buffer.from(body.buffer, body.byteOffset, body.length) };
}
