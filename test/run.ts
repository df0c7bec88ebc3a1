/**
 * The test runner: each file in its own process, one more at a time than there are cores, since many wait for the disk or for
 * another process. The last line is `N passed, N failed`, with
 * `, N skipped` after it when there are any, and the exit code is 0 only when nothing failed.
 *
 * Usage: test/run.ts [--full] [--jobs N] [--directory DIR] [--file-timeout-ms N] [NAME…]
 * A NAME runs the files whose path contains it.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { interruptionSignal } from "#terminal/interruption.ts";
import { type FileRun, runTestFile } from "./support/file-run.ts";
import { installTestPrograms } from "./support/test-programs.ts";

const root = resolve(import.meta.dirname, "..");
/** Folders whose files take longest go first, so that the lanes end together. */
const slowFolders = ["crash", "faults", "integration", "property", "simulation"];

const { values, positionals } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    jobs: { type: "string", default: `${availableParallelism() + 1}` },
    directory: { type: "string", default: import.meta.dirname },
    "file-timeout-ms": { type: "string" },
  },
  allowPositionals: true,
});
const full = values.full || process.env["COSTOR_TEST_LEVEL"] === "full";
process.env["COSTOR_TEST_LEVEL"] = full ? "full" : "quick";
const timeoutMs = Number(values["file-timeout-ms"] ?? (full ? 90 : 20) * 60_000);
const directory = resolve(values.directory);

const files = globSync("**/*.test.ts", { cwd: directory })
  .filter((file) => positionals.length === 0 || positionals.some((name) => file.includes(name)))
  .sort((a, b) => weight(a) - weight(b) || (a < b ? -1 : 1));

function weight(file: string): number {
  return slowFolders.some((folder) => file.startsWith(`${folder}/`)) ? 0 : 1;
}

const stopSignal = interruptionSignal();
if (directory === import.meta.dirname) installTestPrograms();

const totals = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

function report(file: string, run: FileRun): void {
  totals.passed += run.passed;
  totals.failed += run.failed;
  totals.skipped += run.skipped.length;
  const counted = [
    `${run.passed} passed`,
    run.failed > 0 && `${run.failed} failed`,
    run.skipped.length > 0 && `${run.skipped.length} skipped`,
  ];
  const line = `${file}: ${counted.filter(Boolean).join(", ")} (${(run.durationMs / 1000).toFixed(1)} s)`;
  const lines = [`${run.reasons.length === 0 ? "ok  " : "FAIL"} ${line}`];
  if (run.reasons.length > 0) {
    const flags = process.execArgv.length > 0 ? `${process.execArgv.join(" ")} ` : "";
    const path = relative(process.cwd(), resolve(directory, file));
    const command = `${full ? "COSTOR_TEST_LEVEL=full " : ""}${relative(process.cwd(), process.execPath)} ${flags}${path}`;
    failures.push(`${file}: ${run.reasons.join("; ")}\n  reproduce: ${command}`);
    lines.push(run.output.trimEnd(), ...run.reasons.map((reason) => `  ${reason}`));
  }
  lines.push(...run.skipped.map(({ title, reason }) => `  skipped ${title}: ${reason}`));
  process.stdout.write(`${lines.join("\n")}\n`);
}

const queue = [...files];
async function lane(): Promise<void> {
  for (let file = queue.shift(); file !== undefined && !stopSignal.aborted; file = queue.shift()) {
    report(file, await runTestFile(resolve(directory, file), { timeoutMs, signal: stopSignal }));
  }
}
await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, lane));

if (files.length === 0)
  failures.push(
    `no test file under ${relative(root, directory) || "."} matches ${positionals.join(", ") || "**/*.test.ts"}`,
  );
if (stopSignal.aborted) failures.push(`${(stopSignal.reason as Error).message}, with ${queue.length} files not run`);
for (const failure of failures) process.stdout.write(`\nfailed: ${failure}\n`);
if (failures.length > 0) {
  // A run without a file, or a stopped one, is a failure of its own.
  if (totals.failed === 0) totals.failed = 1;
  process.exitCode = 1;
}
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed${skipped}\n`);
