/**
 * Applies the records of segments to an index, from its position on, and tells damage from torn tails
 * (docs/specs/store.md, "Opening"). Used at opening, by a rebuild, and to catch up after Level ran out of space.
 */
import { passFailpoint } from "#protocol/failpoint.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import type { Disk, DiskFile } from "./disk.ts";
import type { PlacedRecord } from "./projection.ts";
import { decodeStatement, type DamagedStretch } from "./record-body.ts";
import {
  parseSegmentName,
  recordBytes,
  recordKind,
  type RecordPlace,
  type SegmentHeader,
  segmentHeaderBytes,
  type StoreSalt,
} from "./record.ts";
import { readSegmentHeader, type ScannedGap, scanRecords } from "./segment-scan.ts";
import { type LogEnd, segmentPath, segmentsDirectory } from "./segment-writer.ts";

/** What records are applied to, in their order: the index, or what stands for it. */
export interface FoldTarget {
  /** Records from `position` on are to be applied. */
  readonly meta: { readonly position: RecordPlace };
  apply(records: readonly PlacedRecord[]): Promise<void>;
  closeSegment(segment: number, endBytes: number, next: RecordPlace): Promise<void>;
  setComplete(isComplete: boolean): Promise<void>;
}

/** A segment file as it was found. */
export interface FoundSegment {
  readonly segment: number;
  readonly sizeBytes: number;
  /** Undefined when neither copy is valid. */
  readonly header: SegmentHeader | undefined;
  /** Whether every byte of the header is as it was written. */
  readonly isWhole: boolean;
}

export interface FoldInit {
  readonly salt: StoreSalt;
  /** In order of their numbers. */
  readonly segments: readonly FoundSegment[];
  /** Lengths that are known to have been durable, beyond what the segments state themselves. */
  readonly provenEnds: ReadonlyMap<number, number>;
  readonly signal?: AbortSignal;
}

export interface FoldResult {
  readonly damage: readonly DamagedStretch[];
  readonly end: LogEnd;
  /** What was ignored at the end of the last segment. */
  readonly tornTailBytes: number;
  readonly recordsCount: number;
}

const recordsPerApplyCount = 2048;
const bodyBytesPerApply = 8 * 1024 * 1024;
const rewritePieceBytes = 4 * 1024 * 1024;

/** The segment files, without a last one whose creation was torn: that number is used again. */
export async function findSegments(disk: Disk, fromSegment = 0): Promise<FoundSegment[]> {
  const numbers = (await disk.list(segmentsDirectory)).map(parseSegmentName).filter((number) => number !== undefined);
  const found: FoundSegment[] = [];
  for (const segment of numbers.toSorted((a, b) => a - b)) {
    if (segment < fromSegment) continue;
    const file = await disk.openRead(segmentPath(segment));
    try {
      const { header, isWhole } = await readSegmentHeader(file, segment);
      found.push({ segment, sizeBytes: await file.sizeBytes(), header, isWhole });
    } finally {
      await file.close();
    }
  }
  const last = found.at(-1);
  if (last !== undefined && !last.isWhole && last.sizeBytes <= segmentHeaderBytes) found.pop();
  return found;
}

export async function foldSegments(components: { disk: Disk; index: FoldTarget }, init: FoldInit): Promise<FoldResult> {
  const { disk, index } = components;
  const start = index.meta.position;
  const segments = init.segments.filter(({ segment }) => segment >= start.segment);
  const damage: DamagedStretch[] = [];
  let recordsCount = 0;
  let end: LogEnd = { segment: 0, endBytes: 0, isClean: false };
  let tornTailBytes = 0;
  for (const [at, found] of segments.entries()) {
    init.signal?.throwIfAborted();
    passFailpoint("start.replaying");
    const next = segments[at + 1];
    const fromBytes = found.segment === start.segment ? start.offset : segmentHeaderBytes;
    const stated = next?.header?.previousSegment === found.segment ? next.header.previousEndBytes : undefined;
    const file = await openForFold(disk, found.segment, stated === undefined);
    try {
      const fold = new SegmentFold({ index, file }, { salt: init.salt, found, fromBytes, signal: init.signal });
      const provenBytes = Math.max(stated ?? 0, init.provenEnds.get(found.segment) ?? 0, fromBytes);
      const result = await fold.run(provenBytes, stated);
      for (const stretch of result.damage) damage.push(stretch);
      recordsCount += result.recordsCount;
      end = { segment: found.segment, endBytes: result.endBytes, isClean: result.isClean };
      tornTailBytes = Math.max(0, found.sizeBytes - result.endBytes);
    } finally {
      await file.close();
    }
    if (next !== undefined) {
      await index.closeSegment(found.segment, end.endBytes, { segment: next.segment, offset: segmentHeaderBytes });
    }
  }
  return { damage, end, tornTailBytes, recordsCount };
}

/** A tail is written again, so its file is opened for writing. */
const openForFold = (disk: Disk, segment: number, hasTail: boolean): Promise<DiskFile> =>
  hasTail ? disk.openWrite(segmentPath(segment)) : disk.openRead(segmentPath(segment));

interface SegmentFoldInit {
  readonly salt: StoreSalt;
  readonly found: FoundSegment;
  readonly fromBytes: number;
  readonly signal?: AbortSignal | undefined;
}

interface SegmentFoldResult {
  readonly damage: readonly DamagedStretch[];
  readonly endBytes: number;
  readonly isClean: boolean;
  readonly recordsCount: number;
}

