/**
 * Rounds of killing what takes snapshots and primes away: the daily work, day after day in a process of its own, and `costor site gc` beside a
 * running backup. After each kill the site has to start, and the snapshots that the rule keeps have to be there, byte by byte.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Failpoint } from "#protocol/failpoint.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { AcknowledgedSnapshots } from "./acknowledged.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { runCommand, startProgram } from "./command.ts";
import type { KillHistogram, KillPlace } from "./kill-histogram.ts";
import { shuffledRounds } from "./kill-targets.ts";
import { SiteUnderFault } from "./site-under-fault.ts";

type Target =
  | { readonly victim: "daily work"; readonly failpoint: Failpoint; readonly passesMaxCount: number }
  | { readonly victim: "running site"; readonly failpoint: Failpoint }
  | { readonly victim: "daily work at any time" };

const daily = (failpoint: Failpoint, passesMaxCount = 1): Target => ({
  victim: "daily work",
  failpoint,
  passesMaxCount,
});

export const retentionTargets: readonly Target[] = [
  daily("retention.expired"),
  daily("retention.gone"),
  daily("collection.walked", 10),
  daily("collection.removed"),
  daily("compaction.moved"),
  daily("compaction.recorded"),
  daily("compaction.unlinked"),
  { victim: "running site", failpoint: "collection.walked" },
  { victim: "daily work at any time" },
];

const placeOf = (target: Target): KillPlace =>
  "failpoint" in target
    ? { phase: target.failpoint.split(".")[0]!, place: `${target.failpoint} (${target.victim})` }
    : { phase: "retention", place: target.victim };

/** What the rule in retention-process.ts keeps. */
const KEPT_COUNT = 3;
/** A snapshot is young for thirty days and in its grace for seven. */
const ROUND_DAYS = 14;
/** Until there is something to take each time. */
const SETTLING_DAYS = 45;
const KILLS_A_ROUND_COUNT = 3;
const MOST_MISSED_COUNT = 20;

export interface RetentionKillsInit {
  readonly seed: number;
  readonly killsCount: number;
  readonly signal?: AbortSignal;
}

/** One data directory, one agent, and `killsCount` kills, added to `histogram`. */
export async function runRetentionKills(init: RetentionKillsInit, histogram: KillHistogram): Promise<void> {
  await using site = await SiteUnderFault.make();
  await site.start();
  using agent = await AgentUnderFault.enrol(site);
  const treePath = await scratchDirectory("fault-tree");
  try {
    const rounds = new RetentionKills({ site, agent, treePath }, init.seed);
    await rounds.run(init, histogram);
  } finally {
    removeTrees([treePath]);
  }
}

interface WorkInit {
  readonly failpoint?: string;
  readonly killAfterMs?: number;
  readonly daysCount?: number;
}

class RetentionKills {
  private readonly site: SiteUnderFault;
  private readonly agent: AgentUnderFault;
  private readonly random: () => number;
  private readonly tree: ChangingTree;
  private readonly snapshots: AcknowledgedSnapshots;
  private day = 0;
  private workMs = 3000;

  constructor(parts: { site: SiteUnderFault; agent: AgentUnderFault; treePath: string }, seed: number) {
    this.site = parts.site;
    this.agent = parts.agent;
    this.random = seededRandom(seed);
    this.tree = new ChangingTree(parts.treePath, { seed, smallFilesCount: 25, largeFileBytes: 400_000 });
    this.snapshots = new AcknowledgedSnapshots(parts.agent, this.tree);
  }

  async run({ killsCount, signal, seed }: RetentionKillsInit, histogram: KillHistogram): Promise<void> {
    for (let count = 0; count < KEPT_COUNT + 1; count++) await this.backUp();
    await this.site.stop();
    await this.work({ daysCount: SETTLING_DAYS });
    await this.site.start();
    const waiting = shuffledRounds(retentionTargets, killsCount, this.random);
    for (let round = 0; waiting.length > 0; round++) {
      signal?.throwIfAborted();
      const targets = waiting.splice(0, KILLS_A_ROUND_COUNT);
      assert.ok(round < killsCount + MOST_MISSED_COUNT, `never passed: ${JSON.stringify(targets)}`);
      const missed = await this.round(targets).catch((cause: unknown) => {
        const log = this.site.log.filter((text) => text !== "").join("\n");
        throw new Error(`after kills at ${JSON.stringify(targets)}, seed ${seed}; the site said: ${log}`, { cause });
      });
      for (const target of targets) if (!missed.includes(target)) histogram.add(placeOf(target));
      waiting.push(...missed);
    }
    await this.verifyEverything();
  }

