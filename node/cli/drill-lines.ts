/** How drills stand, in the lines of a status. */
import type { DrillStanding } from "#node/drills/drill-standing.ts";
import { formatCountOf, formatDuration, formatMinute } from "#terminal/quantities.ts";
import { drillTitle } from "./drill-commands.ts";

const DAY_MS = 24 * 3_600_000;

export function drillLines(standings: readonly DrillStanding[]): string[] {
  return standings.map((standing) => {
    const { kind, failedCount, hasPassedLately, passedMs, ageMs } = standing;
    const passed =
      passedMs === undefined || ageMs === undefined
        ? "none has passed yet"
        : `passed ${ageText(ageMs)}, ${formatMinute(passedMs)} (UTC)`;
    const line = `${drillTitle(kind)}: ${passed}`;
    if (failedCount > 0 && kind === "tamper")
      return `ATTENTION: ${line}; the newest FAILED: something that is forbidden was not refused; costor site drills list --json`;
    if (failedCount > 0)
      return `ATTENTION: ${line}; the newest FAILED: ${formatCountOf(failedCount, "failure")}; costor site drills list`;
    return passedMs !== undefined && !hasPassedLately ? `ATTENTION: ${line}; none for too long since` : line;
  });
}

const ageText = (ageMs: number): string =>
  ageMs < DAY_MS ? `${formatDuration(ageMs)} ago` : `${formatCountOf(Math.floor(ageMs / DAY_MS), "day")} ago`;
