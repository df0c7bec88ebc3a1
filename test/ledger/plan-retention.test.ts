/**
 * Goal: what people rely on for years is never taken by a rule that should not. Method: known cases of other programs' manuals and
 * mistakes; an independent model of Proxmox Backup Server's choice by dates; properties over random series, policies and zones.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { LEAST_KEPT_MS, type Verdict, planRetention } from "#ledger/plan-retention.ts";
import { RetentionCalendar } from "#ledger/retention-calendar.ts";
import { type RetentionPolicy, keepsAtLeast, periods } from "#ledger/retention-policy.ts";
import { WallClock } from "#ledger/wall-clock.ts";
import type { AgentId } from "#protocol/ids.ts";
import {
  DAY_MS,
  HOUR_MS,
  type Named,
  at,
  kept,
  keptOf,
  made,
  plan,
  policies,
  series,
  withoutUndefined,
  zones,
} from "#test/ledger/judged-snapshots.ts";
import { sampleAgent } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("plan-retention");

const ruleNames = ({ reasons }: Verdict<Named>): string[] => reasons.map(({ rule }) => rule);

/** Weekdays of a school, with a holiday on 1 May. */
const spring = ["04-21", "04-22", "04-23", "04-24", "04-25", "04-28", "04-29", "04-30", "05-02"].map((day) =>
  made(at(`2025-${day}T09:00:00Z`), { name: day }),
);

test("vector 1: five days are five days with backups; seven days back are what lies within, without the far edge", () => {
  assert.deepEqual(kept(spring, { daily: 5 }), ["04-25", "04-28", "04-29", "04-30", "05-02"]);
  assert.deepEqual(kept(spring, { withinDaily: "7d" }), ["04-28", "04-29", "04-30", "05-02"]);
});

test("vector 2: after fifteen days off, one new backup displaces one hour and one day, and nothing else", () => {
  const before = Array.from({ length: 20 * 24 }, (_, hour) => made(at("2026-01-01T00:10:00Z") + hour * HOUR_MS));
  const policy: RetentionPolicy = { hourly: 24, daily: 14 };
  const first = keptOf(plan(before, policy));
  const next = made(before.at(-1)!.receivedMs + 15 * DAY_MS);
  const second = keptOf(plan([...first, next], policy));
  const gone = first.filter((snapshot) => !second.includes(snapshot));
  assert.ok(second.includes(next));
  assert.ok(gone.length <= 2, `${gone.length} went`);
  const fresh = keptOf(plan([...first, next], policy, { youngAfterMs: next.receivedMs - LEAST_KEPT_MS }));
  assert.equal(fresh.length, first.length + 1, "and nothing at all while it is younger than thirty days");
});

test("vector 3: agents and jobs are judged apart, and nothing but them makes a series", () => {
  const day = (number: number) => at("2026-01-01T12:00:00Z") + number * DAY_MS;
  const [one, other] = [sampleAgent(1), sampleAgent(2)];
  const snapshots = [0, 1, 2].flatMap((number) => [
    made(day(number), { name: `one ${number}`, agent: one }),
    made(day(number) + 1, { name: `other ${number}`, agent: other }),
    made(day(number) + 2, { name: `job ${number}`, agent: one, job: "mail" }),
  ]);
  assert.deepEqual(kept(snapshots, { daily: 1 }), ["one 2", "other 2", "job 2"]);
});

test("vector 4: a day of 23 or 25 hours is one day, and an hour that the clock shows twice is two", () => {
  const zone = "Europe/Rome";
  const hours = (day: string, count: number) =>
    Array.from({ length: count }, (_, hour) => made(at(day) + hour * HOUR_MS + 60_000));
  const short = hours("2026-03-28T23:00:00Z", 23);
  assert.deepEqual(kept(short, { daily: 3 }, { zone }), [short.at(-1)!.name], "clocks go forward");
  const long = hours("2026-10-24T22:00:00Z", 25);
  assert.deepEqual(kept(long, { daily: 3 }, { zone }), [long.at(-1)!.name], "clocks go back");
  assert.equal(kept(long, { hourly: 25 }, { zone }).length, 25);
  assert.equal(kept(long, { daily: 3 }, { zone: "UTC" }).length, 2, "by the site's zone, not by UTC");
});

