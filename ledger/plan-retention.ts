/**
 * Which snapshots are kept, by which rules and how long: docs/specs/retention.md. Pure. When in doubt, kept.
 *
 * Snapshots of one agent and job are judged together, whatever their paths, in the order in which the site received them and by the time at which it
 * did: no time of an agent's clock decides. Where the site's own clock may have been wrong, what either time keeps is kept. Rules choose in order, from the finest to the coarsest; one that counts periods passes over those whose newest
 * snapshot is kept already, and over empty ones. So another rule, or a greater count, never takes anything away, and planning again
 * without what went gives the same.
 */
import type { AgentId } from "#protocol/ids.ts";
import { type RetentionCalendar } from "./retention-calendar.ts";
import {
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
  /** When the site received it, by a clock that never goes back. */
  readonly receivedMs: number;
  /** What the machine's clock showed then, when that was less. */
  readonly wallMs?: number | undefined;
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
      for (const judged of [complete, newestFirst])
        for (const timeOf of timesOf(judged))
          for (const [snapshot, reason] of applyPolicy(judged, policy, { ...init, timeOf }))
            note(reasons.get(snapshot)!, reason);
    }
  }
  return snapshots.map((snapshot) => ({ snapshot, reasons: reasons.get(snapshot)! }));
}

type TimeOf = (snapshot: Pick<JudgedSnapshot, "receivedMs" | "wallMs">) => number;
/** By the machine's clock as it was then: the time to show to people. */
export const wallTimeOf: TimeOf = ({ receivedMs, wallMs }) => wallMs ?? receivedMs;
const receivedTimeOf: TimeOf = ({ receivedMs }) => receivedMs;

const timesOf = (snapshots: readonly JudgedSnapshot[]): TimeOf[] =>
  snapshots.some(({ wallMs }) => wallMs !== undefined) ? [receivedTimeOf, wallTimeOf] : [receivedTimeOf];

function note(reasons: KeepReason[], reason: KeepReason): void {
  if (!reasons.some(({ rule }) => rule === reason.rule)) reasons.push(reason);
}

function ownReasons(snapshot: JudgedSnapshot, { nowMs, youngAfterMs }: RetentionInit): KeepReason[] {
  const { isPinned, tags, heldUntilMs } = snapshot;
  const reasons: KeepReason[] = [];
  if (isPinned) reasons.push({ rule: "pinned" });
  if (tags.length > 0) reasons.push({ rule: "tagged" });
  if (heldUntilMs !== undefined && heldUntilMs > nowMs) reasons.push({ rule: "held", untilMs: heldUntilMs });
  if (snapshot.receivedMs > youngAfterMs)
    reasons.push({ rule: "young", untilMs: wallTimeOf(snapshot) + LEAST_KEPT_MS });
  return reasons;
}

/** `snapshots` of one agent and job, the newest first. */
function applyPolicy<Snapshot extends JudgedSnapshot>(
  snapshots: readonly Snapshot[],
  policy: RetentionPolicy,
  { calendar, nowMs, timeOf }: RetentionInit & { readonly timeOf: TimeOf },
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
    // What seems to come from the future makes nothing older.
    const edgeMs = calendar.before(Math.min(timeOf(newest), nowMs), duration);
    for (const snapshot of candidates)
      // The far edge does not count; the newest one always does.
      if (snapshot === newest || timeOf(snapshot) > edgeMs)
        keep(snapshot, { rule, untilMs: calendar.after(timeOf(snapshot), duration) });
  };
  keepWithin("within", snapshots);
  // What seems to come from the future takes no place until that has come.
  const isPast = ([, { snapshot }]: readonly [number, { readonly snapshot: Snapshot }]): boolean =>
    timeOf(snapshot) <= nowMs;
  const { last = 0 } = policy;
  for (const [rank, snapshot] of snapshots.slice(0, last).entries())
    keep(snapshot, { rule: "last", furtherCount: last - rank });
  for (const period of periods) {
    const firsts = newestOfEach(snapshots, timeOf, (ms) => calendar.period(period, ms));
    const count = policy[period] ?? 0;
    const nowIndex = calendar.period(period, nowMs).index;
    const latest = Math.max(Math.min(firsts[0]!.index, nowIndex), nowIndex - 1);
    // The newest periods may be covered now and not later, so all of them count for what is promised.
    const promisedMs = (rank: number) => Math.max(nowMs, calendar.startMs(period, latest + count - rank));
    const uncovered = [...firsts.entries()].filter(([, { snapshot }]) => !kept.has(snapshot));
    const [past, future] = [uncovered.filter(isPast), uncovered.filter((first) => !isPast(first))];
    for (const [rank, { snapshot }] of past.slice(0, count))
      keep(snapshot, { rule: period, untilMs: promisedMs(rank) });
    if (count > 0) for (const [, { snapshot }] of future) keep(snapshot, { rule: period, untilMs: timeOf(snapshot) });
    keepWithin(
      withinRules[period],
      firsts.map(({ snapshot }) => snapshot),
    );
  }
  return kept;
}

function newestOfEach<Snapshot extends JudgedSnapshot>(
  newestFirst: readonly Snapshot[],
  timeOf: TimeOf,
  periodAt: (ms: number) => ReturnType<RetentionCalendar["period"]>,
): { readonly snapshot: Snapshot; readonly index: number }[] {
  const found = new Map<string, { snapshot: Snapshot; index: number }>();
  for (const snapshot of newestFirst) {
    const { key, index } = periodAt(timeOf(snapshot));
    if (!found.has(key)) found.set(key, { snapshot, index });
  }
  return [...found.values()];
}
