/**
 * Runs one test file in a process group of its own and judges it: a file passes only when its summary says that every
 * test passed or was skipped for a reason, it exits with 0 in time, and it leaves no process behind.
 */
import { spawn } from "node:child_process";
import { chmod } from "node:fs/promises";
import { readdirSync, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { runtimeFlags } from "./runtime-flags.ts";
import { removeTrees, scratchDirectory } from "./scratch.ts";
import type { SuiteSummary } from "./suite.ts";

export interface FileRun {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: SuiteSummary["skipped"];
  readonly durationMs: number;
  /** Why the file fails; empty when it passed. */
  readonly reasons: readonly string[];
  readonly output: string;
}

export interface FileRunOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A program gets this long to end after SIGTERM before SIGKILL. */
const graceMs = 2_000;
const outputBytes = 512 * 1024;
/** A child that was told to end may need a moment after its parent. */
const leftoverMs = 1_000;

export async function runTestFile(path: string, options: FileRunOptions): Promise<FileRun> {
  const startedMs = performance.now();
  const scratch = await scratchDirectory("file");
  // A test that drops its rights must get through to directories that it opens for itself.
  await chmod(scratch, 0o755);
  const child = spawn(process.execPath, [...runtimeFlags, path], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, COSTOR_TEST_SCRATCH: scratch, COSTOR_TEST_SUMMARY_FD: "3" },
  });
  const group = child.pid;
  const reasons: string[] = [];
  const output = collect([child.stdout as Readable, child.stderr as Readable]);
  const summaryText = collect([child.stdio[3] as Readable]);
  const exited = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(`could not start: ${error.message}`));
    child.once("exit", (code, signal) =>
      resolve(code === 0 ? undefined : signal ? `ended by ${signal}` : `exit code ${code}`),
    );
  });

  let exitReason: string | undefined;
  if (group === undefined) exitReason = await exited;
  else {
    const expiry = new AbortController();
    const stop = AbortSignal.any([options.signal, expiry.signal]);
    const timer = setTimeout(() => {
      reasons.push(`took longer than ${options.timeoutMs / 1000} s`);
      expiry.abort();
    }, options.timeoutMs);
    const onStop = () => void endGroup(group);
    stop.addEventListener("abort", onStop);
    if (stop.aborted) onStop();
    exitReason = await exited;
    clearTimeout(timer);
    stop.removeEventListener("abort", onStop);
    const leftover = await leftoverOf(group);
    if (leftover.length > 0) {
      if (!stop.aborted) reasons.push(`left processes behind: ${leftover.join("; ")}`);
      await endGroup(group);
    }
  }
  if (exitReason !== undefined) reasons.push(exitReason);
  const summary = parseSummary(summaryText());
  reasons.push(...judge(summary));
  removeTrees([scratch]);
  const passed = summary?.passed ?? 0;
  const failed = reasons.length === 0 ? 0 : Math.max(1, summary?.failed ?? 0);
  return {
    passed,
    failed,
    skipped: summary?.skipped ?? [],
    durationMs: performance.now() - startedMs,
    reasons,
    output: output(),
  };
}

function judge(summary: SuiteSummary | undefined): string[] {
  if (summary === undefined) return ["no summary: is test/support/suite.ts in use?"];
  const reasons: string[] = [];
  const skippedCount = summary.skipped.length;
  if (summary.total === 0) reasons.push("no test was registered");
  if (summary.only > 0) reasons.push("a test is marked .only");
  if (summary.failed > 0) reasons.push(`${summary.failed} failed`);
  const missingCount = summary.total - summary.passed - summary.failed - skippedCount;
  if (missingCount > 0) reasons.push(`${missingCount} of ${summary.total} tests did not run: is .run() missing?`);
  return reasons;
}

function parseSummary(text: string): SuiteSummary | undefined {
  try {
    return JSON.parse(text) as SuiteSummary;
  } catch {
    return undefined;
  }
}

/** Keeps the first and the last half of what the streams said, at most `outputBytes` of it. */
function collect(streams: readonly Readable[]): () => string {
  let head = "";
  let tail = "";
  for (const stream of streams) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      if (head.length < outputBytes / 2) head += text;
      else tail = (tail + text).slice(-outputBytes / 2);
    });
    stream.on("error", () => {});
  }
  return () => head + tail;
}

async function endGroup(group: number): Promise<void> {
  signalGroup(group, "SIGTERM");
  for (let waitedMs = 0; waitedMs < graceMs; waitedMs += 50) {
    if (liveProcesses(group).length === 0) return;
    await delay(50);
  }
  signalGroup(group, "SIGKILL");
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function leftoverOf(group: number): Promise<string[]> {
  for (let waitedMs = 0; waitedMs < leftoverMs; waitedMs += 50) {
    if (liveProcesses(group).length === 0) return [];
    await delay(50);
  }
  return liveProcesses(group);
}

/** The processes of a group that still run, zombies left out, each as its command line. */
export function liveProcesses(group: number): string[] {
  if (process.platform !== "linux") return groupExists(group) ? [`process group ${group}`] : [];
  if (!groupExists(group)) return [];
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // The command name stands in parentheses and may hold anything, so the fields count from the last one.
      const [state, , processGroup] = readFileSync(`/proc/${name}/stat`, "latin1").split(") ").at(-1)!.split(" ");
      if (Number(processGroup) !== group || state === "Z" || state === "X") return [];
      return [`${name} ${readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim()}`];
    } catch {
      return [];
    }
  });
}

function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}
