/**
 * Goal: a restore puts each object where it belongs, and what is wrong with one directory stays that directory's.
 * Method: real backups and restores of small trees, with a site in memory; directories that fail are real ones.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("restore walk");

/** Enough names for a directory to have a tree prime of its own. */
function fill(directory: string): void {
  mkdirSync(directory);
  for (let at = 0; at < 600; at++) writeFileSync(join(directory, `${at}-${"x".repeat(60)}`), `${at}`);
}

test("a directory that opens and cannot be listed fails alone: all that follows lands where it belongs", async ({
  skip,
}) => {
  if (process.geteuid!() !== 0) skip("only root mounts");
  const machine = await TestMachine.make("unlisted");
  mkdirSync(machine.path("d1/sub"), { recursive: true });
  mkdirSync(machine.path("d2"));
  for (const name of ["d1/sub/inner", "d1/z1", "d2/z2", "e"]) writeFileSync(machine.path(name), name);
  await machine.backUp();
  const { to } = await machine.restore();
  const at = (name: string): string => join(to, machine.path(name));
  for (const name of ["d1/z1", "d2/z2", "e"]) rmSync(at(name));
  // What a process had in /proc still opens after its end where it is bound, and fails for whoever lists it.
  const sleeper = spawn("sleep", ["600"], { stdio: "ignore" });
  const bound = spawnSync("mount", ["--bind", `/proc/${sleeper.pid}/net`, at("d1/sub")]).status === 0;
  sleeper.kill("SIGKILL");
  await once(sleeper, "close");
  if (!bound) skip("mounting is not possible here");
  try {
    const report = await restoredAgain(machine, to, { deleteExtra: true });
    assert.deepEqual(
      report.failed.map(({ path }) => path),
      [machine.path("d1/sub")],
    );
    assert.equal(report.deletedCount, 0);
    for (const name of ["d1/z1", "d2/z2", "e"]) assert.ok(existsSync(at(name)), name);
  } finally {
    spawnSync("umount", [at("d1/sub")]);
  }
});

test("a directory that is removed while it is restored into fails alone", async () => {
  const machine = await TestMachine.make("removed");
  fill(machine.path("gone"));
  writeFileSync(machine.path("later"), "later");
  await machine.backUp();
  const { to } = await machine.restore();
  const gone = join(to, machine.path("gone"));
  rmSync(join(to, machine.path("later")));
  // The tree prime of the directory is asked for when the walk is in it.
  let readsCount = 0;
  machine.site.onCall = (call) => {
    if (call === "readPrimes" && readsCount++ === 0) rmSync(gone, { recursive: true });
  };
  const report = await restoredAgain(machine, to, { deleteExtra: true });
  assert.ok(report.failed.length > 0 && report.failed.every(({ path }) => path.startsWith(machine.path("gone"))));
  assert.ok(report.failed.some(({ path }) => path === machine.path("gone")));
  assert.ok(existsSync(join(to, machine.path("later"))));
});

test("a directory whose tree is damaged fails alone, and nothing is deleted in it", async () => {
  const machine = await TestMachine.make("damaged");
  for (const name of ["a", "b", "c"]) fill(machine.path(name));
  await machine.backUp();
  const { to } = await machine.restore();
  const at = (name: string): string => join(to, machine.path(name));
  for (const name of ["a", "b", "c"]) writeFileSync(join(at(name), "extra"), "");
  const damaged = await machine.site.object(machine.path("b"));
  assert.ok(damaged?.type === "directory" && "slice" in damaged.node);
  machine.site.primes.get(damaged.node.slice.prime.id)!.fill(0, 100, 200);
  for (const dryRun of [true, false]) {
    const report = await restoredAgain(machine, to, { deleteExtra: true, dryRun });
    assert.deepEqual(
      report.failed.map(({ path, code }) => [path, code]),
      [[machine.path("b"), "prime-corrupt"]],
    );
    assert.equal(report.deletedCount, 2);
  }
  assert.deepEqual(
    ["a", "b", "c"].map((name) => readdirSync(at(name)).length),
    [600, 601, 600],
  );
});

test.run();
