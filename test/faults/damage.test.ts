/**
 * Damage on real sites' and agents' disks, end to end: bits of segments, files of the index, the agent's configuration.
 * Goal: a check names what is hit, a restore gives exact bytes or an error with file and prime, the next backup heals, and
 * the index mends itself. `COSTOR_DAMAGE_SEED` runs one seed again.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { count } from "#test/support/level.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { SiteUnderFault } from "./site-under-fault.ts";
import { treeManifest } from "./tree-manifest.ts";

const test = suite("damage", { timeoutMs: count(600_000, 1_800_000) });
const seed = Number(process.env["COSTOR_DAMAGE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const again = `seed ${seed}; again: COSTOR_DAMAGE_SEED=${seed} node test/faults/damage.test.ts`;
const random = seededRandom(seed);
const site = await SiteUnderFault.make();
let agent: AgentUnderFault;
let tree: ChangingTree;
let snapshotId: SnapshotId;
let pristine: string;
let pristineState: string;

test.before(async () => {
  process.stdout.write(`\n${again}\n`);
  await site.start();
  agent = await AgentUnderFault.enrol(site);
  tree = new ChangingTree(await scratchDirectory("tree"), { seed, smallFilesCount: 30, largeFileBytes: 900_000 });
  snapshotId = await agent.backupWhole(tree.path);
  // Killed, so that the index's log has something in it.
  await site.stop("SIGKILL");
  pristine = join(await scratchDirectory("pristine"), "data");
  pristineState = join(await scratchDirectory("pristine"), "state");
  cpSync(site.storeDirectory, pristine, { recursive: true });
  cpSync(agent.config.databaseDirectory, pristineState, { recursive: true });
});
test.before.each(undamage);
test.after.each(async () => {
  await site.stop();
});
test.after(async () => {
  agent[Symbol.dispose]();
  await site[Symbol.asyncDispose]();
});

function undamage(): void {
  for (const [from, to] of [
    [pristine, site.storeDirectory],
    [pristineState, agent.config.databaseDirectory],
  ] as const) {
    rmSync(to, { recursive: true, force: true });
    cpSync(from, to, { recursive: true });
  }
}

/** Flips a bit; its place, for the message of a failure. */
function flipBit(path: string, fromRatio = 0): string {
  const bytes = readFileSync(path);
  const at = Math.floor((fromRatio + random() * (1 - fromRatio)) * bytes.length);
  const bit = Math.floor(random() * 8);
  bytes[at]! ^= 1 << bit;
  writeFileSync(path, bytes);
  return `${path}, byte ${at}, bit ${bit}; ${again}`;
}

interface CheckFindings {
  readonly findings: readonly { readonly what: string; readonly message: string; readonly id?: string }[];
}

test("a flipped bit of a segment is named, restores nothing wrong, and is healed by the next backup", async () => {
  const manifest = tree.manifest();
  for (let number = 0; number < count(3, 60); number++) {
    undamage();
    const [segment] = readdirSync(join(site.storeDirectory, "segments"));
    const what = flipBit(join(site.storeDirectory, "segments", segment!));
    await site.start();

    const check = await site.command("check", "--read-data");
    const { findings } = check.json<CheckFindings>();
    assert.ok(findings.length > 0 || site.log.join("").includes("damage-found"), what);
    const hitPrimes = findings.flatMap(({ id }) => id ?? []);
    if (check.code !== 0) assert.equal(check.errorCode(), "store-damaged", `${what}: ${check.stderr}`);

    const to = await scratchDirectory("to");
    const end = await agent.restore(snapshotId, to);
    const restored = existsSync(join(to, tree.path)) ? treeManifest(join(to, tree.path)) : new Map<string, string>();
    if (end.code === 0) assert.deepEqual(restored, manifest, what);
    else if (end.code === 3) {
      const { failed } = end.json<{ failed: { path: string; code: string; message: string }[] }>();
      const failedPaths = failed.map(({ path }) => path);
      for (const [path, line] of manifest) {
        const full = join(tree.path, path);
        if (line.startsWith("file") && restored.get(path) !== line)
          assert.ok(
            failedPaths.some((one) => full.startsWith(one)),
            `${what}: ${path}`,
          );
      }
      for (const { message } of failed)
        assert.ok(
          hitPrimes.some((id) => message.includes(id)),
          `${what}: ${message}`,
        );
    } else {
      assert.ok(
        ["prime-corrupt", "prime-missing", "snapshot-unknown", "seal-broken"].includes(end.errorCode() ?? ""),
        `${what}: ${end.stderr}`,
      );
    }

    // Bytes that come back under a file's name are that file's.
    for (const [path, line] of restored) {
      const hash = (text: string | undefined): string | undefined => text?.split(" ").at(-1);
      if (line.startsWith("file")) assert.equal(hash(line), hash(manifest.get(path)), what);
    }
    const healed = await agent.backup(tree.path);
    assert.equal(healed.code, 0, `${what}: ${healed.stderr}`);
    assert.deepEqual(
      await agent.restored(healed.json<{ snapshotId: SnapshotId }>().snapshotId, tree.path),
      manifest,
      what,
    );
    await site.stop();
    removeTrees([to]);
  }
});

