/**
 * Runs backups by a schedule until it is told to stop, one at a time. Waits in short steps and looks at the wall clock
 * after each, since timers stand still while a machine sleeps.
 */
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { Clock } from "./clock.ts";
import { believableHistory, dueMs, type NextAfter, retryWaitMs, type RunHistory } from "./run-times.ts";

/** What one look at the configuration gives. */
export interface Plan {
  readonly nextAfter: NextAfter;
  readonly jitterMs: number;
}

export interface SchedulerComponents {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The plan as the configuration has it now; asked before every wait. Throws `bad-config`: then the last one stands. */
  readonly readPlan: () => Promise<Plan>;
  /** One backup. Throws CostorErrors; rejects soon after the signal is aborted. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  readonly loadHistory: () => Promise<RunHistory>;
  /** Durable when it resolves. */
  readonly saveHistory: (history: RunHistory) => Promise<void>;
  readonly log: (event: SchedulerEvent) => void;
}

export type SchedulerEvent =
  | { readonly event: "waiting"; readonly untilMs: number; readonly reason: "schedule" | "missed" | "retry" }
  | { readonly event: "no-more-runs" }
  | { readonly event: "started" }
  | { readonly event: "finished"; readonly durationMs: number }
  | { readonly event: "failed"; readonly error: CostorError; readonly willRetry: boolean }
  | { readonly event: "config-ignored"; readonly error: CostorError }
  /** It holds in memory: after a restart the machine counts as one that has missed a run. */
  | { readonly event: "history-unsaved"; readonly error: CostorError }
  | { readonly event: "stopped" };

/** The longest wait without a look at the clock and the configuration. */
const STEP_MS = 60_000;

interface Wait {
  /** The time of the schedule that it is for. */
  readonly forMs: number | undefined;
  readonly startMs: number;
}

/** Resolves when `signal` is aborted and a backup under way has ended. */
export async function runScheduler(components: SchedulerComponents, signal: AbortSignal): Promise<void> {
  const { clock, random, log } = components;
  let history = await components.loadHistory();
  let plan = await components.readPlan();
  let failureCount = 0;
  let retryAtMs: number | undefined;
  let wait: Wait | undefined;
  while (!signal.aborted) {
    plan = await planOrLast(components, plan);
    const nowMs = clock.nowMs();
    history = believableHistory(history, nowMs);
    const due = retryAtMs ?? dueMs(history, plan.nextAfter, nowMs);
    if (due === undefined) {
      if (wait?.startMs !== Number.POSITIVE_INFINITY) log({ event: "no-more-runs" });
      wait = { forMs: undefined, startMs: Number.POSITIVE_INFINITY };
    } else if (wait === undefined || isAnother(wait, due, history)) {
      const jitterMs = retryAtMs === undefined ? random() * plan.jitterMs : 0;
      wait = { forMs: due, startMs: Math.max(due, nowMs) + jitterMs };
      if (wait.startMs > nowMs) {
        log({
          event: "waiting",
          untilMs: wait.startMs,
          reason: retryAtMs !== undefined ? "retry" : due <= nowMs ? "missed" : "schedule",
        });
      }
    }
    if (nowMs < wait.startMs) {
      await clock.sleep(Math.min(STEP_MS, wait.startMs - nowMs), signal).catch(() => undefined);
      // The clock was set back: a retry must not wait until it has caught up.
      if (retryAtMs !== undefined && clock.nowMs() < nowMs) retryAtMs = Math.min(retryAtMs, clock.nowMs() + STEP_MS);
      continue;
    }
    wait = undefined;
    const error = await runOnce(components, signal);
    if (signal.aborted) break;
    const willRetry = error !== undefined && (error.retryable || error.code === "agent-busy");
    if (error) log({ event: "failed", error, willRetry });
    failureCount = willRetry ? failureCount + 1 : 0;
    retryAtMs = willRetry ? clock.nowMs() + retryWaitMs(failureCount, random) : undefined;
    if (willRetry) continue;
    history = { lastStartMs: nowMs };
    await components
      .saveHistory(history)
      .catch((failure: unknown) => log({ event: "history-unsaved", error: asCostorError(failure) }));
  }
  log({ event: "stopped" });
}

/** A machine without history is due "now", anew at every look: that is the same wait. */
function isAnother(wait: Wait, due: number, history: RunHistory): boolean {
  return history.lastStartMs !== undefined && wait.forMs !== due;
}

async function planOrLast(components: SchedulerComponents, last: Plan): Promise<Plan> {
  try {
    return await components.readPlan();
  } catch (error) {
    components.log({ event: "config-ignored", error: asCostorError(error) });
    return last;
  }
}

async function runOnce(
  { clock, run, log }: SchedulerComponents,
  signal: AbortSignal,
): Promise<CostorError | undefined> {
  const startedMs = clock.nowMs();
  log({ event: "started" });
  try {
    await run(signal);
    log({ event: "finished", durationMs: clock.nowMs() - startedMs });
    return undefined;
  } catch (error) {
    return asCostorError(error);
  }
}

const asCostorError = (error: unknown): CostorError =>
  isCostorError(error)
    ? error
    : new CostorError("internal", error instanceof Error ? error.message : String(error), { cause: error });
