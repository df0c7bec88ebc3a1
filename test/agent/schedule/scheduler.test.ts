/**
 * Goal: backups run when they are due, once, one at a time, whatever clock and machine do in between.
 * Method: the scheduler in virtual time, with croner's own times of real schedules.
 */
import assert from "node:assert/strict";
import { Cron } from "croner";
import { retryWaitMs, type RunHistory } from "#agent/schedule/run-times.ts";
import { type Plan, runScheduler, type SchedulerEvent } from "#agent/schedule/scheduler.ts";
import { CostorError } from "#protocol/errors.ts";
import { suite } from "#test/support/suite.ts";
import { VirtualClock } from "./virtual-clock.ts";

const test = suite("scheduler");
const HOUR_MS = 3_600_000;
const at = (text: string): number => new Date(text).getTime();

const planOf = (cron: string, timeZone = "UTC", jitterMs = 0): Plan => {
  const parsed = new Cron(cron, { timezone: timeZone });
  return { nextAfter: (afterMs) => parsed.nextRun(new Date(afterMs))?.getTime(), jitterMs };
};

interface Setting {
  readonly startMs: number;
  readonly endMs: number;
  readonly plan: Plan;
  readonly history?: RunHistory;
  readonly runForMs?: number;
  readonly random?: () => number;
  /** The failure of the nth run, from 0. */
  readonly failure?: (run: number) => CostorError | undefined;
  /** Of every attempt to write the history down. */
  readonly saveFailure?: Error;
  readonly onWake?: (clock: VirtualClock) => void;
  readonly readPlan?: () => Promise<Plan>;
}

async function simulate(setting: Setting): Promise<{ runs: string[]; saved: RunHistory[]; events: SchedulerEvent[] }> {
  const clock = new VirtualClock(setting.startMs);
  const controller = new AbortController();
  const runs: string[] = [];
  const saved: RunHistory[] = [];
  const events: SchedulerEvent[] = [];
  let isRunning = false;
  clock.onWake = (nowMs) => {
    if (nowMs >= setting.endMs) controller.abort(new CostorError("interrupted", "the end"));
    if (!isRunning) setting.onWake?.(clock);
  };
  await runScheduler(
    {
      clock,
      random: setting.random ?? (() => 0),
      readPlan: setting.readPlan ?? (async () => setting.plan),
      async run(signal) {
        assert.equal(isRunning, false, "one run at a time");
        isRunning = true;
        runs.push(new Date(clock.nowMs()).toISOString().slice(0, 16));
        try {
          await clock.sleep(setting.runForMs ?? 60_000, signal);
          const failure = setting.failure?.(runs.length - 1);
          if (failure) throw failure;
        } finally {
          isRunning = false;
        }
      },
      loadHistory: async () => setting.history ?? {},
      saveHistory: async (history) => {
        if (setting.saveFailure) throw setting.saveFailure;
        saved.push(history);
      },
      log: (event) => void events.push(event),
    },
    controller.signal,
  );
  assert.equal(events.at(-1)?.event, "stopped");
  return { runs, saved, events };
}

test("runs come at the times of the schedule, and their starts are remembered", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs, saved } = await simulate({
    startMs,
    endMs: at("2026-03-13T12:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
  });
  assert.deepEqual(runs, ["2026-03-11T02:30", "2026-03-12T02:30", "2026-03-13T02:30"]);
  assert.deepEqual(
    saved.map(({ lastStartMs }) => new Date(lastStartMs!).toISOString().slice(0, 16)),
    runs,
  );
});

test("a history that cannot be written down does not end the scheduler, nor repeat a run", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs, events } = await simulate({
    startMs,
    endMs: at("2026-03-12T12:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
    saveFailure: new Error("EROFS: read-only file system"),
  });
  assert.deepEqual(runs, ["2026-03-11T02:30", "2026-03-12T02:30"]);
  assert.equal(events.filter(({ event }) => event === "history-unsaved").length, 2);
});

