/** Brings the index up to the segments when a store is opened, and from nothing when it is rebuilt. */
import { randomBytes } from "node:crypto";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { Disk } from "./disk.ts";
import { salvageIndex } from "./index-salvage.ts";
import type { DamagedStretch } from "./record-body.ts";
import { parseSegmentName, saltBytes, type StoreSalt } from "./record.ts";
import { findSegments, foldSegments, type FoundSegment } from "./segment-fold.ts";
import { type LogEnd, segmentPath, segmentsDirectory, SegmentWriter } from "./segment-writer.ts";
import { IndexFault, isForWantOfSpace } from "./level-handle.ts";
import type { SpaceReserve } from "./space-reserve.ts";
import { StoreIndex } from "./store-index.ts";

export interface OpeningInit {
  /** Level's directory. */
  readonly indexLocation: string;
  readonly segmentBytes: number;
  readonly signal?: AbortSignal;
}

export interface OpenedLog {
  readonly index: StoreIndex;
  readonly salt: StoreSalt;
  readonly end: LogEnd;
  readonly nextSegment: number;
  /** Damage that no record of quarantine names yet. */
  readonly damage: readonly DamagedStretch[];
  readonly tornTailBytes: number;
  /** Why the index had to be made anew; undefined when it did not. */
  readonly rebuiltBecause: string | undefined;
  readonly recordsCount: number;
}

/** Length of a stretch that is a whole segment of unknown length. */
const unknownLengthBytes = 0xffffffff;

interface OpeningComponents {
  readonly disk: Disk;
  readonly nowMs: () => number;
}

/** A new store first takes the room that it will need to be opened again. */
export async function openWithReserve(
  { disk, reserve, nowMs }: OpeningComponents & { reserve: SpaceReserve },
  init: OpeningInit,
): Promise<OpenedLog> {
  await disk.makeDirectory(segmentsDirectory);
  if ((await disk.list(segmentsDirectory)).length === 0) await reserve.fillForOpening();
  return reserve.opening(() => openLog({ disk, nowMs }, init));
}

/** The directory of segments is there. Throws `store-locked`, `store-full`, `store-failed`. */
async function openLog(components: OpeningComponents, init: OpeningInit): Promise<OpenedLog> {
  const index = await StoreIndex.open({ location: init.indexLocation });
  const provenEnds = new Map<number, number>();
  let reason = "there was none that could be used";
  if (index !== undefined) {
    try {
      const found = await catchUp(components.disk, index, provenEnds, init);
      if (!("reason" in found)) return found;
      reason = found.reason;
      if (found.isDamage) await saveFromIndex(components, index, provenEnds, init);
    } catch (error) {
      if (!(error instanceof IndexFault) || error.isForWantOfSpace) {
        await index.close();
        throw error;
      }
      reason = error.message;
    }
    await index.close();
  }
  return rebuild(components, { ...init, provenEnds, salt: index?.meta.salt, reason });
}

/** Makes durable what only the index still knows, before it is deleted. */
async function saveFromIndex(
  { disk, nowMs }: OpeningComponents,
  index: StoreIndex,
  provenEnds: ReadonlyMap<number, number>,
  { segmentBytes, signal }: OpeningInit,
): Promise<void> {
  const { salt, receivedMs } = index.meta;
  const segments = await findSegments(disk);
  const salvage = await salvageIndex({ disk, index }, { salt, segments, provenEnds, signal });
  if (salvage === undefined || salvage.records.length === 0) return;
  const nextSegment = numberAfter(segments, provenEnds, await index.quarantined(), await index.segments());
  const writer = new SegmentWriter({ disk }, { salt, segmentBytes, end: salvage.end, nextSegment });
  const savedMs = Math.max(nowMs(), receivedMs);
  try {
    await writer.append(salvage.records, { receivedMs: savedMs, isCold: false });
  } finally {
    await writer.close(savedMs);
  }
}

/** Why an index cannot be gone on with. */
interface Unusable {
  readonly reason: string;
  /** The index is right and the segments are not. */
  readonly isDamage?: boolean;
}

