/**
 * Goal: `--delete` takes what the snapshot would hold if it were there, and nothing that no snapshot would hold.
 * Method: real backups and restores with a site in memory, each run rehearsed first, which must promise the same.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { RestoreReport } from "#agent/restore/restore-report.ts";
import type { RestoreInit } from "#agent/restore/restore.ts";
import { TestMachine, asNobody, configForTest } from "#test/agent/backup/backup-fixture.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("deleting");

/** Restores over `to` with `--delete`, after a rehearsal. */
async function deletedIn(machine: TestMachine, to: string, changes: Partial<RestoreInit> = {}): Promise<RestoreReport> {
  const promised = await restoredAgain(machine, to, { deleteExtra: true, dryRun: true, ...changes });
  const report = await restoredAgain(machine, to, { deleteExtra: true, ...changes });
  for (const key of ["restoredCount", "keptCount", "deletedCount", "failedCount"] as const)
    assert.equal(promised[key], report[key], key);
  return report;
}

test("a file system that is mounted where the snapshot has an empty directory keeps what is in it", async ({
  skip,
}) => {
  if (process.geteuid!() !== 0) skip("only root mounts");
  const machine = await TestMachine.make("mounted");
  mkdirSync(machine.path("mounted"));
  mkdirSync(machine.path("held"));
  writeFileSync(machine.path("held/inside"), "");
  await machine.backUp();
  const { to } = await machine.restore();
  const points = ["mounted", "held"].map((name) => join(to, machine.path(name)));
  for (const point of points)
    if (spawnSync("mount", ["-t", "tmpfs", "none", point]).status !== 0) skip("mounting is not possible here");
  try {
    for (const point of points) {
      writeFileSync(join(point, "precious"), "of another file system");
      mkdirSync(join(point, "directory"));
    }
    const report = await deletedIn(machine, to);
    assert.deepEqual([report.deletedCount, report.failedCount], [2, 0]);
    assert.deepEqual(readdirSync(points[0]!).sort(), ["directory", "precious"]);
    // Of this one the snapshot has what it holds, so it was taken along by the backup.
    assert.deepEqual(readdirSync(points[1]!), ["inside"]);
  } finally {
    for (const point of points) spawnSync("umount", ["-l", point]);
  }
});

test("by a partial snapshot nothing is deleted unless that is asked for: it lacks what could not be read", async () => {
  const machine = await TestMachine.make("partial");
  writeFileSync(machine.path("file"), "");
  writeFileSync(machine.path("unread"), "the only copy");
  chmodSync(machine.path("unread"), 0);
  await asNobody(machine, () => machine.backUp());
  for (const dryRun of [true, false])
    await assert.rejects(restoredAgain(machine, "/", { deleteExtra: true, dryRun }), {
      code: "restore-refused",
      message: /could not be read at the backup \(1\)/,
    });
  await restoredAgain(machine, "/");
  assert.ok(existsSync(machine.path("unread")));
  const report = await deletedIn(machine, "/", { deleteFromPartial: true });
  assert.equal(report.deletedCount, 1);
  assert.ok(!existsSync(machine.path("unread")));
});

test("sockets, what the configuration leaves out and the agent's database stay, with the directories around them", async () => {
  const machine = await TestMachine.make("protected");
  writeFileSync(machine.path("file"), "");
  await machine.backUp({ paths: [machine.directory] });
  mkdirSync(machine.path("new/cache/deep"), { recursive: true });
  mkdirSync(machine.path("new/other"));
  for (const name of ["x.tmp", "extra", "new/cache/deep/x", "new/other/x"]) writeFileSync(machine.path(name), "");
  const server = createServer().listen(machine.path("socket"));
  await once(server, "listening");
  try {
    const config = configForTest(machine.databaseDirectory, { exclude: ["*.tmp", "cache/"] });
    const report = await deletedIn(machine, "/", { config });
    assert.deepEqual([report.deletedCount, report.failedCount], [1, 0]);
    assert.deepEqual(readdirSync(machine.source).sort(), ["file", "new", "socket", "x.tmp"]);
    assert.deepEqual(readdirSync(machine.path("new"), { recursive: true }).sort(), [
      "cache",
      "cache/deep",
      "cache/deep/x",
    ]);
    assert.ok(existsSync(join(machine.databaseDirectory, "index")));
  } finally {
    server.close();
  }
});

test("a directory with something in it that stays does not make room for a file", async () => {
  const machine = await TestMachine.make("room");
  for (const name of ["a", "b"]) writeFileSync(machine.path(name), name);
  await machine.backUp();
  for (const name of ["a", "b"]) {
    rmSync(machine.path(name));
    mkdirSync(machine.path(name));
  }
  writeFileSync(machine.path("a/kept.tmp"), "");
  const config = configForTest(machine.databaseDirectory, { exclude: ["*.tmp"] });
  const report = await deletedIn(machine, "/", { config, overwrite: "if-changed" });
  assert.deepEqual(
    report.failed.map(({ path, code }) => [path, code]),
    [[machine.path("a"), "ENOTEMPTY"]],
  );
  assert.ok(existsSync(machine.path("a/kept.tmp")));
});

test.run();
