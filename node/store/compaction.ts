/**
 * Gives back the space of segments that are mostly dead: what of a segment still counts is appended to the log, durably
 * and verified, then the segment is recorded as removed, then its file is unlinked. A crash at any moment leaves duplicates or a file
 * that the next opening unlinks.
 */
import { passFailpoint } from "#protocol/failpoint.ts";
import { allKeeps } from "./keep-index.ts";
import { type Disk, type DiskFile, hasErrorCode } from "./disk.ts";
import type { LiveIndex } from "./live-index.ts";
import { partsOf, recordsThatCount } from "./moved-records.ts";
import { unhealedDamage } from "./prime-reader.ts";
import { type DamagedStretch, segmentRemovalRecord } from "./record-body.ts";
import { type NewRecord, recordBytes, segmentHeaderBytes } from "./record.ts";
import { stretchOf } from "./segment-fold.ts";
import type { SegmentReader } from "./segment-reader.ts";
import { type ScannedRecord, scanRecords } from "./segment-scan.ts";
import { settledDamage } from "./settled-damage.ts";
import { type LogEnd, segmentPath, segmentsDirectory } from "./segment-writer.ts";
import type { StoreIndex } from "./store-index.ts";
import { unrecorded } from "./store-opening.ts";

export interface CompactionComponents {
  readonly disk: Disk;
  readonly live: LiveIndex;
  readonly reader: SegmentReader;
  readonly runAlone: <T>(action: () => Promise<T>) => Promise<T>;
}

/** All callbacks are called in the writer's turn. */
export interface CompactionInit {
  readonly logEnd: () => LogEnd;
  readonly append: (records: readonly NewRecord[]) => Promise<void>;
  /** What is appended from now on is in another segment. */
  readonly endSegment: () => Promise<void>;
  readonly quarantine: (damage: readonly DamagedStretch[]) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export interface CompactionResult {
  removedSegmentsCount: number;
  movedBytes: number;
  freedBytes: number;
}

/** A segment is emptied when less than this part of it is live. */
const liveShare = 1 / 2;
/** What one keep takes in its record. */
const keepBytes = 32;
/** What is looked at in one turn of the writer, so that others have theirs soon: bytes of the segment, and entries of the index. */
const stepBytes = 4 * 1024 * 1024;
const stepEntriesCount = 512;

export async function compactSegments(
  components: CompactionComponents,
  init: CompactionInit,
): Promise<CompactionResult> {
  const { live } = components;
  const result: CompactionResult = { removedSegmentsCount: 0, movedBytes: 0, freedBytes: 0 };
  await live.verified("facts");
  await live.verified("rest");
  const settled = Map.groupBy(await live.read(settledDamage), ({ segment }) => segment);
  await components.runAlone(async () => {
    if (settled.has(init.logEnd().segment)) await init.endSegment();
  });
  const { ends, liveBytes } = await live.read(async (index) => ({
    ends: await index.segments(),
    liveBytes: await countLive(index),
  }));
  // Of a segment that is missing nothing is counted.
  for (const segment of settled.keys()) if (!ends.has(segment)) ends.set(segment, 0);
  // Those with the least to move first: wholly dead ones need no space at all.
  const candidates = [...ends]
    .flatMap(([segment, endBytes]) =>
      endBytes === undefined ? [] : [{ segment, endBytes, liveBytes: liveBytes.get(segment) ?? 0 }],
    )
    .filter(
      ({ segment, endBytes, liveBytes: kept }) =>
        settled.has(segment) || kept < (endBytes - segmentHeaderBytes) * liveShare || endBytes <= segmentHeaderBytes,
    )
    .toSorted((a, b) => a.liveBytes - b.liveBytes);
  for (const { segment, endBytes } of candidates) {
    init.signal?.throwIfAborted();
    if (segment === init.logEnd().segment) continue;
    const movedBytes = await new SegmentEmptying(components, init, {
      ...{ segment, endBytes },
      settled: settled.get(segment) ?? [],
    }).run();
    if (movedBytes === undefined) continue;
    result.removedSegmentsCount++;
    result.movedBytes += movedBytes;
    result.freedBytes += endBytes - movedBytes;
  }
  return result;
}

async function countLive(index: StoreIndex): Promise<Map<number, number>> {
  const bytes = new Map<number, number>();
  const count = (segment: number, length: number) => bytes.set(segment, (bytes.get(segment) ?? 0) + length);
  for await (const { location } of index.primes()) count(location.segment, recordBytes(location.bodyBytes));
  for await (const { place, value } of index.allFacts()) count(place.segment, recordBytes(value.length));
  for await (const { place } of allKeeps(index)) count(place.segment, keepBytes);
  return bytes;
}

interface EmptiedSegment {
  readonly segment: number;
  /** 0 when the segment is missing. */
  readonly endBytes: number;
  /** Damage that nobody misses anything of. */
  readonly settled: readonly DamagedStretch[];
}

class SegmentEmptying {
  readonly #components: CompactionComponents;
  readonly #init: CompactionInit;
  readonly #segment: number;
  readonly #endBytes: number;
  readonly #settled: ReadonlySet<string>;
  #scanned: ScannedRecord[] = [];
  #scannedBytes = 0;
  /** Of the index, that what was scanned is about. */
  #entriesCount = 0;
  #movedBytes = 0;

