/**
 * Goal: `--verify` finds each file that was left for its size and time and is not the snapshot's, and no other.
 * Method: copies with a byte changed behind the back of size and time.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  linkSync,
  openSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { TestMachine } from "#test/agent/backup/backup-fixture.ts";
import { suite } from "#test/support/suite.ts";
import { restoredAgain } from "./restore-fixture.ts";

const test = suite("verifying");
const MADE_SECONDS = 1_600_000_000;

function overwriteByte(path: string, at: number, seconds: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.from([readFileSync(path)[at]! ^ 1]), 0, 1, at);
  closeSync(fd);
  utimesSync(path, seconds, seconds);
}

async function machineWithFiles(): Promise<TestMachine> {
  const machine = await TestMachine.make("verifying");
  for (let at = 0; at < 20; at++) writeFileSync(machine.path(`small-${at}`), `content of ${at}`);
  writeFileSync(machine.path("large"), randomBytes(20_000_000));
  linkSync(machine.path("small-7"), machine.path("small-link"));
  writeFileSync(machine.path("sparse"), "data");
  truncateSync(machine.path("sparse"), 5_000_000);
  writeFileSync(machine.path("empty"), "");
  for (const name of ["large", "sparse", ...Array.from({ length: 20 }, (_, at) => `small-${at}`)])
    utimesSync(machine.path(name), MADE_SECONDS, MADE_SECONDS);
  await machine.backUp();
  return machine;
}

test("a file that was left and differs behind its size and time is not restored, in every mode that leaves it", async () => {
  const machine = await machineWithFiles();
  const { to } = await machine.restore();
  const at = (name: string): string => join(to, machine.path(name));
  const calm = await restoredAgain(machine, to, { overwrite: "if-changed", verify: true });
  assert.deepEqual([calm.failedCount, calm.restoredCount, calm.keptCount], [0, 0, 24]);
  overwriteByte(at("small-3"), 5, MADE_SECONDS);
  overwriteByte(at("large"), 15_000_000, MADE_SECONDS);
  overwriteByte(at("sparse"), 4_000_000, MADE_SECONDS);
  // Another time says by itself that it is another file.
  overwriteByte(at("small-9"), 5, MADE_SECONDS + 1);
  const kept = await restoredAgain(machine, to, { overwrite: "if-changed" });
  assert.deepEqual([kept.failedCount, kept.restoredCount, kept.keptCount], [0, 1, 23]);
  overwriteByte(at("small-9"), 5, MADE_SECONDS + 1);
  for (const [overwrite, counts] of [
    ["never", [3, 0, 21]],
    ["if-newer", [3, 0, 21]],
    ["if-changed", [3, 1, 20]],
  ] as const) {
    const report = await restoredAgain(machine, to, { overwrite, verify: true });
    assert.deepEqual([report.failedCount, report.restoredCount, report.keptCount], counts, overwrite);
    assert.deepEqual(
      report.failed.map(({ path, code }) => [path, code]).sort(),
      ["large", "small-3", "sparse"].map((name) => [machine.path(name), "restore-unverified"]),
    );
  }
  const repaired = await restoredAgain(machine, to, { overwrite: "always", verify: true });
  assert.deepEqual([repaired.failedCount, repaired.keptCount], [0, 0]);
  for (const name of ["small-3", "large", "sparse"])
    assert.deepEqual(readFileSync(at(name)), readFileSync(machine.path(name)), name);
});

test.run();
