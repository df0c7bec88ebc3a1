/** Goal: values that file systems can hold and nobody expects stop no backup. Method: files in memory, where they fit. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { quickScratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { TestMachine } from "./backup-fixture.ts";

const test = suite("far values");

let machine: TestMachine;
let directory: string;
test.before.each(async () => {
  machine = await TestMachine.make("far-values");
  directory = await quickScratchDirectory("far-values", 2 ** 20);
});

test("times that need more than 64 bits of nanoseconds come back exactly", async ({ skip }) => {
  const source = join(directory, "source");
  mkdirSync(source);
  for (const date of ["1000-01-01 00:00:00.123456789", "2400-06-01", "3000-12-31 23:59:59.999999999"]) {
    const path = join(source, date);
    writeFileSync(path, date);
    execFileSync("touch", ["-d", `${date} UTC`, path]);
    const secondsOf = (timeMs: number): number => Math.round(timeMs / 1000);
    if (secondsOf(statSync(path).mtimeMs) !== secondsOf(Date.parse(`${date.slice(0, 23)} UTC`)))
      skip("the file system does not hold such times");
  }
  await machine.backUp({ paths: [source] });
  const to = join(directory, "restored");
  await machine.restore({ to: byteStringFromText(to) });
  assert.deepEqual(treeDifferences(source, join(to, source)), []);
});

test("a file that claims more bytes than can be counted is unreadable, and the others are saved", async ({ skip }) => {
  writeFileSync(join(directory, "fine"), "fine");
  writeFileSync(join(directory, "huge"), "");
  try {
    execFileSync("truncate", ["-s", "10P", join(directory, "huge")], { stdio: "ignore" });
  } catch {
    skip("the file system does not hold files of 10 PiB");
  }
  const report = await machine.backUp({ paths: [directory] });
  assert.deepEqual(
    report.unreadable.map(({ path, code }) => [path, code]),
    [[join(directory, "huge"), "file-unreadable"]],
  );
  assert.equal(report.filesCount, 1);
});

test.run();