test("vector 4: week 53, 29 February and half-hour zones are what the calendar says", () => {
  const noon = (day: string) => made(at(`${day}T12:00:00Z`), { name: day });
  const turn = ["2026-12-27", "2026-12-28", "2026-12-31", "2027-01-03", "2027-01-04"].map(noon);
  assert.deepEqual(kept(turn, { weekly: 9 }), ["2026-12-27", "2027-01-03", "2027-01-04"]);
  const leap = ["2028-02-28", "2028-02-29", "2028-03-01"].map(noon);
  assert.deepEqual(kept(leap, { monthly: 9 }), ["2028-02-29", "2028-03-01"]);
  assert.deepEqual(kept([noon("2028-02-29"), noon("2029-03-01")], { within: "1y" }), ["2029-03-01"]);
  assert.deepEqual(kept([noon("2028-02-29"), noon("2028-03-31")], { within: "1m" }), ["2028-03-31"]);
  const half = [made(at("2026-01-01T18:15:00Z")), made(at("2026-01-01T18:45:00Z"))];
  assert.equal(kept(half, { daily: 9 }, { zone: "Asia/Kolkata" }).length, 2, "midnight there is 18:30");
});

test("vector 4: another zone moves the bounds of days, and takes nothing that is young", () => {
  const snapshots = Array.from({ length: 40 }, (_, number) => made(at("2026-05-01T21:30:00Z") + number * 12 * HOUR_MS));
  for (const zone of ["Europe/Rome", "Pacific/Auckland", "America/St_Johns"]) {
    const days = kept(snapshots, { daily: 7 }, { zone });
    assert.equal(days.length, 7);
    const nowMs = snapshots.at(-1)!.receivedMs;
    assert.equal(kept(snapshots, { daily: 7 }, { zone, youngAfterMs: nowMs - LEAST_KEPT_MS }).length, 40);
  }
});

test("vector 5: five hundred planted snapshots, whatever they say of their time, take no day of an honest one", () => {
  const honest = Array.from({ length: 60 }, (_, day) => made(at("2026-01-01T20:00:00Z") + day * DAY_MS));
  const policy: RetentionPolicy = { daily: 14, weekly: 8, monthly: 12 };
  const before = kept(honest, policy);
  const lastMs = honest.at(-1)!.receivedMs;
  // Received within the same day: what their agent's clock showed is not even looked at.
  const planted = Array.from({ length: 500 }, (_, number) => made(lastMs + (number + 1) * 1000, { name: "planted" }));
  const init = { youngAfterMs: lastMs - LEAST_KEPT_MS };
  const after = new Set(kept([...honest, ...planted], policy, init));
  assert.deepEqual(
    before.filter((name) => !after.has(name)),
    [],
  );
});

test("vector 6: the last complete snapshot of an agent and job never goes, whatever comes after it", () => {
  const good = made(at("2020-01-01T00:00:00Z"), { name: "good" });
  const partial = Array.from({ length: 50 }, (_, day) =>
    made(at("2021-01-01T00:00:00Z") + day * DAY_MS, { name: `partial ${day}`, isComplete: false }),
  );
  const verdicts = plan([good, ...partial], { last: 1 }, { nowMs: at("2040-01-01T00:00:00Z") });
  assert.deepEqual(ruleNames(verdicts[0]!), ["last-complete", "last"]);
  assert.deepEqual(
    keptOf(verdicts).map(({ name }) => name),
    ["good", "partial 49"],
  );
});

test("vector 7: a run that read not everything displaces no complete one of its day, hour or count", () => {
  const day = at("2026-01-01T00:00:00Z");
  const good = Array.from({ length: 5 }, (_, number) => made(day + number * DAY_MS, { name: `good ${number}` }));
  const bad = Array.from({ length: 9 }, (_, number) =>
    made(day + number * DAY_MS + HOUR_MS, { name: `bad ${number}`, isComplete: false }),
  );
  for (const policy of [{ daily: 3 }, { last: 3 }, { hourly: 3 }] as const)
    assert.ok(new Set(kept(good, policy)).isSubsetOf(new Set(kept([...good, ...bad], policy))));
});

