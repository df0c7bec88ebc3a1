/**
 * Goal: a restore puts each object where it belongs, and what is wrong with one directory stays that directory's.
 * Method: real backups and restores of small trees, with a site in memory; directories that fail are real ones.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { RestoreProgress } from "#agent/restore/restore-report.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { TestMachine, asNobody } from "#test/agent/backup/backup-fixture.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
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

test("directories above what was asked for, and above the roots, are left as they are, or made as they were", async () => {
  const machine = await TestMachine.make("above");
  mkdirSync(machine.path("etc/inner"), { recursive: true });
  for (const name of ["etc/file", "etc/inner/file"]) writeFileSync(machine.path(name), name);
  chmodSync(machine.path("etc"), 0o751);
  await machine.backUp();
  const to = await scratchDirectory("above");
  await restoredAgain(machine, to);
  const at = (name: string): string => join(to, machine.path(name));
  const facts = (path: string): unknown[] => {
    const { mode, mtimeNs } = statSync(path, { bigint: true });
    return [mode & 0o7777n, mtimeNs];
  };
  assert.deepEqual(facts(at("etc")), facts(machine.path("etc")));
  const above = join(to, machine.directory);
  assert.deepEqual(facts(above), facts(machine.directory));
  for (const path of [above, at("etc"), at("etc/inner")]) {
    chmodSync(path, 0o700);
    utimesSync(path, 1, 1);
  }
  for (const overwrite of ["if-changed", "always"] as const) {
    const paths = [byteStringFromText(machine.path("etc/inner"))];
    writeFileSync(at("etc/inner/file"), "another");
    await restoredAgain(machine, to, { paths, overwrite });
    assert.deepEqual(facts(at("etc")), [0o700n, 1_000_000_000n], overwrite);
    assert.deepEqual(facts(at("etc/inner")), facts(machine.path("etc/inner")), overwrite);
    assert.equal(readFileSync(at("etc/inner/file"), "utf8"), "etc/inner/file");
  }
  await restoredAgain(machine, to, { overwrite: "always" });
  assert.deepEqual(facts(at("etc")), facts(machine.path("etc")));
  assert.deepEqual(facts(above), [0o700n, 1_000_000_000n]);
});

test("a directory above the roots has its owner and mode also when the restore is cut short", async () => {
  const machine = await TestMachine.make("cut-short");
  writeFileSync(machine.path("file"), "content");
  chmodSync(machine.directory, 0o755);
  await machine.backUp();
  const to = join(machine.directory, "to");
  const controller = new AbortController();
  machine.site.onCall = (call) => {
    if (call === "readPrimes") controller.abort(new CostorError("interrupted", "stop"));
  };
  await assert.rejects(restoredAgain(machine, to, { signal: controller.signal }), { code: "interrupted" });
  assert.equal(statSync(join(to, machine.directory)).mode & 0o777, 0o755);
});

test("a target that is no directory, or that cannot be made, is refused with its reason", async () => {
  const machine = await TestMachine.make("refused");
  writeFileSync(machine.path("file"), "in the way");
  mkdirSync(machine.path("closed"), 0o500);
  await machine.backUp();
  const targets = [
    [machine.path("file"), "ENOTDIR"],
    [machine.path("file/below"), "ENOTDIR"],
    [machine.path("closed/new"), "EACCES"],
  ] as const;
  await asNobody(machine, async () => {
    for (const [to, errno] of targets)
      await assert.rejects(restoredAgain(machine, to), {
        code: "restore-refused",
        message: new RegExp(`^${to} cannot be restored into: ${errno}`),
        details: { errno },
      });
    await assert.rejects(restoredAgain(machine, targets[0][0], { dryRun: true }), { code: "restore-refused" });
  });
  assert.equal(readFileSync(machine.path("file"), "utf8"), "in the way");
});

test("progress grows with a large file, and comes to all bytes whether they are written, linked, holes or left", async () => {
  const machine = await TestMachine.make("progress");
  writeFileSync(machine.path("large"), randomBytes(60_000_000));
  linkSync(machine.path("large"), machine.path("linked"));
  writeFileSync(machine.path("sparse"), "data");
  truncateSync(machine.path("sparse"), 50_000_000);
  writeFileSync(machine.path("small"), "small");
  await machine.backUp();
  const seen: number[] = [];
  let progress: RestoreProgress | undefined;
  machine.site.onCall = (call) => {
    if (call === "readPrimes" && progress) seen.push(progress.bytes);
  };
  const onProgress = (told: RestoreProgress): void => void (progress = told);
  const { to } = await machine.restore({ onProgress });
  const between = seen.filter((bytes) => bytes > 0 && bytes < 60_000_000);
  assert.ok(between.length > 0, seen.join(" "));
  const ended = (): unknown[] => [progress!.bytes, progress!.expectedBytes, progress!.filesCount];
  assert.deepEqual(ended(), [170_000_005, 170_000_005, 4]);
  for (const overwrite of ["never", "if-changed"] as const) {
    await restoredAgain(machine, to, { overwrite, onProgress });
    assert.deepEqual(ended(), [170_000_005, 170_000_005, 4], overwrite);
  }
});

test.run();
