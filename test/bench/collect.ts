/** The scenario `gc`: what a collection of a million primes takes of which three tenths are dead, and how long others wait meanwhile. */
import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

interface Filled {
  readonly primesCount: number;
  readonly segmentsBytes: number;
}

interface Collected {
  readonly totalMs: number;
  readonly cpuMs: number;
  readonly before: { readonly longestPutMs: number; readonly longestStartMs: number };
  readonly longestPutMs: number;
  readonly longestStartMs: number;
  readonly longestCpuMs: number;
  readonly beforeBytes: number;
  readonly peakBytes: number;
  readonly removedPrimesCount: number;
  readonly removedSegmentsCount: number;
  readonly freedBytes: number;
}

/** As the launcher gives it to a site. */
const siteEnvironment = { ...process.env, MALLOC_MMAP_THRESHOLD_: "131072" };

/** Prints a table. */
export async function benchCollect({ workFolder, isSmall }: { workFolder: string; isSmall: boolean }): Promise<void> {
  const directory = join(workFolder, "gc-store");
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const start = async <Result>(step: string, count: number): Promise<Result> => {
    const file = join(import.meta.dirname, "collecting-process.ts");
    const args = [...process.execArgv, file, step, directory, `${count}`];
    return JSON.parse((await run(process.execPath, args, { env: siteEnvironment })).stdout) as Result;
  };
  const filled = await start<Filled>("fill", isSmall ? 20_000 : 1_000_000);
  const collected = await start<Collected>("collect", 0);
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  console.log(`\ngc: ${filled.primesCount} primes in ${megabytes(filled.segmentsBytes)} MB, 30 % dead\n`);
  const heads = ["taken", "segments removed", "freed, MB", "all, s", "CPU, s", "a prime waited, s", "a session, s"];
  heads.push("processor time during a wait, s", "memory before, MB", "at most, MB");
  console.log(`| ${heads.join(" | ")} |\n|${"---|".repeat(heads.length)}`);
  const { removedPrimesCount, removedSegmentsCount, freedBytes, totalMs, cpuMs, before } = collected;
  const columns = [removedPrimesCount, removedSegmentsCount, megabytes(freedBytes), seconds(totalMs), seconds(cpuMs)];
  const waits = (["longestPutMs", "longestStartMs"] as const).map(
    (name) => `${seconds(before[name])} before, then ${seconds(collected[name])}`,
  );
  waits.push(seconds(collected.longestCpuMs));
  const memory = [collected.beforeBytes, collected.peakBytes].map(megabytes);
  console.log(`| ${[...columns, ...waits, ...memory].join(" | ")} |`);
  await rm(directory, { recursive: true, force: true });
}