test("vector 8: pins, tags and holds beat every rule; a hold ends", () => {
  const old = (changes: Partial<Named>) => made(at("2020-01-01T00:00:00Z"), changes);
  const nowMs = at("2026-01-01T00:00:00Z");
  const snapshots = [
    old({ name: "pinned", isPinned: true }),
    old({ name: "tagged", tags: ["exams"] }),
    old({ name: "held", heldUntilMs: nowMs + 1 }),
    old({ name: "was held", heldUntilMs: nowMs }),
    made(nowMs, { name: "new" }),
  ];
  assert.deepEqual(kept(snapshots, { last: 1 }, { nowMs }), ["pinned", "tagged", "held", "new"]);
});

test("vector 9: while a policy is to change, what either keeps is kept", () => {
  const names = kept(spring, [{ daily: 5 }, { last: 1 }]);
  assert.deepEqual(names, kept(spring, { daily: 5 }));
  assert.ok(keepsAtLeast({ daily: 5, weekly: 2 }, { daily: 5 }));
  assert.ok(keepsAtLeast({}, { daily: 5 }));
  for (const weaker of [{ daily: 4 }, { weekly: 9 }, { daily: 5, within: "1y" }] as const)
    assert.ok(!keepsAtLeast(weaker, { daily: 5, within: "400d" }), JSON.stringify(weaker));
  assert.ok(!keepsAtLeast({ daily: 5 }, {}));
});

test("vector 10: each snapshot says by what it is kept, and not until before when", () => {
  const verdicts = plan(spring, { last: 1, daily: 3, weekly: 2 });
  assert.deepEqual(
    verdicts.map((verdict) => [verdict.snapshot.name, ...ruleNames(verdict)]),
    [
      ...["04-21", "04-22", "04-23", "04-24"].map((name) => [name]),
      ["04-25", "weekly"],
      ["04-28", "daily"],
      ["04-29", "daily"],
      ["04-30", "daily"],
      ["05-02", "last-complete", "newest", "last"],
    ],
  );
  const untilOf = (name: string) => verdicts.find(({ snapshot }) => snapshot.name === name)!.reasons.at(-1)!.untilMs;
  assert.equal(untilOf("04-28"), at("2025-05-02T09:00:00Z"), "the next day with a backup takes its place");
  assert.equal(untilOf("04-30"), at("2025-05-04T00:00:00Z"));
  assert.equal(untilOf("04-25"), at("2025-05-05T00:00:00Z"));
});

test("what is said to be kept until then is kept until then, though a backup comes in every period", () => {
  const days = Array.from({ length: 100 }, (_, day) => made(at("2026-01-01T20:00:00Z") + day * DAY_MS));
  const policy: RetentionPolicy = { daily: 7, weekly: 4, monthly: 3 };
  for (let count = 60; count < 90; count++) {
    const now = plan(days.slice(0, count), policy, { zone: "Europe/Rome" });
    for (const { snapshot, reasons } of now) {
      const untilMs = Math.max(0, ...reasons.map((reason) => reason.untilMs ?? 0));
      const laterCount = days.findLastIndex(({ receivedMs }) => receivedMs < untilMs) + 1;
      if (laterCount <= count) continue;
      assert.ok(keptOf(plan(days.slice(0, laterCount), policy, { zone: "Europe/Rome" })).includes(snapshot));
    }
  }
});

test("without any rule everything is kept", () => {
  for (const verdict of plan(spring, {})) assert.ok(ruleNames(verdict).includes("everything"));
});

test("vector 11: planning again without what went takes nothing more", () => {
  fc.assert(
    fc.property(series, policies, zones, (snapshots, policy, zone) => {
      const nowMs = snapshots.at(-1)!.receivedMs;
      const once = keptOf(plan(snapshots, policy, { zone, nowMs }));
      assert.deepEqual(keptOf(plan(once, policy, { zone, nowMs })), once);
    }),
    { numRuns: 300 },
  );
});

