/**
 * What a command cost: wall time, CPU of both sides, peak memory of each side.
 *
 * The command runs under GNU time, whose figures are the kernel's own (`wait4`) and include every child that was waited
 * for. The server goes on living, so its CPU is the difference of `/proc/PID/stat` before and after, all threads and
 * children counted, and its peak is VmHWM, set back to the present size before the command starts.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, spawnOwned } from "./process-tree.ts";

export interface Command {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Measurement {
  readonly wallSeconds: number;
  readonly clientCpuSeconds: number;
  readonly serverCpuSeconds: number;
  /** Both sides' user and system time. */
  readonly cpuSeconds: number;
  readonly clientPeakBytes: number;
  readonly serverPeakBytes: number;
  readonly output: string;
}

const timeProgram = "/usr/bin/time";
const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** Runs `command` to its end and counts it and the server process. Throws with its last output when it fails. */
export async function measure(command: Command, serverPid: number): Promise<Measurement> {
  if (!existsSync(timeProgram)) throw new Error(`the bench needs GNU time as ${timeProgram} (package "time")`);
  const folder = await mkdtemp(join(tmpdir(), "costor-measure-"));
  const figures = join(folder, "figures");
  try {
    resetPeak(serverPid);
    const serverBefore = cpuSecondsOf(serverPid);
    const started = performance.now();
    const { exitCode, output } = await run({
      ...command,
      program: timeProgram,
      arguments: ["-q", "-o", figures, "-f", "%U %S %M", command.program, ...command.arguments],
    });
    const wallSeconds = (performance.now() - started) / 1_000;
    const serverCpuSeconds = cpuSecondsOf(serverPid) - serverBefore;
    if (exitCode !== 0) {
      const line = [command.program, ...command.arguments].join(" ");
      throw new Error(`${line}\nended with exit code ${exitCode}; its last words:\n${output.slice(-2_000)}`);
    }
    const [userSeconds, systemSeconds, peakKibibytes] = (await readFile(figures, "utf8")).trim().split(" ").map(Number);
    const clientCpuSeconds = userSeconds! + systemSeconds!;
    return {
      wallSeconds,
      clientCpuSeconds,
      serverCpuSeconds,
      cpuSeconds: clientCpuSeconds + serverCpuSeconds,
      clientPeakBytes: peakKibibytes! * 1_024,
      serverPeakBytes: peakBytesOf(serverPid),
      output,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What two processes that go on living took for `work`. */
export interface SidesMeasurement {
  readonly wallSeconds: number;
  readonly cpuSeconds: readonly number[];
  readonly peakBytes: readonly number[];
}

export async function measureSides(pids: readonly number[], work: () => Promise<void>): Promise<SidesMeasurement> {
  pids.forEach(resetPeak);
  const before = pids.map(cpuSecondsOf);
  const startedMs = performance.now();
  await work();
  const wallSeconds = (performance.now() - startedMs) / 1_000;
  const cpuSeconds = pids.map((pid, at) => cpuSecondsOf(pid) - before[at]!);
  return { wallSeconds, cpuSeconds, peakBytes: pids.map(peakBytesOf) };
}

/** How a command ended: `output` holds what it printed on both streams, `printed` standard output alone. */
export interface Ending {
  readonly exitCode: number | null;
  readonly output: string;
  readonly printed: string;
}

export function run(command: Command): Promise<Ending> {
  const child = spawnOwned(command, ["ignore", "pipe", "pipe"]);
  let output = "";
  let printed = "";
  child.stdout!.setEncoding("utf8").on("data", (piece: string) => {
    output += piece;
    printed += piece;
  });
  child.stderr!.setEncoding("utf8").on("data", (piece: string) => (output += piece));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, output, printed }));
  });
}

/** User and system time of a process, its children that it waited for, and its living children. */
export function cpuSecondsOf(pid: number): number {
  const fields = statusFields(pid);
  // Counted from field 3 of proc(5): utime, stime, cutime, cstime are fields 14 to 17.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return childrenOf(pid).reduce((sum, child) => sum + cpuSecondsOf(child), ticks / ticksPerSecond);
}

/** The fields of /proc/PID/stat after the command's name, which may hold spaces and parentheses. */
function statusFields(pid: number): string[] {
  const line = readFileSync(`/proc/${pid}/stat`, "latin1");
  return line.slice(line.lastIndexOf(")") + 2).split(" ");
}

/** The largest resident size since the last reset, of the server and its children together (an upper bound). */
export function peakBytesOf(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  const ownBytes = match === null ? 0 : Number(match[1]) * 1_024;
  return childrenOf(pid).reduce((sum, child) => sum + peakBytesOf(child), ownBytes);
}

function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  for (const child of childrenOf(pid)) resetPeak(child);
}

/** Bytes that a folder takes on its file system (allocated blocks, folders included). */
export function allocatedBytes(folder: string): number {
  return Number(execFileSync("du", ["-s", "--block-size=1", folder], { encoding: "utf8" }).split("\t")[0]);
}
