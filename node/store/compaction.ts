/**
 * Gives back the space of segments that are mostly dead: what of a segment still counts is appended to the log, durably
 * and verified, then the segment is recorded as removed, then its file is unlinked. A crash at any moment leaves duplicates or a file
 * that the next opening unlinks.
 *
 * A record still counts when replaying the log without its segment would otherwise give another index.
 */
import { passFailpoint } from "#protocol/failpoint.ts";
import { claimKey } from "./index-entries.ts";
import { decodeKeepPlace, keepKey } from "./keep-entries.ts";
import { allKeeps, hasKeeps } from "./keep-index.ts";
import { type Disk, type DiskFile, hasErrorCode } from "./disk.ts";
import type { LiveIndex } from "./live-index.ts";
import { unhealedDamage } from "./prime-reader.ts";
import {
  claimRecords,
  claimSetRecord,
  type DamagedStretch,
  decodeClaims,
  decodeClaimSet,
  decodeDeletion,
  decodeFact,
  decodeKeep,
  decodeQuarantine,
  deletionRecords,
  keepRecords,
  quarantineRecord,
  releaseRecords,
  segmentRemovalRecord,
} from "./record-body.ts";
import { type NewRecord, recordBytes, recordKind, segmentHeaderBytes } from "./record.ts";
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
/** What is looked at in one turn of the writer, so that others have theirs soon. */
const stepBytes = 8 * 1024 * 1024;
const stepRecordsCount = 1024;

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
  #isOldest = false;
  #ends: ReadonlyMap<number, number | undefined> = new Map();
  #scanned: ScannedRecord[] = [];
  #scannedBytes = 0;
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
        else {
          this.#scanned.push(item);
          this.#scannedBytes += recordBytes(item.bodyBytes);
          if (this.#scannedBytes >= stepBytes || this.#scanned.length >= stepRecordsCount) await this.#step();
        }
      }
      await this.#step();
    } finally {
      await file.close();
    }
    return damage;
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
    await this.#components.runAlone(async () => {
      const index = this.#components.live.current;
      this.#ends = await index.segments();
      this.#isOldest = [...this.#ends].every(([segment, end]) => end === undefined || segment >= this.#segment);
      const records: NewRecord[] = [];
      for (const record of scanned) records.push(...(await this.#whatCounts(index, record)));
      this.#movedBytes += records.reduce((sum, { body }) => sum + recordBytes(body.length), 0);
      if (records.length > 0) await this.#init.append(records);
    });
  }

  async #whatCounts(index: StoreIndex, record: ScannedRecord): Promise<NewRecord[]> {
    const body = record.body!;
    const same: NewRecord = { kind: record.kind, digest: record.digest, body };
    const isHere = (place: { segment: number; offset: number } | undefined) =>
      place?.segment === this.#segment && place.offset === record.offset;
    switch (record.kind) {
      case recordKind.batch:
      case recordKind.clean:
        return [];
      case recordKind.prime:
        return isHere((await index.locate([record.digest]))[0]) ? [same] : [];
      case recordKind.claims: {
        const { agent, ids } = decodeClaims(body);
        const entries = await index.getMany(ids.map((id) => claimKey(id, agent)));
        return claimRecords(
          agent,
          ids.filter((_, at) => entries[at] !== undefined),
        );
      }
      case recordKind.fact: {
        const fact = decodeFact(body);
        return isHere((await index.fact(fact.kind, fact.key))?.place) ? [same] : [];
      }
      // What takes something away only matters while an earlier segment may still hold it.
      case recordKind.factRemoval: {
        const fact = decodeFact(body);
        return this.#isOldest || (await index.fact(fact.kind, fact.key)) !== undefined ? [] : [same];
      }
      case recordKind.deletion:
        return this.#isOldest ? [] : this.#whatCountsOfDeletion(index, decodeDeletion(body));
      case recordKind.claimSet: {
        const { id } = decodeClaimSet(body);
        return [claimSetRecord(id, await this.#claimants(index, id))];
      }
      case recordKind.generation:
        return body.toString("hex") === index.meta.generation ? [same] : [];
      case recordKind.quarantine: {
        const isRemoved = (segment: number) => this.#ends.has(segment) && this.#ends.get(segment) === undefined;
        const kept = decodeQuarantine(body).filter(({ segment }) => segment !== this.#segment && !isRemoved(segment));
        return kept.length > 0 ? [quarantineRecord(kept)] : [];
      }
      case recordKind.keep: {
        const { site, ids } = decodeKeep(body);
        const entries = await index.getMany(ids.map((id) => keepKey(site, id)));
        const isCurrent = (entry: Buffer | undefined) => entry !== undefined && isHere(decodeKeepPlace(entry));
        return keepRecords(
          site,
          ids.filter((_, at) => isCurrent(entries[at])),
        );
      }
      case recordKind.release: {
        if (this.#isOldest) return [];
        const { site, ids } = decodeKeep(body);
        const isKept = await hasKeeps(index, site, ids);
        return releaseRecords(
          site,
          ids.filter((_, at) => !isKept[at]),
        );
      }
      case recordKind.segmentRemoval:
        return [same];
    }
  }

  /** Primes that came back keep the claims made since; the older ones stay cleared. */
  async #whatCountsOfDeletion(index: StoreIndex, ids: readonly Buffer[]): Promise<NewRecord[]> {
    const places = await index.locate(ids);
    const records = deletionRecords(ids.filter((_, at) => places[at] === undefined));
    for (const [at, id] of ids.entries()) {
      if (places[at] !== undefined) records.push(claimSetRecord(id, await this.#claimants(index, id)));
    }
    return records;
  }

  async #claimants(index: StoreIndex, id: Buffer): Promise<Buffer[]> {
    const prefix = claimKey(id, Buffer.alloc(0));
    const agents: Buffer[] = [];
    for await (const key of index.keysWith(prefix)) agents.push(key.subarray(prefix.length));
    return agents;
  }
}

const placeOf = ({ offset, lengthBytes }: DamagedStretch): string => `${offset} ${lengthBytes}`;
