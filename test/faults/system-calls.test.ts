/**
 * System calls of site and agent that fail with EIO or ENOSPC at the k-th call. Goal: nothing is acknowledged that is not
 * kept, the error has a code of its own, and after a restart all that was acknowledged is there. Method: one recorded run
 * gives the calls; each case runs on a copy of the same data. `COSTOR_CALLS_SEED` runs one seed again.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCostorError } from "#protocol/errors.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { count } from "#test/support/level.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { AcknowledgedSnapshots, PrimeSender } from "./acknowledged.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import type { CommandEnd } from "./command.ts";
import { SiteUnderFault } from "./site-under-fault.ts";
import {
  type CallFault,
  callsBelow,
  type PlacedCall,
  tracedEnvironment,
  traceRefusal,
  underFault,
  underRecording,
  wasMet,
} from "./system-call-faults.ts";
import { treeManifest } from "./tree-manifest.ts";

const test = suite("failing system calls", { timeoutMs: count(600_000, 1_800_000) });
const seed = Number(process.env["COSTOR_CALLS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const refusal = traceRefusal();
const again = `seed ${seed}; again: COSTOR_CALLS_SEED=${seed} node test/faults/system-calls.test.ts`;
const storeCodes = ["store-full", "store-failed", "store-damaged", "identity-damaged"];

/** Level's own log is nobody's data; locks and directories that are there already are no changes. */
const isOfInterest = ({ call, path }: PlacedCall): boolean =>
  !/\/(LOG|LOG\.old|LOCK|control\.sock)$/.test(path ?? "") && call !== "mkdir";

function choose(calls: readonly PlacedCall[], casesCount: number, random: () => number): CallFault[] {
  const faults = calls.filter(isOfInterest).flatMap((call) => [
    { ...call, error: "EIO" as const, at: random() },
    { ...call, error: "ENOSPC" as const, at: random() },
  ]);
  return faults.toSorted((a, b) => a.at - b.at).slice(0, casesCount);
}

/** What of an object's attributes cannot be set is noted, and the object is restored. */
const attributeCalls = new Set(["fchownat", "fchmod", "utimensat"]);

const copy = (from: string, to: string): void => {
  rmSync(to, { recursive: true, force: true });
  assert.equal(spawnSync("cp", ["-a", from, to]).status, 0);
};

function assertCoded(end: CommandEnd, codes: readonly string[], what: string): void {
  assert.ok(codes.includes(end.errorCode() ?? ""), `${what} ended with ${end.code}: ${end.stderr}`);
}

