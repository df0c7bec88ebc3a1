/** Which rules decide how long snapshots are kept. docs/specs/retention.md, Rules */
import * as v from "valibot";
import { limits } from "#protocol/limits.ts";

const count = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(1, "a rule keeps at least one"),
  v.maxValue(limits.retentionRuleCount, `a rule keeps at most ${limits.retentionRuleCount}`),
);
const DURATION = /^(?=\d)(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,4})w)?(?:(\d{1,4})d)?(?:(\d{1,4})h)?$/;
const duration = v.pipe(v.string(), v.regex(DURATION, "a duration is such as 2y, 6m, 4w, 30d, 12h or 1y6m"));

/** From the finest to the coarsest: their order is that in which they choose. */
export const periods = ["hourly", "daily", "weekly", "monthly", "yearly"] as const;
export type Period = (typeof periods)[number];

/** Counts of the newest snapshots, or newest of periods, that are kept; and durations before the newest one. */
export const retentionPolicySchema = v.strictObject({
  last: v.optional(count),
  hourly: v.optional(count),
  daily: v.optional(count),
  weekly: v.optional(count),
  monthly: v.optional(count),
  yearly: v.optional(count),
  /** All of them that are younger than that. */
  within: v.optional(duration),
  /** The newest of each hour, and so on. */
  withinHourly: v.optional(duration),
  withinDaily: v.optional(duration),
  withinWeekly: v.optional(duration),
  withinMonthly: v.optional(duration),
  withinYearly: v.optional(duration),
});
/** Without any rule everything is kept. */
export type RetentionPolicy = v.InferOutput<typeof retentionPolicySchema>;
export type RetentionRule = keyof RetentionPolicy;

export const withinRules = {
  hourly: "withinHourly",
  daily: "withinDaily",
  weekly: "withinWeekly",
  monthly: "withinMonthly",
  yearly: "withinYearly",
} as const satisfies Record<Period, RetentionRule>;

export const isEmptyPolicy = (policy: RetentionPolicy): boolean => rulesOf(policy).length === 0;

/** Those that a policy has. */
export const rulesOf = (policy: RetentionPolicy): RetentionRule[] =>
  (Object.keys(retentionPolicySchema.entries) as RetentionRule[]).filter((rule) => policy[rule] !== undefined);

/** Whether `next` surely keeps all that `former` keeps, whatever the snapshots are. */
export function keepsAtLeast(next: RetentionPolicy, former: RetentionPolicy): boolean {
  if (isEmptyPolicy(next)) return true;
  if (isEmptyPolicy(former)) return false;
  return rulesOf(former).every((rule) => {
    const [wanted, before] = [next[rule], former[rule]];
    if (wanted === undefined) return false;
    if (typeof wanted === "number") return wanted >= (before as number);
    const [longer, shorter] = [durationOf(wanted), durationOf(before as string)];
    return longer.months >= shorter.months && longer.hours >= shorter.hours;
  });
}

export interface RetentionDuration {
  readonly months: number;
  readonly hours: number;
}

/** Of a text that the schema has let pass. */
export function durationOf(text: string): RetentionDuration {
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0] = DURATION.exec(text)!
    .slice(1)
    .map((part) => Number(part ?? 0));
  return { months: years * 12 + months, hours: (weeks * 7 + days) * 24 + hours };
}
