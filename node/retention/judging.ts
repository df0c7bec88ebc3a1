/** Judges the site's snapshots by the policies that count now, or by others. */
import { type KeepReason, type Verdict, planRetention } from "#ledger/plan-retention.ts";
import { RetentionCalendar } from "#ledger/retention-calendar.ts";
import type { RetentionPolicy } from "#ledger/retention-policy.ts";
import { WallClock } from "#ledger/wall-clock.ts";
import type { SnapshotRecord, SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { AgentId } from "#protocol/ids.ts";

export interface JudgedRecord extends SnapshotRecord {
  readonly isComplete: boolean;
  /** Why it is kept, the strongest first; empty when it is not. */
  readonly reasons: readonly KeepReason[];
}

export interface JudgingComponents {
  readonly snapshots: Pick<SnapshotRegistry, "records">;
  /** An IANA name. */
  readonly timeZone: () => string;
}

export interface JudgingInit {
  readonly policiesOf: (agent: AgentId, job: string) => readonly RetentionPolicy[];
  readonly nowMs: number;
  readonly youngAfterMs: number;
}

/** In order of agents, then of the times at which they were received. Those that a person removes take no place of others. */
export async function judgeSnapshots(
  { snapshots, timeZone }: JudgingComponents,
  init: JudgingInit,
): Promise<JudgedRecord[]> {
  const records: (SnapshotRecord & { readonly isComplete: boolean })[] = [];
  for await (const record of snapshots.records()) records.push({ ...record, isComplete: record.unreadableCount === 0 });
  records.sort((one, other) => compare(one.agent, other.agent) || one.receivedMs - other.receivedMs);
  const calendar = new RetentionCalendar({ clock: new WallClock(timeZone()) });
  const isRemoved = ({ expiry }: SnapshotRecord): boolean => expiry?.cause === "person";
  const verdicts: Verdict<(typeof records)[number]>[] = planRetention(
    records.filter((record) => !isRemoved(record)),
    { ...init, calendar },
  );
  const reasons = new Map(verdicts.map((verdict) => [verdict.snapshot, verdict.reasons]));
  return records.map((record) => ({ ...record, reasons: reasons.get(record) ?? [] }));
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
