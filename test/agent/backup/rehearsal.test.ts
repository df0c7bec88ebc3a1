/** Goal: a dry run promises what the run does, and changes nothing: not at the site, not in the agent's database. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine, asNobody, shell } from "./backup-fixture.ts";
import { descriptorsCount } from "./reading-fixture.ts";

const test = suite("dry run", { timeoutMs: 60_000 });

/** What a dry run can know. */
const promiseOf = (report: BackupReport): Record<string, unknown> => {
  const { objectsCount, filesCount, bytes, readFilesCount, readBytes, unreadable, unreadableCount } = report;
  const { skippedSocketsCount } = report;
  return {
    ...{ objectsCount, filesCount, bytes, readFilesCount, readBytes, unreadableCount, skippedSocketsCount },
    unreadable: unreadable.map(({ path, code }) => `${path} ${code}`),
  };
};

async function rehearsed(machine: TestMachine): Promise<BackupReport> {
  const before = descriptorsCount();
  const report = await asNobody(machine, () => machine.backUp({ dryRun: true }));
  assert.equal(report.snapshotId, undefined);
  assert.deepEqual(new Set(Object.values(machine.site.calls)), new Set([0]), "the site hears nothing");
  assert.equal(descriptorsCount(), before);
  return report;
}

test("a dry run promises what the run then does: at first, with changes, without", async () => {
  const machine = await TestMachine.make("rehearsal");
  mkdirSync(machine.path("inner"));
  for (let i = 0; i < 20; i++) writeFileSync(machine.path(`inner/${i}`), randomBytes(1000 * i));
  writeFileSync(machine.path("large"), randomBytes(3_000_000));
  writeFileSync(machine.path("secret"), "secret");
  chmodSync(machine.path("secret"), 0);
  shell(machine, `mkfifo fifo; ln -s x link; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'`);
  const expectPromise = async (): Promise<BackupReport> => {
    const promised = await rehearsed(machine);
    const done = await asNobody(machine, () => machine.backUp());
    assert.deepEqual(promiseOf(promised), promiseOf(done));
    return done;
  };
  assert.equal((await expectPromise()).readFilesCount, 21);
  writeFileSync(machine.path("inner/3"), "new");
  rmSync(machine.path("inner/4"));
  const changed = await expectPromise();
  assert.deepEqual([changed.readFilesCount, changed.readBytes], [1, 3]);
  const unchanged = await expectPromise();
  assert.deepEqual([unchanged.readFilesCount, unchanged.unreadableCount], [0, 1]);
});

test("dry runs leave no trace in the database: what they saw is still new to the next backup", async () => {
  const machine = await TestMachine.make("rehearsal");
  writeFileSync(machine.path("file"), "content");
  await machine.backUp();
  writeFileSync(machine.path("file"), "another content");
  rmSync(machine.path("gone"), { force: true });
  for (let i = 0; i < 2; i++) assert.equal((await rehearsed(machine)).readFilesCount, 1);
  assert.equal((await asNobody(machine, () => machine.backUp())).readFilesCount, 1);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