async function catchUp(
  disk: Disk,
  index: StoreIndex,
  provenEnds: Map<number, number>,
  init: OpeningInit,
): Promise<OpenedLog | Unusable> {
  const { position, salt, isComplete } = index.meta;
  if (!isComplete) return { reason: "an opening before this one did not end" };
  const indexed = await index.segments();
  for (const [segment, endBytes] of indexed) if (endBytes !== undefined) provenEnds.set(segment, endBytes);
  if (position.segment > 0) provenEnds.set(position.segment, position.offset);

  const names = new Set((await disk.list(segmentsDirectory)).map(parseSegmentName));
  for (const segment of provenEnds.keys()) {
    if (!names.has(segment)) return { reason: `segment ${segment} is missing`, isDamage: true };
  }
  const removed = [...indexed.keys()].filter((segment) => indexed.get(segment) === undefined && names.has(segment));
  if (removed.length > 0 && !(await index.verify("rest"))) return { reason: "it is not as it was written" };
  await unlinkSegments(disk, removed);

  const segments = await findSegments(disk, position.segment);
  const current = segments.find(({ segment }) => segment === position.segment);
  if (current !== undefined && current.sizeBytes < position.offset)
    return { reason: `segment ${position.segment} is shorter than it was`, isDamage: true };
  const salts = segments.flatMap(({ header }) => (header === undefined ? [] : [header.salt]));
  if (salts.length > 0 && !salts.some((found) => found.equals(salt))) return { reason: "it belongs to another store" };

  const fold = await foldSegments({ disk, index }, { salt, segments, provenEnds, signal: init.signal });
  if (!index.meta.isComplete && fold.damage.length === 0)
    return { reason: "records that it holds were found damaged after it was written" };
  const counted = await index.segments();
  const nextSegment = numberAfter(segments, provenEnds, await index.quarantined(), counted);
  const missing = missingSegments(names, counted, provenEnds, nextSegment);
  const damage = await unrecorded(index, [...stillCounting(fold.damage, counted), ...missing]);
  const { end, tornTailBytes, recordsCount } = fold;
  return { index, salt, end, nextSegment, damage, tornTailBytes, rebuiltBecause: undefined, recordsCount };
}

export interface RebuildInit extends Pick<OpeningInit, "indexLocation" | "signal"> {
  /** Lengths that are known to have been durable. */
  readonly provenEnds: ReadonlyMap<number, number>;
  /** Undefined: what the segments say. */
  readonly salt: StoreSalt | undefined;
  readonly reason: string;
}

/** A new index from the segments alone. */
export async function rebuild(components: { disk: Disk }, init: RebuildInit): Promise<OpenedLog> {
  const { disk } = components;
  const segments = await findSegments(disk);
  const salt = chooseSalt(segments, init.salt);
  const index = await StoreIndex.create({ location: init.indexLocation }, salt);
  try {
    const { provenEnds, signal } = init;
    const fold = await foldSegments({ disk, index }, { salt, segments, provenEnds, signal });
    const counted = await index.segments();
    const present = new Set(segments.map(({ segment }) => segment));
    const nextSegment = numberAfter(segments, provenEnds, await index.quarantined(), counted);
    const missing = missingSegments(present, counted, provenEnds, nextSegment);
    await unlinkSegments(
      disk,
      [...present].filter((segment) => counted.has(segment) && counted.get(segment) === undefined),
    );
    const damage = await unrecorded(index, [...stillCounting(fold.damage, counted), ...missing]);
    const { end, tornTailBytes, recordsCount } = fold;
    return {
      index,
      salt,
      end,
      nextSegment,
      damage,
      tornTailBytes,
      rebuiltBecause: init.reason,
      recordsCount,
    };
  } catch (error) {
    await index.close();
    throw error;
  }
}

