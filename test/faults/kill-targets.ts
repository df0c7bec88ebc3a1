/** Where processes are killed: at failpoints, each counted under its phase, and at any moment. */
import type { Failpoint } from "#protocol/failpoint.ts";
import type { KillPlace } from "./kill-histogram.ts";

export type KillTarget =
  | { readonly victim: "site" | "agent"; readonly failpoint: Failpoint; readonly passesMaxCount: number }
  | { readonly victim: "site start" | "first start" | "compaction"; readonly failpoint: Failpoint }
  /** At a random moment of a backup. */
  | { readonly victim: "site at any time" | "agent at any time" | "site and agent at any time" };

const site = (failpoint: Failpoint, passesMaxCount = 1): KillTarget => ({ victim: "site", failpoint, passesMaxCount });
const agent = (failpoint: Failpoint, passesMaxCount = 1): KillTarget => ({
  victim: "agent",
  failpoint,
  passesMaxCount,
});

export const killTargets: readonly KillTarget[] = [
  site("upload.received", 4),
  site("upload.kept", 4),
  agent("upload.sending"),
  agent("upload.acknowledged"),
  site("sync.segment-made"),
  site("sync.written", 6),
  site("sync.synced", 6),
  site("index.durable", 6),
  site("index.entered", 6),
  site("commit.verified"),
  site("commit.recorded"),
  agent("commit.sending"),
  agent("commit.acknowledged"),
  { victim: "compaction", failpoint: "compaction.moved" },
  { victim: "compaction", failpoint: "compaction.recorded" },
  { victim: "compaction", failpoint: "compaction.unlinked" },
  { victim: "site start", failpoint: "start.replaying" },
  { victim: "site start", failpoint: "start.store-open" },
  { victim: "site start", failpoint: "start.site-open" },
  { victim: "first start", failpoint: "start.identity-written" },
  { victim: "first start", failpoint: "start.kit-written" },
  { victim: "first start", failpoint: "start.identity-placed" },
  agent("database.opened"),
  agent("database.writing", 2),
  agent("database.written", 2),
  { victim: "site at any time" },
  { victim: "agent at any time" },
  { victim: "site and agent at any time" },
];

/** Those that have their share in each run. */
export const killPhases = ["upload", "sync", "index", "commit", "compaction", "start", "database"] as const;

export const placeOf = (target: KillTarget): KillPlace =>
  "failpoint" in target
    ? { phase: target.failpoint.split(".")[0]!, place: `${target.failpoint} (${target.victim})` }
    : { phase: "any time", place: target.victim };

/** `count` targets: all of them in a random order, and again. */
export function shuffledRounds<Target>(targets: readonly Target[], count: number, random: () => number): Target[] {
  const order: Target[] = [];
  while (order.length < count) {
    const shuffled = targets.map((target) => ({ target, at: random() })).toSorted((a, b) => a.at - b.at);
    order.push(...shuffled.map(({ target }) => target));
  }
  return order.slice(0, count);
}
