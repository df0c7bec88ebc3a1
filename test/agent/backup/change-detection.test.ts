/**
 * Goal: a backup reads what changed and nothing else, sends what is new and nothing else, and what it keeps is right.
 * Method: real files, the agent's own database, a site in memory that counts; a clock that is ahead, so that what the
 * test has just made is not too young to be trusted.
 */
import assert from "node:assert/strict";
import { suite } from "#test/support/suite.ts";
import { TestMachine, shell } from "./backup-fixture.ts";

const test = suite("change detection");

test("an unchanged tree is neither read nor sent", async () => {
  const machine = await TestMachine.make("unchanged");
  shell(machine, "mkdir -p a/b/c; for i in 1 2 3; do echo $i > a/b/$i; done; head -c 400000 /dev/urandom > large");
  const first = await machine.backUp();
  assert.deepEqual([first.filesCount, first.readFilesCount, first.unreadableCount], [4, 4, 0]);
  const second = await machine.backUp();
  assert.deepEqual([second.filesCount, second.readFilesCount, second.readBytes], [4, 0, 0]);
  assert.equal(machine.site.sentPrimesCount, 0);
  assert.equal(machine.site.askedIdsCount, 0);
  assert.equal(second.bytes, first.bytes);
  assert.deepEqual(await machine.restoreDifferences(), []);
});

test.run();