/** Segments that there must be and that are not. `counted`: as {@link StoreIndex.segments}. */
function missingSegments(
  present: ReadonlySet<number | undefined>,
  counted: ReadonlyMap<number, number | undefined>,
  provenEnds: ReadonlyMap<number, number>,
  nextSegment: number,
): DamagedStretch[] {
  const missing: DamagedStretch[] = [];
  for (let segment = 1; segment < nextSegment; segment++) {
    const isRemoved = counted.has(segment) && counted.get(segment) === undefined;
    if (present.has(segment) || isRemoved) continue;
    missing.push({ segment, offset: 0, lengthBytes: provenEnds.get(segment) ?? unknownLengthBytes });
  }
  return missing;
}

/** A segment that was emptied with damage that was settled may still have its file. */
const stillCounting = (
  damage: readonly DamagedStretch[],
  counted: ReadonlyMap<number, number | undefined>,
): DamagedStretch[] => damage.filter(({ segment }) => !counted.has(segment) || counted.get(segment) !== undefined);

/** What of `damage` is not on record yet. Records beside each other that both lost their headers are one stretch, of which a part may be. */
export async function unrecorded(index: StoreIndex, damage: readonly DamagedStretch[]): Promise<DamagedStretch[]> {
  if (damage.length === 0) return [];
  const known = Map.groupBy(await index.quarantined(), ({ segment }) => segment);
  return damage.flatMap((stretch) => uncovered(stretch, known.get(stretch.segment) ?? []));
}

function uncovered(stretch: DamagedStretch, known: readonly DamagedStretch[]): DamagedStretch[] {
  const { segment, offset, lengthBytes, id } = stretch;
  if (id !== undefined || lengthBytes === unknownLengthBytes) {
    const isKnown = known.some((one) => one.offset <= offset && offset < one.offset + one.lengthBytes);
    return isKnown ? [] : [stretch];
  }
  const parts: DamagedStretch[] = [];
  let at = offset;
  for (const one of known.toSorted((a, b) => a.offset - b.offset)) {
    if (one.offset + one.lengthBytes <= at) continue;
    if (one.offset >= offset + lengthBytes) break;
    if (one.offset > at) parts.push({ segment, offset: at, lengthBytes: one.offset - at });
    at = one.offset + one.lengthBytes;
  }
  if (at < offset + lengthBytes) parts.push({ segment, offset: at, lengthBytes: offset + lengthBytes - at });
  return parts;
}

/** The salt that most segments state; a single foreign segment does not make the others foreign. */
export function chooseSalt(
  segments: readonly { readonly header: { readonly salt: StoreSalt } | undefined }[],
  known: StoreSalt | undefined,
): StoreSalt {
  const counts = new Map<string, number>();
  for (const { header } of segments) {
    const text = header?.salt.toString("hex");
    if (text !== undefined) counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  if (known !== undefined && (counts.size === 0 || counts.has(known.toString("hex")))) return known;
  const [most] = [...counts].toSorted((a, b) => b[1] - a[1]);
  return most === undefined ? randomBytes(saltBytes) : Buffer.from(most[0], "hex");
}

function numberAfter(
  segments: readonly FoundSegment[],
  provenEnds: ReadonlyMap<number, number>,
  quarantined: readonly DamagedStretch[],
  counted: ReadonlyMap<number, unknown>,
): number {
  const numbers = [
    ...segments.map(({ segment }) => segment),
    ...segments.map(({ header }) => header?.previousSegment ?? 0),
    ...provenEnds.keys(),
    ...quarantined.map(({ segment }) => segment),
    ...counted.keys(),
  ];
  return numbers.reduce((greatest, number) => Math.max(greatest, number), 0) + 1;
}

async function unlinkSegments(disk: Disk, segments: readonly number[]): Promise<void> {
  if (segments.length === 0) return;
  for (const segment of segments) await disk.unlink(segmentPath(segment));
  await disk.syncDirectory(segmentsDirectory);
}

/** What a store's opening throws, in words for a person. */
export function openingError(error: unknown): unknown {
  if (isCostorError(error)) return error;
  if (isForWantOfSpace(error))
    return new CostorError("store-full", "the disk is too full to open the store", { cause: error });
  return new CostorError("store-failed", `the store cannot be opened: ${(error as Error).message}`, { cause: error });
}
