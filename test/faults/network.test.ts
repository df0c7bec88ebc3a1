/**
 * A network that cuts, delays, duplicates, reorders and lies, between a real site and its agent. Goal: the backup
 * completes, restores equal, nothing is stored twice, re-sending is bounded; a server that is another one, and tokens
 * that are none, are refused at once. `COSTOR_NETWORK_SEED=SEED` runs one seed of the proxy alone.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readIdentity, readSecrets, siteDirectoryOf } from "#node/site/identity.ts";
import { provideLeaf } from "#node/site/leaf.ts";
import { certificatePem } from "#node/site/pem.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { createSeededPlan } from "#test/support/fault-plan.ts";
import { startFaultProxy } from "#test/support/fault-proxy.ts";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { runCommand } from "./command.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";
import { SiteUnderFault } from "./site-under-fault.ts";

const KIB = 1024;
const test = suite("bad networks", { timeoutMs: count(600_000, 1_800_000) });
const site = await SiteUnderFault.make();
const patientMs = 24 * 3600 * 1000;

test.before(() => site.start());
test.after(() => site[Symbol.asyncDispose]());

const primesBytes = async (): Promise<number> =>
  (await site.command("stats")).json<{ store: { primesBytes: number } }>().store.primesBytes;

test("an upload that is cut at every 64 KiB completes, and sends no more again than was cut off", async () => {
  using agent = await AgentUnderFault.enrol(site);
  const bytes = count(6, 64) * KIB * KIB;
  const tree = new ChangingTree(await scratchDirectory("tree"), { seed: 1, largeFileBytes: bytes });
  await using proxy = await startCuttingProxy({ port: site.port, stepBytes: 64 * KIB, cutsMaxCount: count(40, 200) });
  const client = agent.client({ isHurried: true, address: proxy.address, reconnectForMs: patientMs });
  const before = await primesBytes();
  const { snapshotId, sentBytes } = await agent.hurriedBackup([tree.path], { client });
  assert.deepEqual(await agent.restored(snapshotId!, tree.path), tree.manifest());
  // The n-th that is cut lets through at most n steps, and a few are never cut: so many it takes for all that was sent.
  const leastCutsCount = Math.floor(Math.sqrt((2 * sentBytes) / (64 * KIB))) - 5;
  assert.ok(proxy.cutsCount >= leastCutsCount, `${proxy.cutsCount} cuts, at least ${leastCutsCount} for ${sentBytes}`);
  // What a cut loses is at most what its own connection had let through.
  const lostBytes = (proxy.cutsCount * (proxy.cutsCount + 1) * 64 * KIB) / 2;
  assert.ok(proxy.passedBytes < sentBytes * 1.1 + lostBytes + 1e6, `${proxy.passedBytes} bytes for ${sentBytes}`);
  assert.ok((await primesBytes()) - before <= sentBytes, "nothing is stored twice");
});

test("a restore whose connections are cut at every 64 KiB completes, and asks only for the rest", async () => {
  using agent = await AgentUnderFault.enrol(site);
  const tree = new ChangingTree(await scratchDirectory("tree"), { seed: 2, largeFileBytes: count(6, 40) * KIB * KIB });
  const snapshotId = await agent.backupWhole(tree.path);
  await using proxy = await startCuttingProxy({ port: site.port, stepBytes: 64 * KIB, cutsMaxCount: count(20, 100) });
  const client = agent.client({ isHurried: true, address: proxy.address, reconnectForMs: patientMs });
  assert.deepEqual(await agent.restored(snapshotId, tree.path, client), tree.manifest());
  assert.ok(proxy.cutsCount >= 8, `${proxy.cutsCount} cuts`);
});

const oneSeed = process.env["COSTOR_NETWORK_SEED"];
const seeds = oneSeed === undefined ? Array.from({ length: count(1, 30) }, (_, at) => at) : [Number(oneSeed)];

test("requests that are cut, delayed, doubled, replayed and reordered lose nothing", async ({ signal }) => {
  const siteDirectory = siteDirectoryOf(site.dataDirectory);
  const identity = await readIdentity(siteDirectory);
  const secrets = await readSecrets(siteDirectory);
  const credentials = await provideLeaf({ siteDirectory, identity, secrets }, ["127.0.0.1"], Date.now());
  const ca = certificatePem(identity.caCertificate);
  const target = { host: "127.0.0.1", port: site.port, ca, servername: serverNameOf(identity.siteId) };
  for (const seed of seeds) {
    signal.throwIfAborted();
    try {
      using agent = await AgentUnderFault.enrol(site);
      const tree = new ChangingTree(await scratchDirectory("tree"), { seed: seed + 100, largeFileBytes: 3_000_000 });
      const plan = createSeededPlan({ seed, waitMaxMs: 60 });
      await using proxy = await startFaultProxy({ target, credentials, plan });
      const client = agent.client({ isHurried: true, address: `127.0.0.1:${proxy.port}`, reconnectForMs: patientMs });
      for (let version = 0; version < 3; version++) {
        const before = await primesBytes();
        const { snapshotId, sentBytes } = await agent.hurriedBackup([tree.path], { client });
        assert.deepEqual(await agent.restored(snapshotId!, tree.path, client), tree.manifest());
        await proxy.settled();
        assert.ok((await primesBytes()) - before <= sentBytes, "nothing is stored twice");
        tree.change();
      }
      assert.equal((await agent.reading.snapshots()).length, 3, "each backup made one snapshot");
    } catch (cause) {
      throw new Error(`seed ${seed}; again: COSTOR_NETWORK_SEED=${seed} node test/faults/network.test.ts`, { cause });
    }
  }
});

test("another site on the address is told from the own one at once, and gets neither token nor data", async () => {
  using agent = await AgentUnderFault.enrol(site);
  const tree = new ChangingTree(await scratchDirectory("tree"), { seed: 3 });
  const other = await SiteUnderFault.make();
  rmSync(agent.config.databaseDirectory, { recursive: true, force: true });
  await other.start();
  await using proxy = await startCuttingProxy({ port: other.port, stepBytes: KIB * KIB, cutsMaxCount: 0 });
  const text = await readFile(agent.configFile, "utf8");
  const moved = join(agent.directory, "moved.yaml");
  await writeFile(moved, text.replace(site.address, proxy.address), { mode: 0o600 });
  const end = await runCommand(["agent", "backup", "--config", moved, "--json", tree.path]);
  assert.deepEqual([end.code, end.errorCode()], [1, "site-identity-changed"], end.stderr);
  await other.stop();
  // A proxy on the way to the own site makes no difference.
  await using honest = await startCuttingProxy({ port: site.port, stepBytes: KIB * KIB, cutsMaxCount: 0 });
  await writeFile(moved, text.replace(site.address, honest.address), { mode: 0o600 });
  assert.equal((await runCommand(["agent", "backup", "--config", moved, tree.path])).code, 0);
});

test("wrong, revoked and replayed tokens are refused with what to do, and nothing of theirs is lost", async () => {
  const token = await site.enrolToken("twice");
  const enrol = async (text: string) =>
    runCommand(["agent", "enrol", text, "--config", join(await scratchDirectory("agent"), "a.yaml"), "--json"]);
  assert.equal((await enrol(token)).code, 0);
  assert.equal((await enrol(token)).errorCode(), "enrolment-refused");
  assert.equal((await enrol(`${token.slice(0, -3)}aaa`)).errorCode(), "bad-token");

  using agent = await AgentUnderFault.enrol(site);
  const tree = new ChangingTree(await scratchDirectory("tree"), { seed: 4 });
  const kept = await agent.backupWhole(tree.path);
  const running = agent.startBackup([tree.path]);
  assert.equal(
    (await runCommand(["site", "agents", "revoke", agent.config.agent.id, "--data", site.dataDirectory])).code,
    0,
  );
  await running.ended;
  const refused = await agent.backup(tree.path);
  assert.deepEqual([refused.code, refused.errorCode()], [1, "unauthorised"], refused.stderr);
  assert.match(refused.stderr, /enrol the machine again/);
  assert.equal((await agent.restore(kept, await scratchDirectory("to"))).errorCode(), "unauthorised");
  // Over a restart of the site too.
  await site.stop("SIGKILL");
  await site.start();
  assert.equal((await agent.backup(tree.path)).errorCode(), "unauthorised");
});

test("a site that comes and goes is waited for", async () => {
  using agent = await AgentUnderFault.enrol(site);
  const tree = new ChangingTree(await scratchDirectory("tree"), { seed: 5, largeFileBytes: 12_000_000 });
  const backup = agent.startBackup([tree.path]);
  for (let times = 0; times < count(2, 6); times++) {
    await sleep(400);
    await site.stop("SIGKILL");
    await sleep(200);
    await site.start();
  }
  const end = await backup.ended;
  if (end.code !== 0) assert.equal(end.errorCode(), "site-unreachable", end.stderr);
  assert.deepEqual(await agent.restored(await agent.backupWhole(tree.path), tree.path), tree.manifest());
});

test.run();
