/** Hours, days, ISO weeks, months and years by the clock on the wall of a site. Pure. */
import { dateOfDays, daysOfDate } from "./calendar-date.ts";
import type { Period, RetentionDuration } from "./retention-policy.ts";
import type { WallClock } from "./wall-clock.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Clocks are set at full quarters of an hour. */
const QUARTER_MS = HOUR_MS / 4;
/** Day 0 is Thursday, 1970-01-01; ISO weeks begin on Mondays. */
const MONDAY_DAYS = 3;

export interface PeriodPlace {
  /** Equal for all moments of one period, and for no others. */
  readonly key: string;
  /** Counts the periods of its kind; two hours that one clock shows twice have one index. */
  readonly index: number;
}

export class RetentionCalendar {
  readonly #clock: WallClock;
  /** By quarter: asking the clock costs far more. */
  readonly #offsetsMs = new Map<number, number>();

  constructor(components: { clock: WallClock }) {
    this.#clock = components.clock;
  }

  period(period: Period, atMs: number): PeriodPlace {
    const offsetMs = this.#offsetMs(atMs);
    const index = indexOf(period, atMs + offsetMs);
    return { index, key: period === "hourly" ? `${index} ${offsetMs}` : `${index}` };
  }

  /** When a period begins. */
  startMs(period: Period, index: number): number {
    return this.#momentOf(startOf(period, index));
  }

  /** So long before a moment, by the wall: a month before 31 March is the last of February. */
  before(atMs: number, duration: RetentionDuration): number {
    return this.#shift(atMs, duration, -1);
  }

  after(atMs: number, duration: RetentionDuration): number {
    return this.#shift(atMs, duration, 1);
  }

  #shift(atMs: number, { months, hours }: RetentionDuration, sign: 1 | -1): number {
    const wallMs = atMs + this.#offsetMs(atMs);
    const month = indexOf("monthly", wallMs) + sign * months;
    const lastDay = dateOfDays(startOf("monthly", month + 1) / DAY_MS - 1).day;
    const { day } = dateOfDays(Math.floor(wallMs / DAY_MS));
    const dayMs = (Math.min(day, lastDay) - 1) * DAY_MS;
    return this.#momentOf(startOf("monthly", month) + dayMs + modulo(wallMs, DAY_MS) + sign * hours * HOUR_MS);
  }

  /** The first moment at which the wall shows that, or of a time that it leaves out, what would be shown otherwise. */
  #momentOf(wallMs: number): number {
    const guessMs = wallMs - this.#offsetMs(wallMs);
    return wallMs - this.#offsetMs(guessMs);
  }

  #offsetMs(atMs: number): number {
    const quarter = Math.floor(atMs / QUARTER_MS);
    const known = this.#offsetsMs.get(quarter);
    if (known !== undefined) return known;
    const offsetMs = this.#clock.offsetMs(quarter * QUARTER_MS);
    this.#offsetsMs.set(quarter, offsetMs);
    return offsetMs;
  }
}

function indexOf(period: Period, wallMs: number): number {
  const days = Math.floor(wallMs / DAY_MS);
  switch (period) {
    case "hourly":
      return Math.floor(wallMs / HOUR_MS);
    case "daily":
      return days;
    case "weekly":
      return Math.floor((days + MONDAY_DAYS) / 7);
    case "monthly":
    case "yearly": {
      const { year, month } = dateOfDays(days);
      return period === "yearly" ? year : year * 12 + month - 1;
    }
  }
}

/** By the wall. */
function startOf(period: Period, index: number): number {
  switch (period) {
    case "hourly":
      return index * HOUR_MS;
    case "daily":
      return index * DAY_MS;
    case "weekly":
      return (index * 7 - MONDAY_DAYS) * DAY_MS;
    case "monthly":
      return daysOfDate({ year: Math.floor(index / 12), month: modulo(index, 12) + 1, day: 1 }) * DAY_MS;
    case "yearly":
      return daysOfDate({ year: index, month: 1, day: 1 }) * DAY_MS;
  }
}

const modulo = (value: number, divisor: number): number => ((value % divisor) + divisor) % divisor;
