/** Goal: the lock keeps a second scheduler out, and never outlives its owner. What the scheduler remembers survives damage. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { lockFile } from "#agent/files/file-lock.ts";
import { loadHistory, saveHistory } from "#agent/schedule/run-history.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("scheduler's lock and memory");

test("a held lock keeps others out, and its end lets them in", async () => {
  const file = join(await scratchDirectory("lock"), "run.lock");
  {
    using _held = lockFile(file);
    assert.throws(() => lockFile(file), { code: "agent-busy" });
  }
  lockFile(file)[Symbol.dispose]();
});

test("the lock of a process that was killed is gone with it", async () => {
  const file = join(await scratchDirectory("lock"), "run.lock");
  const source = `import { lockFile } from "#agent/files/file-lock.ts"; lockFile(${JSON.stringify(file)}); console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(
    process.execPath,
    ["--input-type=module-typescript", "--disable-warning=ExperimentalWarning", "-e", source],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await once(child.stdout, "data");
  assert.throws(() => lockFile(file), { code: "agent-busy" });
  child.kill("SIGKILL");
  await once(child, "close");
  lockFile(file)[Symbol.dispose]();
});

test("the last run is remembered; a missing or damaged memory counts as none", async () => {
  const file = join(await scratchDirectory("history"), "below", "schedule.json");
  assert.deepEqual(await loadHistory(file), {});
  await saveHistory(file, { lastStartMs: 1_700_000_000_123 });
  assert.deepEqual(await loadHistory(file), { lastStartMs: 1_700_000_000_123 });
  for (const damaged of ["", "{", "null", "[]", '{"lastStartMs":"1"}', '{"lastStartMs":-1}', '{"lastStartMs":1e300}']) {
    await writeFile(file, damaged);
    assert.deepEqual(await loadHistory(file), {}, damaged);
  }
});

test.run();
