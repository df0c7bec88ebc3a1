/** When the next backup is due: a pure decision over what is known of earlier ones. */

/** What outlives the process. */
export interface RunHistory {
  /** Start of the last run that ended, well or for good; absent before the first. */
  readonly lastStartMs?: number;
}

/** The first time of the schedule after `afterMs`; undefined when there is none. */
export type NextAfter = (afterMs: number) => number | undefined;

/**
 * The moment from which a run is due; it may lie in the past: a time that passed while the machine slept or was off is made
 * up for, once, however many there were. A machine that never had a run is due at once.
 */
export function dueMs(history: RunHistory, nextAfter: NextAfter, nowMs: number): number | undefined {
  return history.lastStartMs === undefined ? nowMs : nextAfter(history.lastStartMs);
}

const SET_BACK_MS = 3_600_000;

/** The history to go by: when the clock was set back far behind the last run, the schedule counts from now. */
export function believableHistory(history: RunHistory, nowMs: number): RunHistory {
  const isBelievable = history.lastStartMs === undefined || history.lastStartMs <= nowMs + SET_BACK_MS;
  return isBelievable ? history : { lastStartMs: nowMs };
}

const RETRY_BASE_MS = 5 * 60_000;
const RETRY_MOST_MS = 3_600_000;

/** The wait after the `failureCount`th failure in a row that can pass by itself: half to whole of 5, 10, 20 … 60 minutes. */
export function retryWaitMs(failureCount: number, random: () => number): number {
  return Math.min(RETRY_MOST_MS, RETRY_BASE_MS * 2 ** (failureCount - 1)) * (0.5 + random() / 2);
}
