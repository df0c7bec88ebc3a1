/**
 * Goal: a restore that is cut short leaves nothing half-made, and the next one makes everything right.
 * Method: real restores that are aborted while a large file is under way; and copies that lack names of one inode, as a
 * restore that was killed leaves them.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { OverwriteMode } from "#agent/files/overwrite.ts";
import { isTemporaryName } from "#agent/files/temporary-name.ts";
import type { RestoreReport } from "#agent/restore/restore-report.ts";
import type { RestoreInit } from "#agent/restore/restore.ts";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("cut short");

const openFilesCount = (): number => readdirSync("/proc/self/fd").length;
const temporaryNames = (directory: string): string[] =>
  readdirSync(directory).filter((name) => isTemporaryName(byteStringFromText(name)));

test("what was half-written goes, directories under way get owner and mode, and the next restore completes all", async () => {
  const machine = await TestMachine.make("aborted");
  mkdirSync(machine.path("deep/inner"), { recursive: true });
  for (let at = 0; at < 50; at++) writeFileSync(machine.path(`deep/${at}`), `${at}`);
  writeFileSync(machine.path("deep/inner/large"), randomBytes(40_000_000));
  linkSync(machine.path("deep/inner/large"), machine.path("deep/inner/linked"));
  for (const name of ["deep/inner", "deep"]) {
    chmodSync(machine.path(name), 0o751);
    if (process.geteuid!() === 0) chownSync(machine.path(name), 1234, 1235);
    utimesSync(machine.path(name), 1_600_000_000, 1_600_000_000);
  }
  await machine.backUp();
  const to = await scratchDirectory("aborted");
  const at = (name: string): string => join(to, machine.path(name));
  const controller = new AbortController();
  machine.site.onCall = (call) => {
    if (call !== "readPrimes" || !existsSync(at("deep/inner")) || temporaryNames(at("deep/inner")).length === 0) return;
    controller.abort(new CostorError("interrupted", "stop"));
  };
  const openBeforeCount = openFilesCount();
  await assert.rejects(restoredAgain(machine, to, { signal: controller.signal }), { code: "interrupted" });
  assert.deepEqual(temporaryNames(at("deep/inner")), []);
  assert.ok(!existsSync(at("deep/inner/large")));
  assert.equal(openFilesCount(), openBeforeCount);
  for (const name of ["deep", "deep/inner"]) {
    const [made, original] = [statSync(at(name)), statSync(machine.path(name))];
    assert.deepEqual([made.mode, made.uid, made.gid], [original.mode, original.uid, original.gid], name);
  }
  machine.site.onCall = () => undefined;
  const leftover = join(at("deep"), ".costor-restore-0123456789abcdef-z");
  writeFileSync(leftover, "half, of a run that was killed");
  await restoredAgain(machine, to);
  assert.ok(!existsSync(leftover));
  assert.equal(statSync(at("deep/inner/linked")).ino, statSync(at("deep/inner/large")).ino);
  await restoredAgain(machine, to, { overwrite: "if-changed" });
  assert.deepEqual(treeDifferences(machine.source, join(to, machine.source)), []);
});

/** A machine with three names of one file, and a copy of them. */
async function machineWithLinks(): Promise<{ machine: TestMachine; at: (name: string) => string; to: string }> {
  const machine = await TestMachine.make("links");
  writeFileSync(machine.path("a"), "content");
  for (const name of ["b", "c"]) linkSync(machine.path("a"), machine.path(name));
  utimesSync(machine.path("a"), 1_600_000_000, 1_600_000_000);
  await machine.backUp();
  const { to } = await machine.restore();
  const at = (name: string): string => join(to, machine.path(name));
  return { machine, at, to };
}

/** Restores over `to` after a rehearsal, which must promise the same. */
async function promised(machine: TestMachine, to: string, changes: Partial<RestoreInit>): Promise<RestoreReport> {
  const rehearsed = await restoredAgain(machine, to, { ...changes, dryRun: true });
  const report = await restoredAgain(machine, to, changes);
  for (const key of ["restoredCount", "restoredBytes", "keptCount", "failedCount"] as const)
    assert.equal(rehearsed[key], report[key], key);
  return report;
}

const modes: readonly OverwriteMode[] = ["never", "if-newer", "if-changed"];

test("names that are missing become links to the one that is there, in every mode that leaves it", async () => {
  const { machine, at, to } = await machineWithLinks();
  for (const overwrite of modes)
    for (const verify of [false, true]) {
      for (const name of ["b", "c"]) rmSync(at(name));
      const report = await promised(machine, to, { overwrite, verify });
      assert.deepEqual([report.restoredCount, report.restoredBytes, report.failedCount], [2, 0, 0], overwrite);
      for (const name of ["b", "c"]) assert.equal(statSync(at(name)).ino, statSync(at("a")).ino, overwrite);
    }
});

test("a name that was changed since is no file for others to be links to", async () => {
  const { machine, at, to } = await machineWithLinks();
  for (const name of ["b", "c"]) rmSync(at(name));
  writeFileSync(at("a"), "of today");
  await promised(machine, to, { overwrite: "never" });
  assert.equal(readFileSync(at("a"), "utf8"), "of today");
  for (const name of ["b", "c"]) assert.equal(readFileSync(at(name), "utf8"), "content");
  assert.equal(statSync(at("b")).ino, statSync(at("c")).ino);
});

test("somebody else's file with the same size and time is no file for root to make links to", async ({ skip }) => {
  if (process.geteuid!() !== 0) skip("only root gives files away");
  const { machine, at, to } = await machineWithLinks();
  for (const name of ["a", "b", "c"]) rmSync(at(name));
  writeFileSync(at("a"), "another");
  utimesSync(at("a"), 1_600_000_000, 1_600_000_000);
  chownSync(at("a"), 1234, 1235);
  await promised(machine, to, { overwrite: "never" });
  for (const name of ["b", "c"]) assert.equal(readFileSync(at(name), "utf8"), "content");
});

test("a file that is found damaged gets no further names, and each of these is told", async () => {
  const { machine, at, to } = await machineWithLinks();
  for (const name of ["b", "c"]) rmSync(at(name));
  writeFileSync(at("a"), "damaged");
  utimesSync(at("a"), 1_600_000_000, 1_600_000_000);
  const report = await restoredAgain(machine, to, { verify: true });
  assert.deepEqual(report.failed.map(({ path, code }) => [path, code]).sort(), [
    [machine.path("a"), "restore-unverified"],
    [machine.path("b"), "restore-refused"],
    [machine.path("c"), "restore-refused"],
  ]);
});

test.run();
