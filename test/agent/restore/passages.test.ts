/**
 * Goal: what lies above what is restored is never removed to make room, and never followed when it is a symlink.
 * Method: real restores in each overwrite mode, with and without `--delete`, each rehearsed first, over a target that has
 * changed since the backup.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { overwriteModes } from "#agent/files/overwrite.ts";
import type { RestoreInit } from "#agent/restore/restore.ts";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("passages");

const everyWay = overwriteModes.flatMap((overwrite) => [
  { overwrite, deleteExtra: false },
  { overwrite, deleteExtra: true },
]);

/** Restores over `to` after a rehearsal; each must tell that `path` is in the way, and nothing else. */
async function assertRefused(
  machine: TestMachine,
  to: string,
  refused: { path: string; message: RegExp },
  changes: Partial<RestoreInit>,
): Promise<void> {
  for (const dryRun of [true, false]) {
    const report = await restoredAgain(machine, to, { dryRun, ...changes });
    const told = JSON.stringify({ dryRun, overwrite: changes.overwrite });
    assert.deepEqual(
      report.failed.map(({ path, code }) => [path, code]),
      [[refused.path, "restore-refused"]],
      told,
    );
    assert.match(report.failed[0]!.message, refused.message);
    assert.deepEqual([report.failedCount, report.deletedCount], [1, 0], told);
  }
}

test("a symlink above what was asked for stays and is not followed", async () => {
  const machine = await TestMachine.make("moved-home");
  mkdirSync(machine.path("home/ann"), { recursive: true });
  writeFileSync(machine.path("home/ann/thesis.odt"), "of the snapshot");
  writeFileSync(machine.path("beside"), "beside");
  await machine.backUp();
  for (const way of everyWay) {
    const to = await scratchDirectory("moved-home");
    const at = (...names: string[]): string => join(to, machine.source, ...names);
    mkdirSync(at("data/home/ann"), { recursive: true });
    symlinkSync("data/home", at("home"));
    writeFileSync(at("data/home/ann/thesis.odt"), "of today");
    // Older than the snapshot's directory, so that `if-newer` would replace it.
    utimesSync(at("data/home"), 1, 1);
    const refused = { path: machine.path("home"), message: /^a symlink is there.*restore into an empty directory/ };
    const paths = [machine.path("home/ann/thesis.odt"), machine.path("beside")].map(byteStringFromText);
    await assertRefused(machine, to, refused, { paths, ...way });
    assert.equal(readlinkSync(at("home")), "data/home");
    assert.equal(readFileSync(at("data/home/ann/thesis.odt"), "utf8"), "of today");
    assert.equal(readFileSync(at("beside"), "utf8"), "beside");
  }
});

test("a file above the snapshot's root stays, however much newer the snapshot's directory is", async () => {
  const machine = await TestMachine.make("file-above");
  writeFileSync(machine.path("foo"), "foo");
  await machine.backUp();
  for (const way of everyWay) {
    const to = await scratchDirectory("file-above");
    const above = join(to, dirname(machine.source));
    mkdirSync(dirname(above), { recursive: true });
    writeFileSync(above, "in use");
    utimesSync(above, 1, 1);
    const refused = { path: dirname(machine.source), message: /^something that is no directory is there/ };
    await assertRefused(machine, to, refused, way);
    assert.equal(readFileSync(above, "utf8"), "in use");
  }
});

test("what was asked for itself still takes the place of a symlink where the mode says so", async () => {
  const machine = await TestMachine.make("asked");
  mkdirSync(machine.path("home"));
  writeFileSync(machine.path("home/file"), "of the snapshot");
  await machine.backUp();
  const to = await scratchDirectory("asked");
  mkdirSync(join(to, machine.path("elsewhere")), { recursive: true });
  symlinkSync("elsewhere", join(to, machine.path("home")));
  const paths = [byteStringFromText(machine.path("home"))];
  const report = await restoredAgain(machine, to, { paths, overwrite: "if-changed" });
  assert.equal(report.failedCount, 0);
  assert.equal(readFileSync(join(to, machine.path("home/file")), "utf8"), "of the snapshot");
  assert.ok(!existsSync(join(to, machine.path("elsewhere/file"))));
});

test.run();
