/** Goal: the demo ends everything that it has started, however it is told to end. Method: the real program in a process group of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { liveProcesses } from "#test/support/file-run.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("demo", { timeoutMs: 120_000 });
const program = resolve(import.meta.dirname, "demo.ts");

/** The demo in a group of its own, once it says so. */
async function startDemo(until: string) {
  const directory = await scratchDirectory("demo");
  const parameters = [...runtimeFlags, program, "--directory", directory, "--from", directory];
  const child = spawn(process.execPath, parameters, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  while (!output.includes(until)) {
    assert.equal(child.exitCode, null, output);
    await delay(50);
  }
  return { child, closed, directory, output: () => output };
}

async function assertNothingLeft(group: number): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (liveProcesses(group).length > 0 && performance.now() < deadlineMs) await delay(50);
  assert.deepEqual(liveProcesses(group), []);
}

test("told to end, it ends its sites and takes its disks away", async () => {
  const { child, closed, directory, output } = await startDemo("2/7");
  assert.ok(liveProcesses(child.pid!).length >= 6, "five sites run");
  child.kill("SIGINT");
  assert.deepEqual(await closed, [130, null], output());
  assert.ok(output().endsWith("demo: interrupted\n"));
  await assertNothingLeft(child.pid!);
  assert.deepEqual(await readdir(directory), []);
});

test("what it cannot do is told as its last line, with exit code 1, and nothing is left", async () => {
  const { child, closed, directory, output } = await startDemo("2/7");
  const site = liveProcesses(child.pid!).find((line) => line.includes("Corvara"))!;
  process.kill(Number(site.split(" ")[0]), "SIGKILL");
  const [code] = await closed;
  assert.match(output().trimEnd().split("\n").at(-1)!, /^demo: FAIL They make a federation.*: ./);
  assert.equal(code, 1);
  await assertNothingLeft(child.pid!);
  assert.deepEqual(await readdir(directory), []);
});

test.run();
