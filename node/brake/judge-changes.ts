/** Whether a backup looks like the work of ransomware. Pure. */
import type { ChangeFinding } from "#node/site/brake-alarms.ts";

/** Heads of files that were drawn by chance from those that a backup took away or brought. */
export interface HeadCounts {
  readonly count: number;
  readonly knownKindCount: number;
  readonly compressibleCount: number;
}

export interface ChangeCounts {
  /** Files in the snapshot before. */
  readonly filesBefore: number;
  readonly changedCount: number;
  readonly addedCount: number;
  readonly removedCount: number;
  /** Of files before that were changed or removed. */
  readonly before: HeadCounts;
  /** Of files now that were changed or added. */
  readonly after: HeadCounts;
}

/** Fewer files are what people do in a day. */
const LEAST_FILES_COUNT = 30;
const MASS_SHARE = 0.4;
/** Fewer heads tell nothing. */
const LEAST_HEADS_COUNT = 10;
const COMMON_SHARE = 0.5;
/** What was common before is rare when so much of it is gone. */
const LEFT_SHARE = 0.25;

export function judgeChanges(changes: ChangeCounts): ChangeFinding[] {
  const { filesBefore, changedCount, addedCount, removedCount, before, after } = changes;
  if (changedCount + removedCount < LEAST_FILES_COUNT) return [];
  const findings: ChangeFinding[] = [];
  // What is moved is removed and added.
  const goneCount = changedCount + Math.max(0, removedCount - addedCount);
  if (goneCount >= LEAST_FILES_COUNT && goneCount >= filesBefore * MASS_SHARE) findings.push("mass-change");
  if (before.count < LEAST_HEADS_COUNT || after.count < LEAST_HEADS_COUNT) return findings;
  const isGone = (was: number, is: number): boolean =>
    was / before.count >= COMMON_SHARE && is / after.count <= (was / before.count) * LEFT_SHARE;
  if (isGone(before.knownKindCount, after.knownKindCount)) findings.push("types-lost");
  if (isGone(before.compressibleCount, after.compressibleCount)) findings.push("incompressible");
  return findings;
}