class SegmentFold {
  readonly #index: FoldTarget;
  readonly #file: DiskFile;
  readonly #init: SegmentFoldInit;
  readonly #damage: DamagedStretch[] = [];
  #waiting: PlacedRecord[] = [];
  #waitingBytes = 0;
  #recordsCount = 0;

  constructor(components: { index: FoldTarget; file: DiskFile }, init: SegmentFoldInit) {
    this.#index = components.index;
    this.#file = components.file;
    this.#init = init;
  }

  /** `statedBytes`: where the records end, as the next segment says. */
  async run(knownProvenBytes: number, statedBytes: number | undefined): Promise<SegmentFoldResult> {
    const { found, fromBytes, salt } = this.#init;
    const { segment, sizeBytes } = found;
    if (found.header !== undefined && !found.header.salt.equals(salt)) {
      await this.#note({ segment, offset: 0, lengthBytes: sizeBytes });
      return { damage: this.#damage, endBytes: sizeBytes, isClean: false, recordsCount: 0 };
    }
    const toBytes = Math.min(sizeBytes, statedBytes ?? sizeBytes);
    const provenBytes = statedBytes ?? (await this.#provenBytes(knownProvenBytes, toBytes));
    let endBytes = fromBytes;
    let isClean = statedBytes === undefined && fromBytes === sizeBytes && (await this.#endsClean());
    let isTorn = false;
    const scan = scanRecords(this.#file, { salt, segment, fromBytes, toBytes, verifyFromBytes: provenBytes });
    for await (const item of scan) {
      this.#init.signal?.throwIfAborted();
      const itemEnd = item.offset + (item.type === "gap" ? item.lengthBytes : recordBytes(item.bodyBytes));
      isClean = false;
      if (item.type === "gap") {
        if (item.offset < provenBytes) {
          endBytes = Math.min(itemEnd, provenBytes);
          await this.#note(stretchOf(segment, item, endBytes));
        }
        if (itemEnd > provenBytes) {
          isTorn = true;
          break;
        }
        continue;
      }
      if (item.offset >= provenBytes && endBytes <= provenBytes) await this.#flush();
      endBytes = itemEnd;
      const { type: _type, ...header } = item;
      this.#waiting.push(
        item.kind === recordKind.prime ? { ...header, body: undefined, segment } : { ...header, segment },
      );
      this.#waitingBytes += item.kind === recordKind.prime ? 0 : item.bodyBytes;
      this.#recordsCount++;
      isClean = item.kind === recordKind.clean && itemEnd === sizeBytes && statedBytes === undefined;
      if (
        itemEnd <= provenBytes &&
        (this.#waiting.length >= recordsPerApplyCount || this.#waitingBytes >= bodyBytesPerApply)
      ) {
        await this.#flush();
      }
    }
    if (!isTorn && endBytes < provenBytes && toBytes < provenBytes) {
      await this.#note({ segment, offset: toBytes, lengthBytes: provenBytes - toBytes });
      endBytes = provenBytes;
    }
    if (endBytes > provenBytes) await this.#writeAgain(provenBytes, endBytes);
    await this.#flush();
    return { damage: this.#damage, endBytes, isClean, recordsCount: this.#recordsCount };
  }

  /** The greatest length that anything proves to have been durable. */
  async #provenBytes(knownBytes: number, toBytes: number): Promise<number> {
    const { found, fromBytes, salt } = this.#init;
    let provenBytes = knownBytes;
    const scan = scanRecords(this.#file, {
      salt,
      segment: found.segment,
      fromBytes,
      toBytes,
      verifyFromBytes: Infinity,
    });
    for await (const item of scan) {
      if (item.type === "gap" || (item.kind !== recordKind.batch && item.kind !== recordKind.clean)) continue;
      provenBytes = Math.max(provenBytes, decodeStatement(item.body!).durableBytes);
    }
    return provenBytes;
  }

  /** Whether the file, all of which is indexed, ends with a clean record. */
  async #endsClean(): Promise<boolean> {
    const { found, salt } = this.#init;
    const fromBytes = found.sizeBytes - cleanRecordBytes;
    if (fromBytes < segmentHeaderBytes) return false;
    const scan = scanRecords(this.#file, {
      salt,
      segment: found.segment,
      fromBytes,
      toBytes: found.sizeBytes,
      verifyFromBytes: 0,
    });
    for await (const item of scan) return item.type === "record" && item.kind === recordKind.clean;
    return false;
  }

  /**
   * Writes what is there once more and syncs it. A sync may have failed before the last process ended, and then what
   * a read returns may exist in memory only.
   */
  async #writeAgain(fromBytes: number, toBytes: number): Promise<void> {
    for (let at = fromBytes; at < toBytes;) {
      const piece = Buffer.allocUnsafe(Math.min(rewritePieceBytes, toBytes - at));
      await this.#file.read(piece, at);
      await this.#file.write([piece], at);
      at += piece.length;
    }
    await this.#file.sync();
  }

  async #note(stretch: DamagedStretch): Promise<void> {
    // An index that is past the damage must not be gone on with before the damage is on record.
    await this.#index.setComplete(false);
    this.#damage.push(stretch);
  }

  async #flush(): Promise<void> {
    const records = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#index.apply(records);
  }
}

const cleanRecordBytes = recordBytes(16);

/** The damaged stretch of a gap, up to `endBytes`. */
export function stretchOf(segment: number, gap: ScannedGap, endBytes: number): DamagedStretch {
  const id = gap.header?.kind === recordKind.prime ? { id: primeIdFromBytes(gap.header.digest) } : {};
  return { segment, offset: gap.offset, lengthBytes: endBytes - gap.offset, ...id };
}
