/**
 * `npm run check`: everything that can be said about the sources without running the product, in under a minute.
 * Each step runs in a process of its own, two at a time; a step that fails shows its output.
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { interruptionSignal } from "#terminal/interruption.ts";
import { formatDuration } from "#terminal/quantities.ts";

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => resolve(root, "node_modules/.bin", name);
const node = (...parameters: string[]) => [process.execPath, ...process.execArgv, ...parameters];

/** What each step is for, and its command line. The tools run under this Node, whatever the machine has. */
const steps: readonly (readonly [string, readonly string[]])[] = [
  ["unused files, exports and dependencies", node(bin("knip"), "--no-progress")],
  ["types", node(bin("tsc"), "-p", ".")],
  ["lint and import directions", node(bin("oxlint"))],
  ["format", node(bin("oxfmt"), "--check")],
  ["architecture and documents", node("test/run.ts", "--directory", "test/architecture")],
];

const signal = interruptionSignal();
const queue = [...steps];
let failedCount = 0;

async function lane(): Promise<void> {
  for (let step = queue.shift(); step !== undefined && !signal.aborted; step = queue.shift()) {
    const [title, [command, ...parameters]] = step;
    const startedMs = performance.now();
    const { ok, output } = await run(command!, parameters);
    const line = `${title} (${formatDuration(performance.now() - startedMs)})`;
    if (!ok) failedCount++;
    process.stdout.write(ok ? `ok   ${line}\n` : `FAIL ${line}\n${output.trimEnd()}\n`);
  }
}

async function run(command: string, parameters: readonly string[]): Promise<{ ok: boolean; output: string }> {
  const child = spawn(command, parameters, { cwd: root, stdio: ["ignore", "pipe", "pipe"], signal });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  return await new Promise((done) => {
    child.once("error", (error) => done({ ok: false, output: String(error) }));
    child.once("close", (code) => done({ ok: code === 0, output }));
  });
}

await Promise.all([lane(), lane()]);
const passedCount = steps.length - queue.length - failedCount;
process.stdout.write(`\n${passedCount} of ${steps.length} checks passed\n`);
process.exitCode = passedCount === steps.length ? 0 : 1;