const indexDamages: readonly (readonly [string, (index: string) => string])[] = [
  ["the whole index is gone", (index) => (rmSync(index, { recursive: true }), index)],
  ["CURRENT is gone", (index) => (rmSync(join(index, "CURRENT")), "CURRENT")],
  ["the manifest is gone", (index) => removeLike(index, /^MANIFEST-/)],
  ["the log is gone", (index) => removeLike(index, /\.log$/)],
  ["the log is cut", (index) => cut(fileLike(index, /\.log$/))],
  ["a bit of the log is flipped", (index) => flipBit(fileLike(index, /\.log$/))],
  ["a bit of the manifest is flipped", (index) => flipBit(fileLike(index, /^MANIFEST-/))],
  ["CURRENT names nothing", (index) => (writeFileSync(join(index, "CURRENT"), "MANIFEST-999999\n"), "CURRENT")],
];

const fileLike = (directory: string, pattern: RegExp): string =>
  join(
    directory,
    readdirSync(directory).find((name) => pattern.test(name))!,
  );

function removeLike(directory: string, pattern: RegExp): string {
  const path = fileLike(directory, pattern);
  rmSync(path);
  return path;
}

function cut(path: string): string {
  writeFileSync(path, readFileSync(path).subarray(0, Math.floor(random() * statSync(path).size)));
  return path;
}

test("an index that is lost or damaged in any way is made anew by the start alone", async () => {
  const rounds = count(1, 8);
  for (let round = 0; round < rounds; round++) {
    for (const [what, damage] of indexDamages) {
      undamage();
      const where = damage(join(site.storeDirectory, "index"));
      try {
        await site.start();
        assert.deepEqual(await agent.restored(snapshotId, tree.path), tree.manifest());
        const report = await agent.hurriedBackup([tree.path]);
        // The root has the times of the directories above the tree, which this test changes.
        assert.ok(report.sentPrimesCount <= 1, "nothing was lost, so nothing is sent again");
        await site.stop();
      } catch (cause) {
        throw new Error(`${what}: ${where}; ${again}\n${site.log.join("\n")}`, { cause });
      }
    }
  }
});

test("a segment that is gone is named, what it held is sent again, and the site serves", async () => {
  const [segment] = readdirSync(join(site.storeDirectory, "segments"));
  rmSync(join(site.storeDirectory, "segments", segment!));
  await site.start();
  assert.match(site.log.join("\n"), /damage-found/);
  const check = await site.command("check", "--read-data");
  assert.equal(check.errorCode(), "store-damaged");
  const end = await agent.restore(snapshotId, await scratchDirectory("to"));
  assert.ok(end.code === 1 || end.code === 3);
  assert.notEqual(end.errorCode(), "internal");
  const healed = await agent.backupWhole(tree.path);
  assert.deepEqual(await agent.restored(healed, tree.path), tree.manifest());
});

test("every flipped bit of what enrolment wrote is noticed, or changes nothing", async () => {
  const text = readFileSync(agent.configFile);
  const from = text.indexOf("\nsite:");
  const path = join(await scratchDirectory("config"), "agent.yaml");
  const good = await loadAgentConfig(agent.configFile);
  const facts = (config: typeof good): string =>
    JSON.stringify([
      config.site.siteId,
      config.site.caCertificate,
      config.agent.id,
      config.agent.token,
      Buffer.from(config.agent.scopeSecret).toString("hex"),
    ]);
  const bits = Array.from({ length: (text.length - from) * 8 }, (_, index) => from * 8 + index);
  const chosen =
    bits.length <= count(1_500, Infinity)
      ? bits
      : Array.from({ length: 1_500 }, () => bits[Math.floor(random() * bits.length)]!);
  let noticedCount = 0;
  for (const bit of chosen) {
    const bytes = Buffer.from(text);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(path, bytes, { mode: 0o600 });
    const config = await loadAgentConfig(path).catch((error: { code: string }) => {
      assert.equal(error.code, "bad-config", String(error));
      noticedCount++;
      return undefined;
    });
    if (config !== undefined)
      assert.equal(
        facts(config),
        facts(good),
        `bit ${bit & 7} of byte ${bit >> 3}: ${bytes.subarray((bit >> 3) - 20, (bit >> 3) + 20)}`,
      );
  }
  assert.ok(noticedCount > chosen.length / 4);
});

test.run();
