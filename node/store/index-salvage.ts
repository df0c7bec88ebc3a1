/**
 * Saves facts, keeps and damage on record when segments are damaged and the index is not. Up to its position the index knows what a rebuild from what is
 * left would lose, and what it would bring back; of what comes after it only the segments tell, and they are believed.
 */
import type { Disk } from "./disk.ts";
import { FactReplay } from "./fact-salvage.ts";
import { KeepReplay } from "./keep-salvage.ts";
import type { PlacedRecord } from "./projection.ts";
import { QuarantineReplay } from "./quarantine-salvage.ts";
import { decodeSegmentRemoval } from "./record-body.ts";
import { type NewRecord, recordKind } from "./record.ts";
import { type FoldInit, foldSegments, type FoldTarget } from "./segment-fold.ts";
import type { LogEnd } from "./segment-writer.ts";
import type { StoreIndex } from "./store-index.ts";

/** Learns from the segments, record by record, what they alone would say. */
export interface IndexReplay {
  apply(records: readonly PlacedRecord[]): Promise<void>;
  /**
   * What has to be appended, so that they say what the index does. What the index has in a segment that is `removed` since is not missing:
   * it was moved to behind the position of the index, or had ended by then.
   */
  records(removed: ReadonlySet<number>): Promise<NewRecord[]>;
}

interface IndexSalvage {
  /** What makes a rebuild give the right entries. */
  readonly records: readonly NewRecord[];
  /** Where it has to be appended. */
  readonly end: LogEnd;
}

/** Undefined when the index cannot be trusted either. */
export async function salvageIndex(
  components: { disk: Disk; index: StoreIndex },
  init: FoldInit,
): Promise<IndexSalvage | undefined> {
  const { disk, index } = components;
  const replays: IndexReplay[] = [];
  if (await index.verify("facts")) replays.push(new FactReplay(index));
  if (await index.verify("rest")) replays.push(new KeepReplay(index), new QuarantineReplay(index));
  if (replays.length === 0) return undefined;
  const removed = new Set<number>();
  const target: FoldTarget = {
    meta: { position: { segment: 0, offset: 0 } },
    apply: async (records) => {
      for (const { kind, body } of records)
        if (kind === recordKind.segmentRemoval) for (const segment of decodeSegmentRemoval(body!)) removed.add(segment);
      for (const replay of replays) await replay.apply(records);
    },
    closeSegment: async () => {},
    setComplete: async () => {},
  };
  const { end } = await foldSegments({ disk, index: target }, init);
  let records: NewRecord[] = [];
  for (const replay of replays) records = records.concat(await replay.records(removed));
  return { records, end };
}
