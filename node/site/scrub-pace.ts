/** How fast the store is read, so that a full pass takes at most 28 days and nobody waits for it. Pure. */

/** About what one step reads. */
export const SCRUB_STEP_BYTES = 4 * 1024 * 1024;
const DAY_MS = 24 * 3600_000;
/** A site is off now and then: within 30 days all is read. */
const LONGEST_PASS_MS = 28 * DAY_MS;
const SHORTEST_PASS_MS = DAY_MS;
/** What costs nobody anything: a smaller store is read in less than the longest time. */
const LEAST_BYTES_PER_SECOND = 256 * 1024;
/** Of the time the disk is read at most this part. */
const BUSY_SHARE = 1 / 10;

export interface PassProgress {
  readonly startedMs: number;
  readonly readBytes: number;
  readonly totalBytes: number;
}

/** What a pass over so much is meant to take. */
export const passMs = (totalBytes: number): number =>
  Math.min(LONGEST_PASS_MS, Math.max(SHORTEST_PASS_MS, (totalBytes / LEAST_BYTES_PER_SECOND) * 1000));

/** When the pass will have ended; what is late is caught up as fast as the disk's share allows. */
export function passEndsMs(
  { startedMs, readBytes, totalBytes }: PassProgress,
  rate: number | null,
  nowMs: number,
): number {
  if (rate === null) return nowMs + leftOf({ startedMs, readBytes, totalBytes }, nowMs);
  return nowMs + (Math.max(0, totalBytes - readBytes) / rate) * 1000;
}

/** A clock that was set back makes it no longer. */
const leftOf = ({ startedMs, totalBytes }: PassProgress, nowMs: number): number =>
  Math.min(passMs(totalBytes), Math.max(0, startedMs + passMs(totalBytes) - nowMs));

export interface StepInit {
  /** Bytes a second that a person has set; null: by what there is. */
  readonly rate: number | null;
  readonly nowMs: number;
  readonly stepBytes: number;
  readonly tookMs: number;
}

/** How long to wait after a step, of which `progress` knows already. */
export function pauseAfterStepMs(progress: PassProgress, { rate, nowMs, stepBytes, tookMs }: StepInit): number {
  const leastMs = tookMs * (1 / BUSY_SHARE - 1);
  if (rate !== null) return Math.max(leastMs, (stepBytes / rate) * 1000 - tookMs);
  const leftBytes = Math.max(0, progress.totalBytes - progress.readBytes);
  const leftMs = leftOf(progress, nowMs);
  return Math.max(leastMs, (leftMs * stepBytes) / Math.max(stepBytes, leftBytes));
}

/** How long to wait after a pass: a small store is not read again and again. */
export const pauseAfterPassMs = (startedMs: number, nowMs: number): number =>
  Math.min(SHORTEST_PASS_MS, Math.max(0, startedMs + SHORTEST_PASS_MS - nowMs));