  /** A backup, kills of what follows one after the other, and a look at what is there. Those to which it did not come. */
  private async round(targets: readonly Target[]): Promise<Target[]> {
    const missed: Target[] = [];
    await this.backUp();
    for (const target of targets)
      if (target.victim === "running site" && !(await this.collectBesideBackup(target.failpoint))) missed.push(target);
    await this.site.stop(this.random() < 0.5 ? "SIGTERM" : "SIGKILL");
    for (const target of targets)
      if (target.victim !== "running site" && !(await this.killWork(target))) missed.push(target);
    await this.site.start();
    assert.doesNotMatch(this.site.log.join("\n"), /damage-found/, "a kill is no damage");
    await this.snapshots.findAll();
    await this.snapshots.verifySample(this.random());
    return missed;
  }

  /** Whether it came to the kill. */
  private killWork(target: Exclude<Target, { readonly victim: "running site" }>): Promise<boolean> {
    if (!("failpoint" in target)) return this.work({ killAfterMs: this.random() * this.workMs });
    const passesCount = 1 + Math.floor(this.random() * target.passesMaxCount);
    return this.work({ failpoint: `${target.failpoint}:${passesCount}` });
  }

  /** Days of a site that does not run meanwhile. Whether it was killed. */
  private async work({ failpoint, killAfterMs, daysCount = ROUND_DAYS }: WorkInit): Promise<boolean> {
    const program = join(import.meta.dirname, "retention-process.ts");
    const words = [...runtimeFlags, program, this.site.dataDirectory, String(this.day), String(daysCount)];
    this.day += daysCount;
    const startedMs = performance.now();
    const running = startProgram(
      process.execPath,
      words,
      failpoint === undefined ? {} : { COSTOR_FAILPOINT: failpoint },
    );
    if (killAfterMs !== undefined) {
      await Promise.race([sleep(killAfterMs), running.ended]);
      running.kill("SIGKILL");
    }
    const end = await running.ended;
    if (end.code === 0) this.workMs = performance.now() - startedMs;
    else assert.equal(end.code, "SIGKILL", end.stderr);
    return end.code === "SIGKILL";
  }

  /** The backup waits, and completes. */
  private async collectBesideBackup(failpoint: Failpoint): Promise<boolean> {
    await this.site.stop();
    await this.site.start({ env: { COSTOR_FAILPOINT: failpoint } });
    const died = this.site.ended();
    // The days that have passed meanwhile are a jump of the clock to it.
    const confirmed = await runCommand([
      "site",
      "retention",
      "confirm-clock",
      "--data",
      this.site.dataDirectory,
      "--json",
    ]);
    assert.equal(confirmed.code, 0, confirmed.stderr);
    this.tree.change();
    const backup = this.agent.startBackup([this.tree.path]);
    const collected = await this.site.command("gc");
    const isKilled = collected.code !== 0;
    if (isKilled) {
      assert.equal(collected.errorCode(), "site-unreachable", collected.stderr);
      await died;
      await this.site.start();
    }
    const end = await backup.ended;
    // It met no site yet when that was killed.
    if (end.code !== 0) assert.equal(end.errorCode(), "site-unreachable", end.stderr);
    else this.acknowledge(end.json<{ snapshotId: SnapshotId }>().snapshotId);
    return isKilled;
  }

  private async backUp(): Promise<void> {
    this.tree.change();
    this.acknowledge((await this.agent.hurriedBackup([this.tree.path])).snapshotId!);
  }

  private acknowledge(id: SnapshotId): void {
    this.snapshots.acknowledge(id, this.tree.manifest());
    this.snapshots.expectOnly(KEPT_COUNT);
  }

  private async verifyEverything(): Promise<void> {
    await this.snapshots.verifyAll();
    assert.ok(this.snapshots.foundCount < this.snapshots.allCount, "snapshots are gone by the rule");
    const check = await this.site.command("check", "--read-data");
    assert.equal(check.code, 0, check.stderr);
    assert.deepEqual(check.json<{ findings: unknown[] }>().findings, []);
  }
}