// 01:30 does not exist in London on 29 March: the run comes when the gap ends.
test("summer time neither skips nor doubles a run in the schedule's own zone", async () => {
  for (const [from, to, expected] of [
    ["2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]],
    ["2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]],
  ] as const) {
    const { runs } = await simulate({
      startMs: at(from),
      endMs: at(to),
      plan: planOf("30 1 * * *", "Europe/London"),
      history: { lastStartMs: at(from) },
    });
    assert.deepEqual(runs, expected);
  }
});

test("a machine that never had a backup makes one at once", async () => {
  const { runs } = await simulate({
    startMs: at("2026-03-10T12:00:00Z"),
    endMs: at("2026-03-10T20:00:00Z"),
    plan: planOf("30 2 * * *"),
  });
  assert.deepEqual(runs, ["2026-03-10T12:00"]);
});

test("runs that were missed while the machine was off are made up for by one", async () => {
  const history = { lastStartMs: at("2026-03-01T02:30:00Z") };
  const { runs, events } = await simulate({
    startMs: at("2026-03-10T08:10:00Z"),
    endMs: at("2026-03-11T04:00:00Z"),
    plan: planOf("30 2 * * *", "UTC", HOUR_MS),
    history,
    random: () => 0.5,
  });
  assert.deepEqual(runs, ["2026-03-10T08:40", "2026-03-11T03:00"]);
  assert.deepEqual(
    events.filter((event) => event.event === "waiting").map((event) => event.reason),
    ["missed", "schedule", "schedule"],
  );
});

test("a machine that slept through its time backs up within a minute of waking", async () => {
  const startMs = at("2026-03-10T22:00:00Z");
  let hasSlept = false;
  const { runs } = await simulate({
    startMs,
    endMs: at("2026-03-11T09:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
    onWake(clock) {
      if (hasSlept || clock.nowMs() < at("2026-03-10T23:00:00Z")) return;
      hasSlept = true;
      clock.jumpBy(9 * HOUR_MS);
    },
  });
  assert.equal(runs.length, 1);
  assert.match(runs[0]!, /^2026-03-11T08:0[01]/);
});

test("a clock that is set back by years does not stop the backups", async () => {
  const { runs } = await simulate({
    startMs: at("2026-03-10T12:00:00Z"),
    endMs: at("2026-03-12T12:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: at("2038-01-01T00:00:00Z") },
  });
  assert.deepEqual(runs, ["2026-03-11T02:30", "2026-03-12T02:30"]);
});

test("jitter spreads the starts over its length, drawn once for each run", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const draws = [0.25, 0.75, 0];
  const { runs } = await simulate({
    startMs,
    endMs: at("2026-03-12T12:00:00Z"),
    plan: planOf("30 2 * * *", "UTC", HOUR_MS),
    history: { lastStartMs: startMs },
    random: () => draws.shift() ?? 0,
  });
  assert.deepEqual(runs, ["2026-03-11T02:45", "2026-03-12T03:15"]);
});

test("a failure that can pass is tried again with growing waits, and the next time of the schedule is kept", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs, saved, events } = await simulate({
    startMs,
    endMs: at("2026-03-12T03:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
    random: () => 0.999_999,
    failure: (run) => (run < 3 ? new CostorError("site-unreachable", "no route") : undefined),
  });
  assert.deepEqual(runs, [
    "2026-03-11T02:30",
    "2026-03-11T02:35",
    "2026-03-11T02:46",
    "2026-03-11T03:07",
    "2026-03-12T02:30",
  ]);
  assert.equal(saved.length, 2, "a failed run is not remembered as done");
  assert.ok(events.filter((event) => event.event === "failed").every((event) => event.willRetry));
});

test("a failure that needs a person waits for the next time of the schedule", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs, events } = await simulate({
    startMs,
    endMs: at("2026-03-12T12:00:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
    failure: () => new CostorError("unauthorised", "revoked"),
  });
  assert.deepEqual(runs, ["2026-03-11T02:30", "2026-03-12T02:30"]);
  assert.ok(events.filter((event) => event.event === "failed").every((event) => !event.willRetry));
});

test("retries grow to at most an hour", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50].map((count) => retryWaitMs(count, () => 0) / 60_000),
    [2.5, 5, 10, 20, 30, 30],
  );
});

test("a run longer than its interval is followed by one run, not by a queue of them", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs } = await simulate({
    startMs,
    endMs: at("2026-03-10T20:30:00Z"),
    plan: planOf("0 * * * *"),
    history: { lastStartMs: startMs },
    runForMs: 3.5 * HOUR_MS,
  });
  assert.deepEqual(runs, ["2026-03-10T13:00", "2026-03-10T16:30", "2026-03-10T20:00"]);
});

test("a changed schedule counts from the next look, and a broken one leaves the last in force", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  let looks = 0;
  const { runs, events } = await simulate({
    startMs,
    endMs: at("2026-03-10T20:30:00Z"),
    plan: planOf("0 0 * * *"),
    history: { lastStartMs: startMs },
    async readPlan() {
      looks++;
      if (looks > 20 && looks < 30) throw new CostorError("bad-config", "a slip");
      return looks < 10 ? planOf("0 0 * * *") : planOf("0 18 * * *");
    },
  });
  assert.deepEqual(runs, ["2026-03-10T18:00"]);
  assert.equal(events.filter((event) => event.event === "config-ignored").length, 9);
});

test("a schedule that holds no more times waits without a word a minute", async () => {
  const startMs = at("2026-03-10T12:00:00Z");
  const { runs, events } = await simulate({
    startMs,
    endMs: startMs + HOUR_MS,
    plan: { nextAfter: () => undefined, jitterMs: 0 },
    history: { lastStartMs: startMs },
  });
  assert.deepEqual([runs, events.map((event) => event.event)], [[], ["no-more-runs", "stopped"]]);
});

test("being stopped ends a wait and a run under way, and is no failure", async () => {
  const startMs = at("2026-03-10T02:29:00Z");
  const { runs, saved, events } = await simulate({
    startMs,
    endMs: at("2026-03-10T02:40:00Z"),
    plan: planOf("30 2 * * *"),
    history: { lastStartMs: startMs },
    runForMs: HOUR_MS,
  });
  assert.deepEqual([runs, saved], [["2026-03-10T02:30"], []]);
  assert.deepEqual(
    events.map((event) => event.event),
    ["waiting", "started", "stopped"],
  );
});

test.run();
