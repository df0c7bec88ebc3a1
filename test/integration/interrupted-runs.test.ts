/**
 * Goal: a backup or restore that is killed can be run again, loses nothing, repeats little and leaves nothing half-done; one
 * that may open few files needs no more.
 * Method: the launcher against a site in a process of its own, SIGKILL, and an exact comparison.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { suite } from "#test/support/suite.ts";
import { EnrolledMachines, differences } from "./enrolled-machines.ts";

const test = suite("interrupted runs", { timeoutMs: 180_000 });

let machines: EnrolledMachines;
let directory: string;

test.before(async () => {
  machines = await EnrolledMachines.start("interrupted", 512 * 1024 ** 2);
  ({ directory } = machines);
});
test.after(() => machines.site.stop());

test("a machine that lets a process have few open files backs up and restores many directories, and many links", async () => {
  const agent = await machines.enrol("few-files");
  const source = join(directory, "few-files-source");
  mkdirSync(source);
  writeFileSync(join(source, "0"), randomContent(5_000_000, 1));
  for (let i = 0; i < 1500; i++) {
    mkdirSync(join(source, `d${i}`));
    writeFileSync(join(source, `d${i}/file`), `${i}`);
    if (i % 3 === 0) linkSync(join(source, "0"), join(source, `d${i}/link`));
  }
  const limited = (...words: string[]): void => {
    const launcher = fileURLToPath(new URL("../../costor", import.meta.url));
    const script = 'ulimit -n 200; exec "$@" 2>&1';
    execFileSync("sh", ["-c", script, "sh", launcher, "agent", ...words, "--config", agent.config]);
  };
  limited("backup", source);
  const to = machines.newTarget();
  limited("restore", "latest", "--to", to);
  assert.deepEqual(differences(to, source), []);
});

/** Starts a command that is to be killed; its own process, as the launcher execs. */
function startAgent(...words: string[]) {
  const launcher = fileURLToPath(new URL("../../costor", import.meta.url));
  const child = spawn(launcher, ["agent", ...words], { stdio: "ignore" });
  return { child, closed: once(child, "close") };
}

test("a backup that is killed goes on where it was, and sends nothing twice", async () => {
  const agent = await machines.enrol("killed");
  const source = join(directory, "killed-source");
  mkdirSync(source);
  // Content that no other agent of the scope has: it would be sent, and be there.
  for (let i = 0; i < 12; i++) writeFileSync(join(source, `${i}`), randomContent(1_000_000, 100 + i));
  const slow = join(directory, "killed", "slow.yaml");
  writeFileSync(slow, `${readFileSync(agent.config, "utf8")}\nbandwidthLimit: 2 MB/s\n`, { mode: 0o600 });
  const before = await machines.storedCount();
  const { child, closed } = startAgent("backup", source, "--config", slow);
  while ((await machines.storedCount()) < before + 3) await delay(50);
  child.kill("SIGKILL");
  await closed;
  const kept = await machines.storedCount();
  assert.ok(kept >= before + 3);
  const resumed = await agent.report("backup", source);
  assert.equal((await machines.storedCount()) - kept, resumed.sentPrimesCount);
  assert.equal((await agent.report("snapshots")).length, 1);
  const to = machines.newTarget();
  await agent.report("restore", "latest", "--to", to);
  assert.deepEqual(differences(to, source), []);
});

test("a restore that is killed is run again by what has changed, and leaves nothing half-done", async () => {
  const agent = await machines.enrol("killed-restore");
  const source = join(directory, "killed-restore-source");
  mkdirSync(source);
  for (let i = 0; i < 300; i++) {
    mkdirSync(join(source, `d${i}`));
    for (let k = 0; k < 10; k++) writeFileSync(join(source, `d${i}/${k}`), randomContent(20_000, i * 10 + k));
    chmodSync(join(source, `d${i}`), 0o555);
  }
  writeFileSync(join(source, "large"), randomContent(30_000_000, 1));
  await agent.report("backup", source);
  for (let round = 0; round < 3; round++) {
    const to = machines.newTarget();
    const { child, closed } = startAgent("restore", "latest", "--to", to, "--config", agent.config);
    while (!existsSync(join(to, source, `d${round * 60}`))) await delay(2);
    child.kill("SIGKILL");
    await closed;
    // A last file may be half there under a name of its own, as after a kill at a worse moment.
    writeFileSync(join(to, source, ".costor-restore-0123456789abcdef-z"), "half");
    const again = await agent.report("restore", "latest", "--to", to, "--overwrite", "if-changed");
    assert.equal(again.failedCount, 0);
    assert.deepEqual(differences(to, source), []);
    execFileSync("chmod", ["-R", "u+w", to]);
    renameSync(to, `${to}-done`);
  }
});

function randomContent(bytes: number, seed: number): Buffer {
  const content = Buffer.alloc(bytes);
  let state = seed + 1;
  for (let at = 0; at + 4 <= bytes; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    content.writeInt32LE((state ^ (state >>> 13)) | 0, at);
  }
  return content;
}

test.run();
