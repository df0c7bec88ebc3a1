/** Which drill is due. Pure. */
import type { DrillKind, DrillResult } from "./drill-record.ts";

const DAY_MS = 24 * 3_600_000;
/** Some files each week, a whole snapshot each month, by turns from here, from elsewhere, and across sites; what is forbidden each month. */
const everyMs = { some: 7 * DAY_MS, whole: 30 * DAY_MS, tamper: 30 * DAY_MS } as const;

/** Those that a site does by itself. */
export const siteDrillKinds = ["local", "offsite", "across", "tamper"] as const satisfies DrillKind[];
export type SiteDrillKind = (typeof siteDrillKinds)[number];

export interface Drill {
  readonly kind: SiteDrillKind;
  readonly isWhole: boolean;
}

/** Undefined when none is. A drill of the future, by a clock that was wrong then, does not count. */
export function dueDrill(
  results: readonly Pick<DrillResult, "kind" | "isWhole" | "startedMs">[],
  nowMs: number,
  /** Those that can be done. */
  possible: readonly SiteDrillKind[],
): Drill | undefined {
  const sinceMs = (kind: SiteDrillKind, isWhole: boolean): number => {
    const times = results.flatMap((result) =>
      result.kind === kind && result.isWhole === isWhole && result.startedMs <= nowMs ? [result.startedMs] : [],
    );
    return nowMs - Math.max(Number.NEGATIVE_INFINITY, ...times);
  };
  if (possible.includes("tamper") && sinceMs("tamper", false) >= everyMs.tamper)
    return { kind: "tamper", isWhole: false };
  for (const isWhole of [true, false]) {
    // Other sites gather no whole snapshot.
    const kinds = possible.filter((kind) => kind !== "tamper" && (!isWhole || kind !== "across"));
    const waited = kinds.map((kind) => ({ kind, ms: sinceMs(kind, isWhole) }));
    const longest = waited.reduce((one, other) => (other.ms > one.ms ? other : one));
    const isDue = waited.every(({ ms }) => ms >= (isWhole ? everyMs.whole : everyMs.some));
    if (isDue) return { kind: longest.kind, isWhole };
  }
  return undefined;
}
