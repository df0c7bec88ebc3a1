/**
 * Goal: who restores a file that changed while it was backed up is told so.
 * Method: a backup of a large file to which another process appends all the time.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("torn files");

test("a file that changed while it was backed up has a note when it is restored, and when it is there already", async () => {
  const machine = await TestMachine.make("torn");
  const large = machine.path("large");
  writeFileSync(machine.path("calm"), "calm");
  writeFileSync(large, randomBytes(20_000_000));
  const writer = spawn("bash", ["-c", 'while printf x >> "$0"; do :; done', large], { stdio: "ignore" });
  try {
    const { changed } = await machine.backUp();
    assert.deepEqual(changed, [large]);
  } finally {
    writer.kill("SIGKILL");
    await once(writer, "close");
  }
  const note = { path: large, kind: "torn", message: "changed while it was backed up" };
  const { report, to } = await machine.restore();
  assert.deepEqual([report.notes, report.notesCount, report.failedCount], [[note], 1, 0]);
  const again = await restoredAgain(machine, to, { overwrite: "if-changed" });
  assert.deepEqual([again.notes, again.keptCount, again.failedCount], [[note], 2, 0]);
});

test.run();
