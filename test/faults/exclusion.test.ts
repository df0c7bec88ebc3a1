/**
 * Who may run beside whom, and what a process that sleeps or dies keeps from others. Goal: no lock outlives its owner; a
 * sleeping agent or site holds nobody up, and goes on when it wakes. Processes are stopped and killed by signals; a
 * bandwidth limit keeps backups in their middle for as long as it takes.
 */
import assert from "node:assert/strict";
import { appendFile, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { callControl, connectControl } from "#node/control/client.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import type { RunningCommand } from "./command.ts";
import { SiteUnderFault } from "./site-under-fault.ts";

const test = suite("beside each other", { timeoutMs: 600_000 });
const site = await SiteUnderFault.make();
let agent: AgentUnderFault;
let tree: ChangingTree;

test.before(() => site.start());
test.before.each(async () => {
  agent = await AgentUnderFault.enrol(site);
  tree = new ChangingTree(await scratchDirectory("tree"), { seed: 7, largeFileBytes: 2_000_000 });
});
test.after.each(() => agent[Symbol.dispose]());
test.after(() => site[Symbol.asyncDispose]());

async function openSessionsCount(): Promise<number> {
  const socket = await connectControl(site.dataDirectory);
  return (await callControl(socket!, "stats", {})).openSessionsCount;
}

/** A backup of a few seconds, in its middle. */
async function startSlowBackup(): Promise<RunningCommand> {
  await appendFile(agent.configFile, "\nbandwidthLimit: 500 kB/s\n");
  const before = await openSessionsCount();
  const backup = agent.startBackup([tree.path]);
  while ((await openSessionsCount()) === before) {
    assert.equal(backup.child.exitCode, null, backup.stderr());
    await sleep(50);
  }
  return backup;
}

async function assertWhole(backup: RunningCommand): Promise<void> {
  const end = await backup.ended;
  assert.equal(end.code, 0, end.stderr);
  const { snapshotId } = end.json<{ snapshotId: SnapshotId }>();
  assert.deepEqual(await agent.restored(snapshotId, tree.path), tree.manifest());
}

test("a second backup of an agent is told that it is busy, and the first one completes", async () => {
  const backup = await startSlowBackup();
  const second = await agent.backup(tree.path);
  assert.deepEqual([second.code, second.errorCode()], [1, "agent-busy"], second.stderr);
  await assertWhole(backup);
});

test("the lock of a killed agent is gone with it", async () => {
  const backup = await startSlowBackup();
  backup.kill("SIGKILL");
  await backup.ended;
  await assertWhole(agent.startBackup([tree.path]));
});

test("an agent that sleeps holds nobody up, and goes on when it wakes", async () => {
  const backup = await startSlowBackup();
  backup.kill("SIGSTOP");
  using other = await AgentUnderFault.enrol(site, "other");
  const otherTree = new ChangingTree(await scratchDirectory("tree"), { seed: 8 });
  assert.deepEqual(await other.restored(await other.backupWhole(otherTree.path), otherTree.path), otherTree.manifest());
  assert.equal((await site.command("check", "--read-data")).code, 0);
  // Its own machine may restore while its backup sleeps.
  const snapshots = await agent.reading.snapshots();
  assert.deepEqual(snapshots, []);
  backup.kill("SIGCONT");
  await assertWhole(backup);
});

test("an agent that slept through a restart of the site goes on", async () => {
  const backup = await startSlowBackup();
  backup.kill("SIGSTOP");
  await site.stop("SIGKILL");
  await site.start();
  backup.kill("SIGCONT");
  await assertWhole(backup);
});

test("a site that sleeps for a while is waited for", async () => {
  const backup = await startSlowBackup();
  site.signal("SIGSTOP");
  await sleep(3_000);
  site.signal("SIGCONT");
  await assertWhole(backup);
});

test("a second site on the data directory is refused while the first one lives, even asleep, and not after", async () => {
  const second = await SiteUnderFault.make(site.dataDirectory);
  site.signal("SIGSTOP");
  const refused = await second.tryStart();
  site.signal("SIGCONT");
  assert.equal(refused?.errorCode(), "store-locked", refused?.stderr);
  await agent.reading.checkIn();
  await site.stop("SIGKILL");
  await second.start();
  await second.stop();
  await site.start();
});

test("a site that is stopped in the middle of a backup ends cleanly, and the backup completes with the next one", async () => {
  const backup = await startSlowBackup();
  const end = await site.stop("SIGTERM");
  assert.ok(end?.code === 0 || end?.code === 130, `${end?.code} ${end?.stderr}`);
  await site.start();
  await assertWhole(backup);
  assert.doesNotMatch(site.log.join("\n"), /damage-found|torn-tail/);
});

test("an interrupted restore is completed by the next one", async () => {
  const snapshotId = await agent.backupWhole(tree.path);
  const to = await scratchDirectory("to");
  for (const delayMs of [150, 250, 400]) {
    const restore = agent.startRestore(snapshotId, to);
    await Promise.race([sleep(delayMs), restore.ended]);
    restore.kill("SIGKILL");
    await restore.ended;
  }
  const last = await agent.restore(snapshotId, to, ["--overwrite", "if-changed"]);
  assert.equal(last.code, 0, last.stderr);
  assert.equal(await readFile(`${to}${tree.path}/large`, "base64"), await readFile(`${tree.path}/large`, "base64"));
});

test.run();
