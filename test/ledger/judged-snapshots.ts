/** Snapshots to judge, and what is planned for them. */
import * as fc from "fast-check";
import { type JudgedSnapshot, type Verdict, planRetention } from "#ledger/plan-retention.ts";
import { RetentionCalendar } from "#ledger/retention-calendar.ts";
import type { RetentionPolicy } from "#ledger/retention-policy.ts";
import { WallClock } from "#ledger/wall-clock.ts";
import { sampleAgent } from "#test/support/store-samples.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const at = (text: string): number => Date.parse(text);
const agent = sampleAgent(1);

export interface Named extends JudgedSnapshot {
  readonly name: string;
}

/** A complete one of one agent and job that nobody has said anything of. */
export const made = (receivedMs: number, changes: Partial<Named> = {}): Named => ({
  ...{ name: `${receivedMs}`, agent, job: "all", receivedMs },
  ...{ isComplete: true, isPinned: false, tags: [] },
  ...changes,
});

export interface Planned {
  readonly zone?: string;
  readonly nowMs?: number;
  /** Nothing is young unless said otherwise. */
  readonly youngAfterMs?: number;
}

export function plan(
  snapshots: readonly Named[],
  policies: RetentionPolicy | readonly RetentionPolicy[],
  { zone = "UTC", nowMs = Math.max(0, ...snapshots.map(({ receivedMs }) => receivedMs)), ...init }: Planned = {},
): Verdict<Named>[] {
  const all = Array.isArray(policies) ? (policies as readonly RetentionPolicy[]) : [policies as RetentionPolicy];
  const calendar = new RetentionCalendar({ clock: new WallClock(zone) });
  return planRetention(snapshots, { policiesOf: () => all, calendar, nowMs, youngAfterMs: nowMs, ...init });
}

export const keptOf = (verdicts: readonly Verdict<Named>[]): Named[] =>
  verdicts.filter(({ reasons }) => reasons.length > 0).map(({ snapshot }) => snapshot);
export const kept = (...args: Parameters<typeof plan>): string[] => keptOf(plan(...args)).map(({ name }) => name);

const counts = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined });
const duration = fc.option(fc.constantFrom("6h", "3d", "2w", "1m", "1y2m"), { nil: undefined });
export const policies = fc
  .record({
    ...{ last: counts, hourly: counts, daily: counts, weekly: counts, monthly: counts, yearly: counts },
    ...{ within: duration, withinHourly: duration, withinDaily: duration, withinWeekly: duration },
    ...{ withinMonthly: duration, withinYearly: duration },
  })
  .map(withoutUndefined);
export const zones = fc.constantFrom("UTC", "Europe/Rome", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia");

export function withoutUndefined(policy: object): RetentionPolicy {
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined)) as RetentionPolicy;
}

/** Some dense and some sparse, some years long; times differ, as the site's do. */
export const series = fc
  .array(
    fc.record({
      gapMs: fc.oneof(fc.integer({ min: 1, max: 6 * HOUR_MS }), fc.integer({ min: 1, max: 60 * DAY_MS })),
      isComplete: fc.boolean(),
      isPinned: fc.integer({ min: 0, max: 20 }).map((number) => number === 0),
    }),
    { minLength: 1, maxLength: 80 },
  )
  .map((steps) => {
    let receivedMs = at("2024-02-27T00:00:00Z");
    return steps.map(({ gapMs, ...changes }, number) => made((receivedMs += gapMs), { name: `${number}`, ...changes }));
  });