if (refusal === undefined) {
  test("calls of the site fail", async ({ signal }) => {
    process.stdout.write(`\n${again}\n`);
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    using sending = await AgentUnderFault.enrol(site, "sender");
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed,
      smallFilesCount: 12,
      largeFileBytes: 300_000,
    });
    const base = { snapshotId: await agent.backupWhole(tree.path), manifest: tree.manifest() };
    await site.stop();
    const pristine = join(await scratchDirectory("pristine"), "data");
    const pristineState = join(await scratchDirectory("pristine"), "state");
    copy(site.dataDirectory, pristine);
    copy(agent.config.databaseDirectory, pristineState);
    const log = join(await scratchDirectory("strace"), "log");
    tree.change();

    /** A start, a backup, primes, a stop. What was acknowledged. */
    const work = async (under: readonly string[]) => {
      copy(pristine, site.dataDirectory);
      copy(pristineState, agent.config.databaseDirectory);
      const primes = new PrimeSender(sending.client({ isHurried: true }), seed);
      const snapshots = new AcknowledgedSnapshots(agent, tree);
      snapshots.acknowledge(base.snapshotId, base.manifest);
      const codes: string[] = [];
      const attempt = async (action: Promise<unknown>): Promise<void> => {
        try {
          await action;
          // What the kernel holds after a failed sync cannot be trusted, so nothing may be built on it.
          assert.ok(!codes.includes("store-failed"), "acknowledged after the disk had failed");
        } catch (error) {
          if (!isCostorError(error)) throw error;
          codes.push(error.code);
        }
      };
      const end = await site.tryStart({ under, env: tracedEnvironment });
      if (end !== undefined) {
        assertCoded(end, storeCodes, "the start");
        return { primes, snapshots, codes: [end.errorCode()!] };
      }
      await attempt(primes.sendBatch());
      const client = agent.client({ isHurried: true });
      await attempt(
        agent.hurriedBackup([tree.path], { client }).then(({ snapshotId }) => snapshots.acknowledge(snapshotId!)),
      );
      await attempt(primes.sendBatch());
      // Reads go on whatever the disk refuses to write, until the site ends by itself, which may be meanwhile.
      if (site.isRunning) {
        const reading = agent.restored(base.snapshotId, tree.path, client);
        const read = await reading.catch((error: unknown) => {
          if (site.isRunning || !isCostorError(error, "site-unreachable")) throw error;
          return base.manifest;
        });
        assert.deepEqual(read, base.manifest);
      }
      await site.stop();
      return { primes, snapshots, codes };
    };

    await work(underRecording(log));
    const random = seededRandom(seed);
    const faults = choose(callsBelow(site.dataDirectory, log), count(3, 150), random);
    let metCount = 0;
    const seen = new Map<string, number>();
    for (const fault of faults) {
      signal.throwIfAborted();
      const what = `${again}\n${JSON.stringify(fault)}`;
      try {
        const { primes, snapshots, codes } = await work(underFault(fault, log));
        if (await wasMet(log)) metCount++;
        for (const code of codes) seen.set(code, (seen.get(code) ?? 0) + 1);
        for (const code of codes) assert.ok([...storeCodes, "site-unreachable"].includes(code), code);
        await site.start();
        assert.deepEqual(await agent.restored(base.snapshotId, tree.path), base.manifest);
        await snapshots.verifyAll();
        await primes.verifyAll();
        await agent.hurriedBackup([tree.path]);
        await snapshots.verifyAll();
        const check = await site.command("check", "--read-data");
        assert.equal(check.code, 0, check.stderr);
        await site.stop();
      } catch (cause) {
        throw new Error(`${what}\nthe site said: ${site.log.join("\n")}`, { cause });
      }
    }
    process.stdout.write(
      `${metCount} of ${faults.length} faults were met; codes: ${[...seen].map((entry) => entry.join(" ")).join(", ")}\n`,
    );
    assert.ok(metCount >= faults.length / 2, "the faults are where the calls are");
  });

  test("calls of the agent on its database fail", async ({ signal }) => {
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed: seed + 1,
      smallFilesCount: 12,
      largeFileBytes: 300_000,
    });
    const snapshots = new AcknowledgedSnapshots(agent, tree);
    snapshots.acknowledge(await agent.backupWhole(tree.path));
    await snapshots.findAll();
    const log = join(await scratchDirectory("strace"), "log");
    const pristine = join(await scratchDirectory("pristine"), "state");
    copy(agent.config.databaseDirectory, pristine);
    tree.change();
    const traced = (under: readonly string[]) =>
      agent.startBackup([tree.path], { under, env: tracedEnvironment }).ended;
    snapshots.acknowledge((await traced(underRecording(log))).json<{ snapshotId: SnapshotId }>().snapshotId);
    await snapshots.findAll();
    const faults = choose(callsBelow(agent.config.databaseDirectory, log), count(2, 60), seededRandom(seed));
    for (const fault of faults) {
      signal.throwIfAborted();
      try {
        copy(pristine, agent.config.databaseDirectory);
        tree.change();
        const end = await traced(underFault(fault, log));
        if (end.code === 0) snapshots.acknowledge(end.json<{ snapshotId: SnapshotId }>().snapshotId);
        else assertCoded(end, ["path-unusable"], "the backup");
        await snapshots.findAll();
        snapshots.acknowledge(await agent.backupWhole(tree.path));
        await snapshots.findAll();
        await snapshots.verifyNew();
      } catch (cause) {
        throw new Error(`${again}\n${JSON.stringify(fault)}`, { cause });
      }
    }
  });

  test("calls of a restore fail", async ({ signal }) => {
    await using site = await SiteUnderFault.make();
    await site.start();
    using agent = await AgentUnderFault.enrol(site);
    const tree = new ChangingTree(await scratchDirectory("tree"), {
      seed: seed + 2,
      smallFilesCount: 12,
      largeFileBytes: 300_000,
    });
    const snapshotId = await agent.backupWhole(tree.path);
    const calls = ["pwrite64", "fchownat", "fchmod", "utimensat", "renameat2", "mkdirat"];
    const faults = calls.flatMap((call) =>
      (["EIO", "ENOSPC"] as const).flatMap((error) =>
        [1, 2].map((number) => ({ call, path: undefined, number, error })),
      ),
    );
    const random = seededRandom(seed);
    const chosen = faults.map((fault) => ({ fault, at: random() })).toSorted((a, b) => a.at - b.at);
    const log = join(await scratchDirectory("strace"), "log");
    for (const { fault } of chosen.slice(0, count(3, faults.length))) {
      signal.throwIfAborted();
      const to = await scratchDirectory("restored");
      const restored = join(to, tree.path);
      const end = await agent.restore(snapshotId, to, [], { under: underFault(fault, log) });
      const what = `${again}\n${JSON.stringify(fault)}: ${end.code} ${end.stderr}`;
      const isMet = await wasMet(log);
      if (end.code === 0 && isMet && attributeCalls.has(fault.call)) {
        // An owner that is refused is tried once more in two parts.
        if (fault.call !== "fchownat") assert.ok(end.json<{ notesCount: number }>().notesCount > 0, what);
      } else if (isMet) assert.notEqual(end.code, 0, what);
      if (end.code === 3) {
        const report = end.json<{ failed: { path: string; code: string }[] }>();
        assert.ok(report.failed.length > 0, what);
        for (const failed of report.failed) assert.ok(failed.path.startsWith("/") && failed.code !== "", what);
      } else if (end.code !== 0) assert.ok(end.errorCode() !== "internal" && end.errorCode() !== undefined, what);
      // What has its name has its bytes; nothing half-written is left.
      if (existsSync(restored)) {
        const manifest = tree.manifest();
        for (const [path, line] of treeManifest(restored)) {
          const hash = (text: string | undefined): string | undefined => text?.split(" ").at(-1);
          if (line.startsWith("file")) assert.equal(hash(line), hash(manifest.get(path)), `${what}: ${path}`);
        }
        assert.ok(!readdirSync(restored).some((name) => name.startsWith(".costor-")), what);
      }
      const second = await agent.restore(snapshotId, to, ["--overwrite", "if-changed"]);
      assert.equal(second.code, 0, `${what}\nthen ${second.stderr}`);
      assert.deepEqual(treeManifest(restored), tree.manifest(), what);
      removeTrees([to]);
    }
  });
} else test.skip("all of them", refusal);

test.run();
