/** Whether this machine's clock shows the day that others have written last: after days off it may have been set ahead. */
import type { Federation } from "./federation.ts";

const DAY_MS = 24 * 3_600_000;

/** At least half of the other sites have written an entry within a day of it. Who writes seldom proves nothing until they do. */
export function doClocksAgree(federation: Federation, nowMs: number): boolean {
  const { membership, ledger } = federation.parts;
  const others = membership.sites().filter((site) => site !== federation.siteId);
  const agreeing = others.filter((site) => {
    const log = ledger.currentLog(site);
    const timeMs = log?.held(log.known.last ?? -1)?.timeMs;
    return timeMs !== undefined && Math.abs(timeMs - nowMs) < DAY_MS;
  });
  return agreeing.length > 0 && agreeing.length * 2 >= others.length;
}