test("vector 11: another rule, or a greater count, takes nothing that was kept", () => {
  fc.assert(
    fc.property(series, policies, policies, zones, (snapshots, policy, added, zone) => {
      if (Object.keys(policy).length === 0) return;
      const more = { ...added, ...policy };
      for (const rule of ["last", ...periods] as const) {
        const [before, further] = [policy[rule], added[rule]];
        if (before !== undefined && further !== undefined) more[rule] = Math.max(before, further);
      }
      const names = new Set(kept(snapshots, more, { zone }));
      for (const name of kept(snapshots, policy, { zone })) assert.ok(names.has(name), name);
      assert.ok(keepsAtLeast(more, policy));
    }),
    { numRuns: 300 },
  );
});

/** Proxmox Backup Server's choice by local dates: a later rule passes over periods in which anything is kept. */
function chosenByServer(newestFirst: readonly Named[], policy: RetentionPolicy, zone: string): Set<string> {
  const formats: Record<string, (receivedMs: number) => string> = {
    last: String,
    hourly: (ms) =>
      dateIn(zone, ms, 13) + new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" }).format(ms),
    daily: (ms) => dateIn(zone, ms, 10),
    monthly: (ms) => dateIn(zone, ms, 7),
    yearly: (ms) => dateIn(zone, ms, 4),
  };
  const chosen = new Set<string>();
  for (const [rule, format] of Object.entries(formats)) {
    const count = policy[rule as "last"] ?? 0;
    const covered = new Set(
      newestFirst.filter(({ name }) => chosen.has(name)).map(({ receivedMs }) => format(receivedMs)),
    );
    const taken = new Set<string>();
    for (const { name, receivedMs } of newestFirst) {
      const period = format(receivedMs);
      if (covered.has(period) || taken.has(period)) continue;
      if (taken.size >= count) break;
      taken.add(period);
      chosen.add(name);
    }
  }
  return chosen;
}

function dateIn(timeZone: string, ms: number, length: number): string {
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
  return format.format(ms).slice(0, length);
}

test("without weeks, whose bounds cross those of months, it chooses what Proxmox Backup Server does", () => {
  fc.assert(
    fc.property(series, policies, zones, (all, policy, zone) => {
      const snapshots = all.map((snapshot) => ({ ...snapshot, isComplete: true, isPinned: false }));
      const { last, hourly, daily, monthly, yearly } = policy;
      const rules = withoutUndefined({ last, hourly, daily, monthly, yearly });
      if (Object.keys(rules).length === 0) return;
      const chosen = chosenByServer(snapshots.toReversed(), rules, zone);
      chosen.add(snapshots.at(-1)!.name);
      assert.deepEqual(new Set(kept(snapshots, rules, { zone })), chosen);
    }),
    { numRuns: 100 },
  );
});

test("a week covers a month only if the month's newest is kept: so a rule of weeks takes no month's end away", () => {
  const snapshots = ["2026-01-25", "2026-01-31", "2026-02-07"].map((day) =>
    made(at(`${day}T12:00:00Z`), { name: day }),
  );
  assert.deepEqual(kept(snapshots, { monthly: 2 }), ["2026-01-31", "2026-02-07"]);
  assert.ok(kept(snapshots, { weekly: 1, monthly: 1 }).includes("2026-01-31"));
});

test("nobody's agent can be judged under another's policy", () => {
  const [one, other]: AgentId[] = [sampleAgent(1), sampleAgent(2)];
  const snapshots = [one!, other!].flatMap((owner) => [
    made(1, { agent: owner, name: `${owner} 1` }),
    made(2, { agent: owner, name: `${owner} 2` }),
  ]);
  const calendar = new RetentionCalendar({ clock: new WallClock("UTC") });
  const policiesOf = (asked: AgentId) => [asked === one ? { last: 1 } : {}];
  const verdicts = planRetention(snapshots, { policiesOf, calendar, nowMs: 3, youngAfterMs: 3 });
  assert.deepEqual(
    keptOf(verdicts).map(({ name }) => name),
    [`${one} 2`, `${other} 1`, `${other} 2`],
  );
});

test.run();
