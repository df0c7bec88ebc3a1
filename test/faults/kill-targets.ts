/** Where processes are killed: at failpoints, each counted under its phase, and at any moment. */
import type { Failpoint } from "#protocol/failpoint.ts";

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

const phases = ["upload", "sync", "index", "commit", "compaction", "start", "database", "any time"] as const;
export type KillPhase = (typeof phases)[number];

const phaseOf = (target: KillTarget): KillPhase =>
  "failpoint" in target ? (target.failpoint.split(".")[0] as KillPhase) : "any time";

const nameOf = (target: KillTarget): string =>
  "failpoint" in target ? `${target.failpoint} (${target.victim})` : target.victim;

/** How many kills there were, by phase and by place in it. */
export class KillHistogram {
  /** By the names of targets. */
  readonly counts: Map<string, number>;

  constructor(counts: Iterable<readonly [string, number]> = []) {
    this.counts = new Map(counts);
  }

  add(target: KillTarget): void {
    this.counts.set(nameOf(target), this.countOf(target) + 1);
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  inPhase(phase: KillPhase): number {
    return killTargets
      .filter((target) => phaseOf(target) === phase)
      .reduce((sum, target) => sum + this.countOf(target), 0);
  }

  /** The phase with the fewest kills that has a failpoint. */
  get least(): number {
    return Math.min(...phases.filter((phase) => phase !== "any time").map((phase) => this.inPhase(phase)));
  }

  toString(): string {
    const widest = Math.max(...phases.map((phase) => this.inPhase(phase)), 1);
    const lines = phases.flatMap((phase) => {
      const count = this.inPhase(phase);
      const bar = "#".repeat(Math.ceil((count / widest) * 40));
      const places = killTargets.filter((target) => phaseOf(target) === phase && this.countOf(target) > 0);
      return [
        `${phase.padEnd(10)} ${String(count).padStart(6)} ${bar}`,
        ...places.map((target) => `  ${String(this.countOf(target)).padStart(6)} ${nameOf(target)}`),
      ];
    });
    return [...lines, `${"kills".padEnd(10)} ${String(this.total).padStart(6)}`].join("\n");
  }

  private countOf(target: KillTarget): number {
    return this.counts.get(nameOf(target)) ?? 0;
  }
}
