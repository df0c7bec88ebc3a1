/**
 * Goal: what a commit says of the root is short, whatever the tree, and costs nothing while the tree does not change.
 * Method: real files, the agent's own database, a site in memory that counts.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerKey } from "#protocol/node-pointer.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("committed root", { timeoutMs: 60_000 });

/** Enough files that their node is inlined in those above it, and the root with them is not short. */
async function backedUp(): Promise<TestMachine> {
  const machine = await TestMachine.make("root");
  mkdirSync(machine.path("one"));
  for (let i = 0; i < 100; i++) writeFileSync(machine.path("one", `${i}`), `content ${i}`);
  await machine.backUp();
  return machine;
}

/** Until nothing above the source has changed between two backups: other tests make directories in /tmp. */
async function backUpUnchanged(machine: TestMachine): Promise<BackupReport> {
  for (;;) {
    const report = await machine.backUp();
    if (nodePointerKey(machine.site.root()) === nodePointerKey(machine.site.root(1))) return report;
  }
}

test("the root of a hundred files is a slice of a prime, and restores as it was", async () => {
  const machine = await backedUp();
  const node = await machine.site.object(machine.path("one"));
  assert.ok(node?.type === "directory" && "inline" in node.node && node.node.inline.length > limits.rootInlineBytes);
  assert.ok("slice" in machine.site.root());
  assert.equal(machine.site.sentRootsCount, 1);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("the root of next to nothing is inlined", async () => {
  const machine = await TestMachine.make("root");
  writeFileSync(machine.path("file"), "content");
  await machine.backUp();
  assert.ok("inline" in machine.site.root());
  assert.equal(machine.site.sentRootsCount, 0);
});

test("an unchanged tree has the same root, and nothing is sent", async () => {
  const machine = await backedUp();
  for (let i = 0; i < 2; i++) {
    const report = await backUpUnchanged(machine);
    assert.deepEqual([report.readFilesCount, report.sentPrimesCount, report.sentBytes], [0, 0, 0]);
  }
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test("a change sends the new root, and one that the site lost comes again", async () => {
  const machine = await backedUp();
  writeFileSync(machine.path("one/5"), "changed");
  await machine.backUp();
  assert.equal(machine.site.sentRootsCount, 1);
  assert.deepEqual(await machine.restoreDifferences(), []);
  const root = machine.site.root();
  assert.ok("slice" in root);
  const { storeGeneration } = machine.site;
  machine.site.lose(root.slice.prime.id);
  machine.site.storeGeneration = storeGeneration;
  await machine.backUp();
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
