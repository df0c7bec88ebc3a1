/**
 * Which snapshots are kept, by which rules and how long: docs/specs/retention.md. Pure. When in doubt, kept.
 *
 * Snapshots of one agent and job are judged together, whatever their paths, and by the time at which the site received them: no time
 * of an agent's clock decides. Rules choose in order, from the finest to the coarsest; one that counts periods passes over those whose newest
 * snapshot is kept already, and over empty ones. So another rule, or a greater count, never takes anything away, and planning again
 * without what went gives the same.
 */
import type { AgentId } from "#protocol/ids.ts";
import { type RetentionCalendar } from "./retention-calendar.ts";
import {
  type Period,
  type RetentionPolicy,
  type RetentionRule,
  durationOf,
  isEmptyPolicy,
  periods,
  withinRules,
} from "./retention-policy.ts";

/** No snapshot expires before, whatever the rules. */
export const LEAST_KEPT_MS = 30 * 24 * 3_600_000;

export interface JudgedSnapshot {
  readonly agent: AgentId;
  readonly job: string;
  /** When the site received it. */
  readonly receivedMs: number;
  /** Nothing of it could not be read. */
  readonly isComplete: boolean;
  readonly isPinned: boolean;
  readonly tags: readonly string[];
  readonly heldUntilMs?: number | undefined;
}

export interface KeepReason {
  /** A rule of the policy; `everything` for a policy without rules; or what beats all rules. */
  readonly rule: RetentionRule | "everything" | "pinned" | "tagged" | "held" | "young" | "last-complete" | "newest";
  /** Not before that, if backups go on as the rule counts them. Without it and `furtherCount` no end is known. */
  readonly untilMs?: number;
  /** Until so many further snapshots have come. */
  readonly furtherCount?: number;
}

export interface Verdict<Snapshot extends JudgedSnapshot> {
  readonly snapshot: Snapshot;
  /** The strongest first; none for one that expires. */
  readonly reasons: readonly KeepReason[];
}

export interface RetentionInit {
  /** A snapshot is kept when any of them keeps it. */
  readonly policiesOf: (agent: AgentId, job: string) => readonly RetentionPolicy[];
  readonly calendar: RetentionCalendar;
  readonly nowMs: number;
  /** Snapshots that were received after that are young: {@link LEAST_KEPT_MS} by a clock that the caller trusts. */
  readonly youngAfterMs: number;
}

/** A verdict for each snapshot, in their order. */
export function planRetention<Snapshot extends JudgedSnapshot>(
  snapshots: readonly Snapshot[],
  init: RetentionInit,
): Verdict<Snapshot>[] {
  const reasons = new Map<Snapshot, KeepReason[]>(snapshots.map((snapshot) => [snapshot, []]));
  const groups = Map.groupBy(snapshots, ({ agent, job }) => `${agent} ${job}`);
  for (const group of groups.values()) {
    const newestFirst = group.toSorted((one, other) => other.receivedMs - one.receivedMs);
    const complete = newestFirst.filter(({ isComplete }) => isComplete);
    const { agent, job } = newestFirst[0]!;
    for (const snapshot of newestFirst) reasons.get(snapshot)!.push(...ownReasons(snapshot, init));
    if (complete[0] !== undefined) reasons.get(complete[0])!.push({ rule: "last-complete" });
    reasons.get(newestFirst[0]!)!.push({ rule: "newest" });
    for (const policy of init.policiesOf(agent, job)) {
      // Those that are not complete take no place of a complete one.
      const chosen = [applyPolicy(complete, policy, init), applyPolicy(newestFirst, policy, init)];
      for (const one of chosen) for (const [snapshot, reason] of one) note(reasons.get(snapshot)!, reason);
    }
  }
  return snapshots.map((snapshot) => ({ snapshot, reasons: reasons.get(snapshot)! }));
}

function note(reasons: KeepReason[], reason: KeepReason): void {
  if (!reasons.some(({ rule }) => rule === reason.rule)) reasons.push(reason);
}

function ownReasons(snapshot: JudgedSnapshot, { nowMs, youngAfterMs }: RetentionInit): KeepReason[] {
  const { isPinned, tags, heldUntilMs, receivedMs } = snapshot;
  const reasons: KeepReason[] = [];
  if (isPinned) reasons.push({ rule: "pinned" });
  if (tags.length > 0) reasons.push({ rule: "tagged" });
  if (heldUntilMs !== undefined && heldUntilMs > nowMs) reasons.push({ rule: "held", untilMs: heldUntilMs });
  if (receivedMs > youngAfterMs) reasons.push({ rule: "young", untilMs: receivedMs + LEAST_KEPT_MS });
  return reasons;
}

/** `snapshots` of one agent and job, the newest first. */
function applyPolicy<Snapshot extends JudgedSnapshot>(
  snapshots: readonly Snapshot[],
  policy: RetentionPolicy,
  { calendar, nowMs }: RetentionInit,
): Map<Snapshot, KeepReason> {
  const kept = new Map<Snapshot, KeepReason>();
  const newest = snapshots[0];
  if (newest === undefined) return kept;
  if (isEmptyPolicy(policy)) return new Map(snapshots.map((snapshot) => [snapshot, { rule: "everything" }]));
  const keep = (snapshot: Snapshot, reason: KeepReason): void => {
    if (!kept.has(snapshot)) kept.set(snapshot, reason);
  };
  const keepWithin = (rule: RetentionRule, candidates: readonly Snapshot[]): void => {
    const text = policy[rule] as string | undefined;
    if (text === undefined) return;
    const duration = durationOf(text);
    const edgeMs = calendar.before(newest.receivedMs, duration);
    for (const snapshot of candidates)
      // The far edge does not count; the newest one always does.
      if (snapshot === newest || snapshot.receivedMs > edgeMs)
        keep(snapshot, { rule, untilMs: calendar.after(snapshot.receivedMs, duration) });
  };
  keepWithin("within", snapshots);
  const { last = 0 } = policy;
  for (const [rank, snapshot] of snapshots.slice(0, last).entries())
    keep(snapshot, { rule: "last", furtherCount: last - rank });
  for (const period of periods) {
    const firsts = newestOfEach(snapshots, period, calendar);
    const count = policy[period] ?? 0;
    const latest = Math.max(firsts[0]!.index, calendar.period(period, nowMs).index - 1);
    // The newest periods may be covered now and not later, so all of them count for what is promised.
    const promisedMs = (rank: number) => Math.max(nowMs, calendar.startMs(period, latest + count - rank));
    const uncovered = [...firsts.entries()].filter(([, { snapshot }]) => !kept.has(snapshot)).slice(0, count);
    for (const [rank, { snapshot }] of uncovered) keep(snapshot, { rule: period, untilMs: promisedMs(rank) });
    keepWithin(
      withinRules[period],
      firsts.map(({ snapshot }) => snapshot),
    );
  }
  return kept;
}

function newestOfEach<Snapshot extends JudgedSnapshot>(
  newestFirst: readonly Snapshot[],
  period: Period,
  calendar: RetentionCalendar,
): { readonly snapshot: Snapshot; readonly index: number }[] {
  const found = new Map<string, { snapshot: Snapshot; index: number }>();
  for (const snapshot of newestFirst) {
    const { key, index } = calendar.period(period, snapshot.receivedMs);
    if (!found.has(key)) found.set(key, { snapshot, index });
  }
  return [...found.values()];
}
