/**
 * Rounds of killing a site and its agent and looking at what is left. Several rounds share one data directory. After
 * each kill the site has to start without a step by hand, everything acknowledged has to be there (a sample each time, all
 * of it at the end), and the interrupted backup has to complete when it is run again.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Failpoint } from "#protocol/failpoint.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { AcknowledgedSnapshots, PrimeSender } from "./acknowledged.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { type CommandEnd, startProgram } from "./command.ts";
import type { KillHistogram } from "./kill-histogram.ts";
import { type KillTarget, killTargets, placeOf, shuffledRounds } from "./kill-targets.ts";
import { SiteUnderFault } from "./site-under-fault.ts";

export interface KillRoundsInit {
  readonly seed: number;
  /** How often a process is killed. */
  readonly killsCount: number;
  readonly signal?: AbortSignal;
}

const environmentOf = (failpoint: Failpoint, passesCount = 1): NodeJS.ProcessEnv => ({
  COSTOR_FAILPOINT: `${failpoint}:${passesCount}`,
});
const attemptsCount = 3;
const sampledPrimesCount = 32;

/** One data directory, one agent, one sender of primes, and `killsCount` kills, added to `histogram`. */
export async function runKillRounds(init: KillRoundsInit, histogram: KillHistogram): Promise<void> {
  await using site = await SiteUnderFault.make();
  await site.start();
  using agent = await AgentUnderFault.enrol(site);
  using sending = await AgentUnderFault.enrol(site, "sender");
  const treePath = await scratchDirectory("fault-tree");
  const rounds = new KillRounds({ site, agent, sending, treePath }, init.seed);
  try {
    await rounds.run(init, histogram);
  } finally {
    removeTrees([treePath]);
  }
}

interface KillRoundsComponents {
  readonly site: SiteUnderFault;
  readonly agent: AgentUnderFault;
  readonly sending: AgentUnderFault;
  readonly treePath: string;
}

class KillRounds {
  private readonly site: SiteUnderFault;
  private readonly agent: AgentUnderFault;
  private readonly random: () => number;
  private readonly tree: ChangingTree;
  private readonly snapshots: AcknowledgedSnapshots;
  private readonly sender: PrimeSender;
  private readonly seed: number;
  private backupMs = 1000;
  /** Whether a backup of the tree as it is now has completed in spite of the kill. */
  private isBackupWhole = false;
  private compactionsCount = 0;

  constructor({ site, agent, sending, treePath }: KillRoundsComponents, seed: number) {
    this.site = site;
    this.agent = agent;
    this.seed = seed;
    this.random = seededRandom(seed);
    this.tree = new ChangingTree(treePath, { seed, smallFilesCount: 25, largeFileBytes: 400_000 });
    this.snapshots = new AcknowledgedSnapshots(agent, this.tree);
    this.sender = new PrimeSender(sending.client(), seed);
  }

  async run({ killsCount, signal }: KillRoundsInit, histogram: KillHistogram): Promise<void> {
    await this.completeBackup();
    // A site that it has met is waited for, however long a busy machine takes to start it again.
    await this.sender.sendBatch();
    for (const target of shuffledRounds(killTargets, killsCount, this.random)) {
      signal?.throwIfAborted();
      await this.round(target, histogram).catch((cause: unknown) => {
        const log = this.site.log.filter((text) => text !== "").join("\n");
        throw new Error(`after a kill at ${JSON.stringify(target)}, seed ${this.seed}; the site said: ${log}`, {
          cause,
        });
      });
    }
    await this.verifyEverything();
  }

  private async round(target: KillTarget, histogram: KillHistogram): Promise<void> {
    this.tree.change();
    this.isBackupWhole = false;
    let isKilled = false;
    for (let attempt = 1; !isKilled && attempt <= attemptsCount; attempt++) {
      // A count of passes that was not reached: the first pass always is.
      isKilled = await this.kill(target, attempt === 1);
    }
    assert.ok(isKilled, "the failpoint was never passed");
    histogram.add(placeOf(target));
    if (!this.site.isRunning) await this.site.start();
    await this.verifySample();
    if (this.isBackupWhole) return;
    await this.completeBackup();
    await this.snapshots.verifyNew();
  }

