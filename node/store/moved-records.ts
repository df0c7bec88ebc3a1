/**
 * Decides what of some records of a segment still counts: one does when replaying the log without its segment would otherwise give
 * another index. What is asked of the index is asked together.
 */
import { type Claimants, claimantsOf } from "./claim-index.ts";
import { claimKey } from "./index-entries.ts";
import { decodeKeepPlace, keepKey } from "./keep-entries.ts";
import { hasKeeps } from "./keep-index.ts";
import {
  claimRecords,
  claimSetRecord,
  decodeClaims,
  decodeClaimSet,
  decodeDeletion,
  decodeFact,
  decodeKeep,
  decodeQuarantine,
  deletionRecords,
  keepRecords,
  quarantineRecords,
  releaseRecords,
} from "./record-body.ts";
import { type NewRecord, recordKind } from "./record.ts";
import type { ScannedRecord } from "./segment-scan.ts";
import type { StoreIndex } from "./store-index.ts";

/** Ids of one part, so that a turn of the writer has an end. */
const partIdsCount = 256;
const idBytes = 32;
/** What stands before the ids in records that name many. */
const headBytes: Readonly<Partial<Record<number, number>>> = {
  [recordKind.claims]: 16,
  [recordKind.keep]: 32,
  [recordKind.release]: 32,
  [recordKind.deletion]: 0,
};

export interface RecordPart {
  readonly record: ScannedRecord;
  /** Of the index, that it is about. */
  readonly entriesCount: number;
}

/** A record that names many primes as several that name some each. */
export function* partsOf(record: ScannedRecord): Generator<RecordPart> {
  const head = headBytes[record.kind];
  const body = record.body!;
  if (head === undefined) return yield { record, entriesCount: 1 };
  for (let at = head; at < body.length; at += partIdsCount * idBytes) {
    const ids = body.subarray(at, at + partIdsCount * idBytes);
    const part = Buffer.concat([body.subarray(0, head), ids]);
    yield { record: { ...record, body: part }, entriesCount: ids.length / idBytes };
  }
}

export interface MovedSegment {
  readonly segment: number;
  /** Of all segments, as the index has them. */
  readonly ends: ReadonlyMap<number, number | undefined>;
}

/** In their order. */
export async function recordsThatCount(
  index: StoreIndex,
  scanned: readonly ScannedRecord[],
  { segment, ends }: MovedSegment,
): Promise<NewRecord[]> {
  const isOldest = [...ends].every(([other, end]) => end === undefined || other >= segment);
  const primes = scanned.filter(({ kind }) => kind === recordKind.prime).map(({ digest }) => digest);
  const gone = scanned.filter(({ kind }) => kind === recordKind.deletion).flatMap(({ body }) => decodeDeletion(body!));
  const named = [...primes, ...(isOldest ? [] : gone)];
  const located = await index.locate(named);
  const places = new Map(named.map((id, at) => [textOf(id), located[at]]));
  const claimSets = scanned.filter(({ kind }) => kind === recordKind.claimSet).map(({ body }) => decodeClaimSet(body!));
  const claims = await claimantsOf(index, [...claimSets.map(({ id }) => id), ...(isOldest ? [] : gone)]);
  const parts: NewRecord[][] = [];
  for (const record of scanned)
    parts.push(await whatCounts(index, record, { ...{ segment, ends, isOldest }, places, claims }));
  return parts.flat();
}

interface Known extends MovedSegment {
  /** What takes something away only matters while an earlier segment may still hold it. */
  readonly isOldest: boolean;
  readonly places: ReadonlyMap<string, { readonly segment: number; readonly offset: number } | undefined>;
  readonly claims: Claimants;
}

async function whatCounts(index: StoreIndex, record: ScannedRecord, known: Known): Promise<NewRecord[]> {
  const { segment, ends, isOldest, places, claims } = known;
  const body = record.body!;
  const same: NewRecord = { kind: record.kind, digest: record.digest, body };
  const isHere = (place: { segment: number; offset: number } | undefined) =>
    place?.segment === segment && place.offset === record.offset;
  const claimSetOf = (id: Buffer): NewRecord => claimSetRecord(id, claims.get(textOf(id)) ?? []);
  switch (record.kind) {
    case recordKind.batch:
    case recordKind.clean:
      return [];
    case recordKind.prime:
      return isHere(places.get(textOf(record.digest))) ? [same] : [];
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
    case recordKind.factRemoval: {
      const fact = decodeFact(body);
      return isOldest || (await index.fact(fact.kind, fact.key)) !== undefined ? [] : [same];
    }
    case recordKind.deletion: {
      if (isOldest) return [];
      // Primes that came back keep the claims made since, also those that were lost then; the older ones stay cleared.
      const isBack = (id: Buffer): boolean => places.get(textOf(id)) !== undefined || claims.has(textOf(id));
      const ids = Map.groupBy(decodeDeletion(body), isBack);
      return [...deletionRecords(ids.get(false) ?? []), ...(ids.get(true) ?? []).map(claimSetOf)];
    }
    case recordKind.claimSet:
      return [claimSetOf(decodeClaimSet(body).id)];
    case recordKind.generation:
      return body.toString("hex") === index.meta.generation ? [same] : [];
    case recordKind.quarantine: {
      const isRemoved = (other: number) => ends.has(other) && ends.get(other) === undefined;
      return quarantineRecords(
        decodeQuarantine(body).filter((stretch) => stretch.segment !== segment && !isRemoved(stretch.segment)),
      );
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
      if (isOldest) return [];
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

const textOf = (bytes: Buffer): string => bytes.toString("latin1");
