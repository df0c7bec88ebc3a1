/**
 * The runner believes nothing: each bad suite that is planted here must fail the run, whatever it prints.
 * Method: files are written to a scratch directory, and the real runner runs them in a process of its own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const runner = join(import.meta.dirname, "../run.ts");
const suiteUrl = pathToFileURL(join(import.meta.dirname, "suite.ts")).href;
const head = `import { suite } from ${JSON.stringify(suiteUrl)};\nconst test = suite("planted", { timeoutMs: 200 });\n`;

interface RunResult {
  readonly code: number | null;
  readonly output: string;
  readonly lastLine: string;
}

async function plant(files: Record<string, string>): Promise<string> {
  const directory = await scratchDirectory("planted");
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  return directory;
}

function startRunner(directory: string, parameters: readonly string[] = []) {
  const child = spawn(process.execPath, [...runtimeFlags, runner, "--directory", directory, ...parameters], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, COSTOR_TEST_LEVEL: "quick" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const done = new Promise<RunResult>((resolve) => {
    child.once("close", (code) => resolve({ code, output, lastLine: output.trimEnd().split("\n").at(-1) ?? "" }));
  });
  return { child, done };
}

async function runPlanted(text: string, parameters: readonly string[] = []): Promise<RunResult> {
  return await startRunner(await plant({ "planted.test.ts": text }), parameters).done;
}

async function assertFails(text: string, reason: RegExp, parameters: readonly string[] = []): Promise<void> {
  const result = await runPlanted(text, parameters);
  assert.equal(result.code, 1, result.output);
  assert.match(result.output, reason);
  assert.match(result.lastLine, /^\d+ passed, [1-9]\d* failed(, \d+ skipped)?$/);
}

const test = suite("test runner");

test("sums the files and ends with the counts", async () => {
  const directory = await plant({
    "one.test.ts": `${head}test("a", () => {});\ntest("b", async () => {});\ntest.run();\n`,
    "deep/two.test.ts": `${head}test("c", () => {});\ntest.skip("d", "no such disk");\ntest("e", ({ skip }) => skip("no ACLs here"));\ntest.run();\n`,
  });
  const result = await startRunner(directory).done;
  assert.equal(result.code, 0, result.output);
  assert.equal(result.lastLine, "3 passed, 0 failed, 2 skipped");
  assert.match(result.output, /skipped planted: d: no such disk/);
  assert.match(result.output, /skipped planted: e: no ACLs here/);
});

test("runs only the files that the name filter matches, and fails when none does", async () => {
  const text = `${head}test("a", () => {});\ntest.run();\n`;
  const directory = await plant({ "one.test.ts": text, "two.test.ts": text });
  assert.equal((await startRunner(directory, ["two"]).done).lastLine, "1 passed, 0 failed");
  const none = await startRunner(directory, ["three"]).done;
  assert.deepEqual([none.code, none.lastLine], [1, "0 passed, 1 failed"]);
});

test("a failing test fails the run and prints how to run its file again", async () => {
  await assertFails(
    `${head}test("a", () => { throw new Error("planted"); });\ntest.run();\n`,
    /reproduce: \S*node .*planted\.test\.ts/,
  );
});

test("a thrown undefined is a failure", () =>
  assertFails(`${head}test("a", () => { throw undefined; });\ntest.run();\n`, /1 failed/));

test("an error in any hook is a failure", async () => {
  for (const hook of ["before", "after", "before.each", "after.each"]) {
    const text = `${head}test.${hook}(() => { throw new Error("hook broke"); });\ntest("a", () => {});\ntest.run();\n`;
    await assertFails(text, /hook broke/);
  }
});

test("a throwing after.each hides no failure of the test", async () => {
  const text = `${head}test.after.each(() => { throw new Error("hook broke"); });\ntest("a", () => { throw new Error("body broke"); });\ntest.run();\n`;
  await assertFails(text, /body broke[\s\S]*hook broke/);
});

test("a test that never ends is failed by its time-out", async () => {
  await assertFails(`${head}test("a", () => new Promise(() => {}));\ntest.run();\n`, /took longer than 200 ms/);
});

test("a file that never ends is failed by the overall time-out", async () => {
  await assertFails(`${head}test("a", () => { for (;;); });\ntest.run();\n`, /took longer than 1 s/, [
    "--file-timeout-ms",
    "1000",
  ]);
});

test("a handle left open after the last test is a failure", async () => {
  await assertFails(`${head}test("a", () => { setInterval(() => {}, 1000); });\ntest.run();\n`, /still alive/);
});

test("a process left behind is a failure, and is ended", async () => {
  const text = `import { spawn } from "node:child_process";\nimport { writeFileSync } from "node:fs";\n${head}test("a", () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    child.unref();
    writeFileSync(new URL("pid", import.meta.url), String(child.pid));
  });\ntest.run();\n`;
  const directory = await plant({ "planted.test.ts": text });
  const result = await startRunner(directory).done;
  assert.equal(result.code, 1, result.output);
  assert.match(result.output, /left processes behind: \d+ sleep 60/);
  const pid = Number(await readFile(join(directory, "pid"), "utf8"));
  assert.equal(await isRunning(pid), false);
});

test("a suite without .run() is a failure", () => assertFails(`${head}test("a", () => {});\n`, /is \.run\(\) missing/));

test("a leftover .only is a failure", () =>
  assertFails(`${head}test.only("a", () => {});\ntest("b", () => {});\ntest.run();\n`, /marked \.only/));

test("a file without tests is a failure", async () => {
  await assertFails(`${head}test.run();\n`, /no test was registered/);
  await assertFails(`console.log("9 passed, 0 failed");\n`, /no summary/);
});

test("a process that ends in the middle is a failure", async () => {
  await assertFails(
    `${head}test("a", () => {});\ntest("b", () => process.exit(0));\ntest.run();\n`,
    /did not run|exit code/,
  );
  await assertFails(`${head}test("a", () => process.kill(process.pid, "SIGKILL"));\ntest.run();\n`, /ended by SIGKILL/);
});

test("a promise that is rejected with nobody waiting is a failure", async () => {
  await assertFails(
    `${head}test("a", async () => { void Promise.reject(new Error("lost")); });\ntest.run();\n`,
    /lost/,
  );
});

test("a file that does not parse is a failure", () => assertFails(`${head}test("a"`, /SyntaxError/));

test("a stopped run ends its files and is a failure", async () => {
  const directory = await plant({
    "planted.test.ts": `import { writeFileSync } from "node:fs";\nwriteFileSync(new URL("pid", import.meta.url), String(process.pid));
      ${head}test("a", () => { console.log("started"); for (;;); });\ntest.run();\n`,
  });
  const { child, done } = startRunner(directory);
  let pid = 0;
  while (pid === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    pid = Number(await readFile(join(directory, "pid"), "utf8").catch(() => "0"));
  }
  child.kill("SIGTERM");
  const result = await done;
  assert.equal(result.code, 1, result.output);
  assert.match(result.output, /stopped by SIGTERM/);
  assert.equal(await isRunning(pid), false);
});

/** Whether a process runs; a zombie that nobody has reaped does not. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  return status !== undefined && !/\) [ZX] /.test(status);
}

test.run();
