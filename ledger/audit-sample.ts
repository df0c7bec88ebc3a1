/** Which primes an audit asks for, and what its answers say. docs/specs/replication.md, Audits. Pure. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { SiteId } from "#protocol/ids.ts";
import type { Rng } from "./rng.ts";

/** So many distinct numbers from 0 and below `count`, each set of them as likely as any other, ascending. All of fewer. */
export function drawIndexes(count: number, drawnCount: number, rng: Rng): number[] {
  // Floyd's algorithm: as many draws as indexes, whatever the count is.
  const drawn = new Set<number>();
  for (let last = Math.max(0, count - drawnCount); last < count; last++) {
    const index = Math.floor(rng.fraction() * (last + 1));
    drawn.add(drawn.has(index) ? last : index);
  }
  return [...drawn].sort((one, other) => one - other);
}

/** The answer that proves that `holder` has a prime: it takes all of its stored bytes, and is of no use to anybody else. */
export const auditAnswer = (nonce: Uint8Array, holder: SiteId, stored: Uint8Array): Buffer =>
  createHmac("sha256", Buffer.concat([nonce, Buffer.from(holder, "hex")]))
    .update(stored)
    .digest();

export interface AuditCounts {
  readonly askedCount: number;
  readonly rightCount: number;
  readonly wrongCount: number;
  /** No answer in time. */
  readonly silentCount: number;
}

/** What came for one prime: the holder's answer, null where it says that it lacks it, undefined where none came in time. */
export type AuditAnswer = Uint8Array | null | undefined;

export function countAnswers(expected: readonly Uint8Array[], answers: readonly AuditAnswer[]): AuditCounts {
  let rightCount = 0;
  let silentCount = 0;
  for (const [index, wanted] of expected.entries()) {
    const answer = answers[index];
    if (answer === undefined) silentCount++;
    else if (answer !== null && answer.length === wanted.length && timingSafeEqual(answer, wanted)) rightCount++;
  }
  const askedCount = expected.length;
  return { askedCount, rightCount, wrongCount: askedCount - rightCount - silentCount, silentCount };
}

/** What an `audit` entry says of all audits since a moment. */
export interface AuditRecord extends AuditCounts {
  /** Milliseconds since 1970 by the auditor's clock. */
  readonly sinceMs: number;
}

/** Counts start anew so often: a holder that failed once may be tried again. */
const COUNTED_MS = 30 * 24 * 3_600_000;
/** Three nights' primes without an answer, though the holder was reached, tell against it too. */
const SILENT_PRIMES_COUNT = 3 * 64;

/** The next audit begins anew. */
export const isOver = ({ sinceMs }: Pick<AuditRecord, "sinceMs">, nowMs: number): boolean =>
  Math.abs(nowMs - sinceMs) >= COUNTED_MS;

export function addAudit(record: AuditRecord | undefined, counts: AuditCounts, nowMs: number): AuditRecord {
  if (record === undefined || isOver(record, nowMs)) return { ...counts, sinceMs: nowMs };
  return { ...addCounts(record, counts), sinceMs: record.sinceMs };
}

export const addCounts = (former: AuditCounts | undefined, counts: AuditCounts): AuditCounts => ({
  askedCount: (former?.askedCount ?? 0) + counts.askedCount,
  rightCount: (former?.rightCount ?? 0) + counts.rightCount,
  wrongCount: (former?.wrongCount ?? 0) + counts.wrongCount,
  silentCount: (former?.silentCount ?? 0) + counts.silentCount,
});

export const failsAudit = ({ wrongCount, silentCount }: AuditCounts): boolean =>
  wrongCount > 0 || silentCount >= SILENT_PRIMES_COUNT;
