/**
 * When the site may move data: windows by the clock on the wall of a time zone. A window that ends before it starts goes
 * past midnight; it belongs to the day on which it starts. Where clocks are set forward or back, what counts is the time that
 * the wall clock shows. Pure: time comes as milliseconds since 1970.
 */
import { CostorError } from "#protocol/errors.ts";
import { WallClock } from "./wall-clock.ts";

export interface MaintenanceWindow {
  /** 1 Monday … 7 Sunday; all days when absent. */
  readonly days?: readonly number[] | undefined;
  /** Minutes since midnight, 0 … 1439. */
  readonly fromMinutes: number;
  /** 1 … 1440; equal to `fromMinutes` for a whole day. */
  readonly toMinutes: number;
}

export interface WindowState {
  readonly isOpen: boolean;
  /** When that changes; undefined when it never does. */
  readonly changesMs: number | undefined;
}

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MINUTES = 1440;
const DAY_MS = DAY_MINUTES * MINUTE_MS;
/** Windows of single days of the week come again within so many days, whatever is done to the clocks. */
const SEARCHED_DAYS_COUNT = 9;

export class MaintenanceWindows {
  readonly #windows: readonly MaintenanceWindow[];
  readonly #clock: WallClock;
  /** Between two moments that were asked about last, at which it is the same. */
  #known = { fromMs: 0, toMs: 0, offsetMs: 0 };

  /** Without windows it is always open. `timeZone` is an IANA name. Throws `bad-config`. */
  constructor(windows: readonly MaintenanceWindow[], timeZone: string) {
    this.#windows = windows;
    for (const { days = [], fromMinutes, toMinutes } of windows) {
      const isValid =
        isWithin(fromMinutes, 0, DAY_MINUTES - 1) &&
        isWithin(toMinutes, 1, DAY_MINUTES) &&
        days.every((day) => isWithin(day, 1, 7));
      if (!isValid) throw new CostorError("bad-config", "a window has days 1 to 7 and minutes of a day");
    }
    this.#clock = new WallClock(timeZone);
  }

  at(nowMs: number): WindowState {
    const isOpen = this.isOpenAt(nowMs);
    const changesMs = this.#changes(nowMs).find((atMs) => this.isOpenAt(atMs) !== isOpen);
    return { isOpen, changesMs };
  }

  isOpenAt(nowMs: number): boolean {
    if (this.#windows.length === 0) return true;
    const wall = Math.floor((nowMs + this.#offsetNowMs(nowMs)) / MINUTE_MS);
    const minutes = modulo(wall, DAY_MINUTES);
    const today = Math.floor(wall / DAY_MINUTES);
    return this.#windows.some((window) => {
      const { fromMinutes, toMinutes } = window;
      if (fromMinutes < toMinutes) return startsOn(window, today) && minutes >= fromMinutes && minutes < toMinutes;
      return (
        (minutes >= fromMinutes && startsOn(window, today)) || (minutes < toMinutes && startsOn(window, today - 1))
      );
    });
  }

  /** All moments after `nowMs` at which it may open or close, ascending: bounds of windows, and clocks that are set. */
  #changes(nowMs: number): number[] {
    if (this.#windows.length === 0) return [];
    const moments = new Set<number>();
    const firstDayMs = Math.floor(this.#clock.wallMs(nowMs) / DAY_MS) * DAY_MS;
    const bounds = new Set(this.#windows.flatMap(({ fromMinutes, toMinutes }) => [fromMinutes, toMinutes, 0]));
    for (let day = 0; day < SEARCHED_DAYS_COUNT; day++) {
      for (const bound of bounds)
        for (const moment of this.#clock.moments(firstDayMs + day * DAY_MS + bound * MINUTE_MS)) moments.add(moment);
      for (let hour = 0; hour < 24; hour++) {
        const fromMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS + day * DAY_MS + hour * HOUR_MS;
        const set = this.#whenSet(fromMs, fromMs + HOUR_MS);
        if (set !== undefined) moments.add(set);
      }
    }
    return [...moments].filter((moment) => moment > nowMs).sort((one, other) => one - other);
  }

  /** When between two moments clocks are set. */
  #whenSet(fromMs: number, toMs: number): number | undefined {
    const before = this.#clock.offsetMs(fromMs);
    if (before === this.#clock.offsetMs(toMs)) return undefined;
    let [low, high] = [fromMs / MINUTE_MS, toMs / MINUTE_MS];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#clock.offsetMs(middle * MINUTE_MS) === before) low = middle;
      else high = middle;
    }
    return high * MINUTE_MS;
  }

  /** As {@link WallClock.offsetMs}, which costs far more than all else. No clock is set forth and back within a day. */
  #offsetNowMs(nowMs: number): number {
    if (nowMs >= this.#known.fromMs && nowMs < this.#known.toMs) return this.#known.offsetMs;
    const [dayMs, quarterMs] = [DAY_MS, QUARTER_MS].map((lengthMs) => Math.floor(nowMs / lengthMs) * lengthMs);
    const offsetMs = this.#clock.offsetMs(dayMs!);
    if (offsetMs === this.#clock.offsetMs(dayMs! + DAY_MS))
      this.#known = { fromMs: dayMs!, toMs: dayMs! + DAY_MS, offsetMs };
    // They are set when a quarter of an hour begins.
    else
      this.#known = { fromMs: quarterMs!, toMs: quarterMs! + QUARTER_MS, offsetMs: this.#clock.offsetMs(quarterMs!) };
    return this.#known.offsetMs;
  }
}

const isWithin = (value: number, least: number, most: number): boolean =>
  Number.isSafeInteger(value) && value >= least && value <= most;

const modulo = (value: number, divisor: number): number => ((value % divisor) + divisor) % divisor;

/** Day 0 is Thursday, 1970-01-01. */
const startsOn = ({ days }: MaintenanceWindow, day: number): boolean =>
  days === undefined || days.includes(modulo(day + 3, 7) + 1);
