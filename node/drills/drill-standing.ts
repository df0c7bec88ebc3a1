/** How drills stand, for every status: the newest that passed of each kind, and what people should look at. Pure. */
import { type DrillKind, type DrillResult, drillKinds } from "./drill-record.ts";

export interface DrillStanding {
  readonly kind: DrillKind;
  /** When the newest that passed ended, and how long ago that was; undefined while none has passed. */
  readonly passedMs?: number;
  readonly ageMs?: number;
  /** Of the newest of all: what could not be restored as it was; 0 when it passed, or none was done. */
  readonly failedCount: number;
  /** Whether one has passed in the last sixty days; of those with the kit, in the last 400. */
  readonly hasPassedLately: boolean;
}

const DAY_MS = 24 * 3_600_000;
/** The kit is in a safe, and is looked at once a year. */
const latelyMs = (kind: DrillKind): number => (kind === "kit" ? 400 : 60) * DAY_MS;

/** Of the `expected` kinds, and of those that were ever done. `results`: the newest first. */
export function drillStandings(
  results: readonly Pick<DrillResult, "kind" | "endedMs" | "failedCount">[],
  expected: readonly DrillKind[],
  nowMs: number,
): DrillStanding[] {
  return drillKinds.flatMap((kind): DrillStanding[] => {
    const done = results.filter((result) => result.kind === kind);
    if (done.length === 0 && !expected.includes(kind)) return [];
    const passedMs = done.find(({ failedCount }) => failedCount === 0)?.endedMs;
    // By a clock that was ahead then, one may seem to be of the future.
    const ageMs = passedMs === undefined ? undefined : Math.max(0, nowMs - passedMs);
    return [
      {
        ...{ kind, failedCount: done[0]?.failedCount ?? 0 },
        ...(passedMs === undefined || ageMs === undefined ? {} : { passedMs, ageMs }),
        hasPassedLately: ageMs !== undefined && ageMs <= latelyMs(kind),
      },
    ];
  });
}
