/** What the clock on the wall shows in a time zone, whatever is done to clocks there. Pure. */
import { CostorError } from "#protocol/errors.ts";
import { daysOfDate } from "./calendar-date.ts";

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
const DAY_MS = DAY_MINUTES * MINUTE_MS;

export class WallClock {
  readonly #format: Intl.DateTimeFormat;

  /** `timeZone` is an IANA name. Throws `bad-config`. */
  constructor(timeZone: string) {
    try {
      const numeric = "2-digit";
      this.#format = new Intl.DateTimeFormat("en-US", {
        timeZone,
        hourCycle: "h23",
        year: "numeric",
        month: numeric,
        day: numeric,
        hour: numeric,
        minute: numeric,
      });
    } catch (cause) {
      throw new CostorError("bad-config", `${timeZone} is no time zone`, { cause });
    }
  }

  /** What it shows, to the minute, in milliseconds as if it were UTC. */
  wallMs(atMs: number): number {
    const parts: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(atMs)) parts[type] = Number(value);
    const days = daysOfDate({ year: parts["year"]!, month: parts["month"]!, day: parts["day"]! });
    return (days * DAY_MINUTES + parts["hour"]! * 60 + parts["minute"]!) * MINUTE_MS;
  }

  /** By how much it is before UTC. */
  offsetMs(atMs: number): number {
    return this.wallMs(atMs) - Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
  }

  /** The moments at which it shows this: none, one or two. */
  moments(wallMs: number): number[] {
    const offsets = new Set([this.offsetMs(wallMs - DAY_MS), this.offsetMs(wallMs + DAY_MS)]);
    return [...offsets].map((offset) => wallMs - offset).filter((moment) => this.wallMs(moment) === wallMs);
  }
}