  constructor(components: CompactionComponents, init: CompactionInit, { segment, endBytes, settled }: EmptiedSegment) {
    this.#components = components;
    this.#init = init;
    this.#segment = segment;
    this.#endBytes = endBytes;
    this.#settled = new Set(settled.map(placeOf));
  }

  /** The bytes moved; undefined when the segment has to stay, since it is damaged. */
  async run(): Promise<number | undefined> {
    const { live, disk } = this.#components;
    if (await live.read((index) => this.#isDamaged(index))) return undefined;
    let file: DiskFile | undefined;
    try {
      file = await disk.openRead(segmentPath(this.#segment));
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw error;
    }
    // One that is missing and not on record stays until it is; of one that has come back it is not known what it holds.
    if ((file === undefined) !== (this.#endBytes === 0)) {
      await file?.close();
      return undefined;
    }
    const damage = file === undefined ? [] : await this.#move(file);
    return (await this.#remove(damage, file !== undefined)) ? this.#movedBytes : undefined;
  }

  /** Appends what counts; the damage that was met. Closes the file. */
  async #move(file: DiskFile): Promise<DamagedStretch[]> {
    const { live } = this.#components;
    const damage: DamagedStretch[] = [];
    try {
      const scan = () =>
        scanRecords(file, {
          salt: live.current.meta.salt,
          segment: this.#segment,
          fromBytes: segmentHeaderBytes,
          toBytes: this.#endBytes,
          verifyFromBytes: 0,
        });
      for await (const item of scan()) {
        this.#init.signal?.throwIfAborted();
        if (item.type === "gap") damage.push(stretchOf(this.#segment, item, item.offset + item.lengthBytes));
        else await this.#look(item);
      }
      await this.#step();
    } finally {
      await file.close();
    }
    return damage;
  }

  /** A record that names many primes is taken as several that name some. */
  async #look(record: ScannedRecord): Promise<void> {
    this.#scannedBytes += recordBytes(record.bodyBytes);
    for (const part of partsOf(record)) {
      this.#scanned.push(part.record);
      this.#entriesCount += part.entriesCount;
      if (this.#scannedBytes >= stepBytes || this.#entriesCount >= stepEntriesCount) await this.#step();
    }
  }

  /** Whether the segment is on record as removed. */
  async #remove(damage: readonly DamagedStretch[], isPresent: boolean): Promise<boolean> {
    const { live, disk, reader, runAlone } = this.#components;
    return runAlone(async () => {
      const fresh = await unrecorded(live.current, damage);
      if (fresh.length > 0) await this.#init.quarantine(fresh);
      // What was found meanwhile counts too.
      if (fresh.length > 0 || (await this.#isDamaged(live.current))) return false;
      passFailpoint("compaction.moved");
      await this.#init.append([segmentRemovalRecord([this.#segment])]);
      passFailpoint("compaction.recorded");
      await reader.forget(this.#segment);
      if (isPresent) await disk.unlink(segmentPath(this.#segment));
      passFailpoint("compaction.unlinked");
      await disk.syncDirectory(segmentsDirectory);
      return true;
    });
  }

  async #isDamaged(index: StoreIndex): Promise<boolean> {
    return (await unhealedDamage(index)).some(
      (stretch) =>
        stretch.segment === this.#segment && !(stretch.id === undefined && this.#settled.has(placeOf(stretch))),
    );
  }

  /** Appends what counts of the records that were scanned. What others write between two steps comes after what this one saw. */
  async #step(): Promise<void> {
    const scanned = this.#scanned;
    this.#scanned = [];
    this.#scannedBytes = 0;
    this.#entriesCount = 0;
    await this.#components.runAlone(async () => {
      const index = this.#components.live.current;
      const segment = { segment: this.#segment, ends: await index.segments() };
      const records = await recordsThatCount(index, scanned, segment);
      this.#movedBytes += records.reduce((sum, { body }) => sum + recordBytes(body.length), 0);
      if (records.length > 0) await this.#init.append(records);
    });
  }
}

const placeOf = ({ offset, lengthBytes }: DamagedStretch): string => `${offset} ${lengthBytes}`;