  /** Whether it came to the kill. */
  private async kill(target: KillTarget, isFirstAttempt: boolean): Promise<boolean> {
    const passesCount = (most: number): number => (isFirstAttempt ? 1 + Math.floor(this.random() * most) : 1);
    switch (target.victim) {
      case "site":
        // After a clean stop it goes on in the segment that it had, and makes none.
        await this.site.stop(isFirstAttempt && this.random() < 0.5 ? "SIGTERM" : "SIGKILL");
        // It may also come there while it looks after what it has, before it is ready.
        if (await this.site.diesAtStart({ env: environmentOf(target.failpoint, passesCount(target.passesMaxCount)) }))
          return true;
        return this.backUpWhileSiteDies(undefined, this.random() < 0.3);
      case "agent":
        return this.killAgentAt(target.failpoint, passesCount(target.passesMaxCount));
      case "site start": {
        await this.backUpWhileSiteDies(this.randomMomentMs(), false);
        await this.site.stop("SIGKILL");
        return this.site.diesAtStart({ env: environmentOf(target.failpoint) });
      }
      case "first start":
        return killFirstStart(target.failpoint);
      case "compaction":
        await this.site.stop(this.random() < 0.5 ? "SIGTERM" : "SIGKILL");
        return this.killCompaction(target.failpoint);
      case "site at any time":
        return this.backUpWhileSiteDies(this.randomMomentMs(), false);
      case "site and agent at any time":
        return this.backUpWhileSiteDies(this.randomMomentMs(), true);
      case "agent at any time": {
        const backup = this.agent.startBackup([this.tree.path]);
        await Promise.race([sleep(this.randomMomentMs()), backup.ended]);
        backup.kill("SIGKILL");
        const end = await backup.ended;
        this.noteEnd(end, true);
        return end.code === "SIGKILL";
      }
    }
  }

  private randomMomentMs(): number {
    return this.random() * this.backupMs;
  }

  /**
   * Backs up and sends primes until the site dies, of its failpoint or `momentMs` later; it runs again afterwards. An
   * agent that is not killed with it waits, and completes. Whether it came to the kill.
   */
  private async backUpWhileSiteDies(momentMs: number | undefined, killsAgent: boolean): Promise<boolean> {
    if (!this.site.isRunning) await this.site.start();
    const stopSending = new AbortController();
    const sending = this.sender.send(stopSending.signal);
    const backup = this.agent.startBackup([this.tree.path]);
    const died = this.site.ended().then(() => true);
    const spared = momentMs === undefined ? backup.ended : sleep(momentMs);
    const isDead = await Promise.race([died, spared.then(() => false)]);
    await this.site.stop("SIGKILL");
    if (killsAgent) backup.kill("SIGKILL");
    await this.site.start();
    const end = await backup.ended;
    stopSending.abort();
    await sending;
    this.noteEnd(end, killsAgent);
    return isDead || momentMs !== undefined;
  }

  private async killAgentAt(failpoint: Failpoint, passesCount: number): Promise<boolean> {
    const env = environmentOf(failpoint, passesCount);
    const end = await this.agent.startBackup([this.tree.path], { env }).ended;
    this.noteEnd(end, true);
    return end.code === "SIGKILL";
  }

  /** What the end of a backup's process says: that all is kept, or nothing. */
  private noteEnd(end: CommandEnd, mayBeKilled: boolean): void {
    this.isBackupWhole = end.code === 0;
    if (end.code === 0) this.snapshots.acknowledge(end.json<{ snapshotId: SnapshotId }>().snapshotId);
    // A site that an agent has not met yet is waited for only so long.
    else if (end.code !== "SIGKILL") assert.equal(end.errorCode(), "site-unreachable", end.stderr);
    else assert.ok(mayBeKilled, "the backup was killed");
  }

  private async killCompaction(failpoint: Failpoint): Promise<boolean> {
    const program = join(import.meta.dirname, "compaction-process.ts");
    const words = [...runtimeFlags, program, this.site.storeDirectory, `${this.seed}/${this.compactionsCount++}`];
    const end = await startProgram(process.execPath, words, environmentOf(failpoint)).ended;
    if (end.code !== 0) assert.equal(end.code, "SIGKILL", end.stderr);
    return end.code === "SIGKILL";
  }

  private async completeBackup(): Promise<void> {
    const startedMs = performance.now();
    const snapshotId = await this.agent.backupWhole(this.tree.path);
    this.backupMs = performance.now() - startedMs;
    this.snapshots.acknowledge(snapshotId);
    await this.snapshots.findAll();
  }

  private async verifySample(): Promise<void> {
    assert.doesNotMatch(this.site.log.join("\n"), /damage-found/, "a kill is no damage");
    await this.snapshots.findAll();
    await this.snapshots.verifySample(this.random());
    await this.sender.verifySample(this.random, sampledPrimesCount);
  }

  private async verifyEverything(): Promise<void> {
    await this.snapshots.verifyAll();
    await this.sender.verifyAll();
    const check = await this.site.command("check", "--read-data");
    assert.equal(check.code, 0, check.stderr);
    assert.deepEqual(check.json<{ findings: unknown[] }>().findings, []);
    assert.ok(this.snapshots.count > 0);
  }
}

/** A site's very first start, killed: the next one makes a whole site of it, with the kit that it wrote. */
async function killFirstStart(failpoint: Failpoint): Promise<boolean> {
  await using site = await SiteUnderFault.make();
  const end = await site.tryStart({ env: environmentOf(failpoint) });
  if (end?.code !== "SIGKILL") return false;
  await site.start();
  const stats = (await site.command("stats")).json<{ siteId: string }>();
  assert.match(await readFile(site.kitFile, "utf8"), new RegExp(stats.siteId), "the kit is that of the site");
  return true;
}
