/**
 * Reads and verifies a store bit by bit, beside everything else: each step reads a part of one segment, and only what it finds is
 * written in a turn of the writer.
 */
import { type DiskFile, hasErrorCode } from "./disk.ts";
import { findingOf, recordFound } from "./found-damage.ts";
import type { CheckFinding, ScrubInit, ScrubPlace, ScrubStep } from "./prime-store.ts";
import type { DamagedStretch } from "./record-body.ts";
import { encodeSegmentHeader, recordBytes, type SegmentHeader, segmentHeaderBytes } from "./record.ts";
import { stretchOf } from "./segment-fold.ts";
import { readSegmentHeader, scanRecords } from "./segment-scan.ts";
import { segmentPath } from "./segment-writer.ts";
import type { StoreCheckComponents, StoreCheckInit } from "./store-check.ts";
import type { StoreIndex } from "./store-index.ts";

interface PartOfSegment {
  readonly segment: number;
  readonly fromBytes: number;
  readonly toBytes: number;
}

/** As `PrimeStore.scrub`. */
export async function scrubStep(
  components: StoreCheckComponents,
  init: StoreCheckInit,
  { from, until, bytes }: ScrubInit,
): Promise<ScrubStep> {
  const all = await allParts(components, init);
  const totalBytes = all.reduce((sum, part) => sum + part.toBytes - part.fromBytes, 0);
  const [part, following] = partsBetween(all, from, until);
  if (part === undefined) return { next: undefined, readBytes: 0, totalBytes, findings: [] };
  const { endBytes, damage, isHeaderWhole } = await readPart(components, part, bytes);
  const findings = (await recordFound(components, init, damage)).map(findingOf);
  if (!isHeaderWhole) findings.push(...(await mendHeader(components, part.segment)));
  const next =
    endBytes < part.toBytes
      ? { segment: part.segment, offset: endBytes }
      : following && { segment: following.segment, offset: following.fromBytes };
  return { next, readBytes: endBytes - part.fromBytes, totalBytes, findings };
}

/** All records, in the order of the segments. */
async function allParts({ live }: StoreCheckComponents, { logEnd }: StoreCheckInit): Promise<PartOfSegment[]> {
  const last = logEnd();
  const ends = await live.read((index) => index.segments());
  if (last.segment > 0 && !ends.has(last.segment)) ends.set(last.segment, last.endBytes);
  return [...ends]
    .flatMap(([segment, toBytes]) =>
      toBytes === undefined ? [] : [{ segment, fromBytes: segmentHeaderBytes, toBytes }],
    )
    .filter(({ fromBytes, toBytes }) => fromBytes < toBytes)
    .toSorted((a, b) => a.segment - b.segment);
}

const partsBetween = (
  parts: readonly PartOfSegment[],
  from: ScrubPlace | undefined,
  until: ScrubPlace | undefined,
): PartOfSegment[] =>
  parts
    .filter(({ segment }) => segment >= (from?.segment ?? 0) && segment <= (until?.segment ?? segment))
    .map(({ segment, fromBytes, toBytes }) => ({
      segment,
      fromBytes: segment === from?.segment ? Math.max(from.offset, fromBytes) : fromBytes,
      toBytes: segment === until?.segment ? Math.min(until.offset, toBytes) : toBytes,
    }))
    .filter(({ fromBytes, toBytes }) => fromBytes < toBytes);

interface ReadPart {
  /** Up to here everything was read. */
  readonly endBytes: number;
  readonly damage: readonly DamagedStretch[];
  readonly isHeaderWhole: boolean;
}

async function readPart(
  { live, disk }: StoreCheckComponents,
  { segment, fromBytes, toBytes }: PartOfSegment,
  bytes: number,
): Promise<ReadPart> {
  const { salt } = await live.read(async (index) => index.meta);
  let file: DiskFile;
  try {
    file = await disk.openRead(segmentPath(segment));
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
    return { endBytes: toBytes, damage: [{ segment, offset: 0, lengthBytes: toBytes }], isHeaderWhole: true };
  }
  const damage: DamagedStretch[] = [];
  let endBytes = fromBytes;
  try {
    const isHeaderWhole = fromBytes > segmentHeaderBytes || (await readSegmentHeader(file, segment)).isWhole;
    for await (const item of scanRecords(file, { salt, segment, fromBytes, toBytes, verifyFromBytes: 0 })) {
      endBytes = item.offset + (item.type === "gap" ? item.lengthBytes : recordBytes(item.bodyBytes));
      if (item.type === "gap") damage.push(stretchOf(segment, item, endBytes));
      // When the index has to be made anew for what is found, then once for the whole segment.
      if (endBytes - fromBytes >= bytes && damage.every(({ id }) => id !== undefined)) break;
    }
    return { endBytes, damage, isHeaderWhole };
  } finally {
    await file.close();
  }
}

/** Writes a segment's header again: from its other copy, or from what the index knows. */
async function mendHeader({ live, disk, runAlone }: StoreCheckComponents, segment: number): Promise<CheckFinding[]> {
  return runAlone(async () => {
    const file = await disk.openWrite(segmentPath(segment)).catch((error: unknown) => {
      // It was emptied and removed meanwhile.
      if (!hasErrorCode(error, "ENOENT")) throw error;
      return undefined;
    });
    if (file === undefined) return [];
    try {
      const { header, isWhole } = await readSegmentHeader(file, segment);
      if (isWhole) return [];
      await file.write(
        [encodeSegmentHeader(header ?? (await live.readInTurn((index) => headerOf(index, segment))))],
        0,
      );
      await file.sync();
    } finally {
      await file.close();
    }
    const message = `the header of segment ${segment} was damaged, and is written again`;
    const place = { file: segmentPath(segment), offset: 0, lengthBytes: segmentHeaderBytes };
    return [{ what: "segment-header", ...place, message }];
  });
}

/** A segment that was removed ends nowhere any more. */
async function headerOf(index: StoreIndex, segment: number): Promise<SegmentHeader> {
  const ends = [...(await index.segments())].filter(([number]) => number < segment).toSorted(([a], [b]) => a - b);
  const [previousSegment, previousEndBytes] = ends.at(-1) ?? [0, undefined];
  const { salt, receivedMs } = index.meta;
  return {
    ...{ salt, segment, createdMs: receivedMs },
    ...(previousEndBytes === undefined
      ? { previousSegment: 0, previousEndBytes: 0 }
      : { previousSegment, previousEndBytes }),
  };
}
