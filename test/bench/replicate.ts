/**
 * The scenario `replicate`: as many bytes from one process to another by libp2p alone, by two CoStor sites, and by two Syncthings. Runs
 * alternate, each with an empty destination; the destination's bytes are read and compared. See docs/benchmarks.md.
 */
import { execFileSync } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { measureSides, type SidesMeasurement } from "./measure.ts";
import { spreadOf } from "./report.ts";
import { primeSizes } from "./replicated-primes.ts";
import { ReplicatingSites } from "./replicating-costor.ts";
import { startRawStream } from "./replicating-libp2p.ts";
import { startSyncthing, writeFiles } from "./replicating-syncthing.ts";

/** Two processes, ready to begin. */
export interface Replicating extends AsyncDisposable {
  /** Of who sends and who receives. */
  readonly pids: readonly [number, number];
  /** Resolves when the receiver has all, durably where it keeps anything. */
  replicate(): Promise<void>;
  /** Ends both, and throws when what was received is not what was sent. */
  verify(): Promise<void>;
}

export interface ReplicateOptions {
  readonly workFolder: string;
  readonly isSmall: boolean;
  readonly runCount: number;
}

const LARGE_BYTES = 1_400_000_000;
const SMALL_BYTES = 20_000_000;

/** Prints a table. Needs `syncthing`. */
export async function benchReplicate({ workFolder, isSmall, runCount }: ReplicateOptions): Promise<void> {
  const folder = join(workFolder, "replicate");
  await rm(folder, { recursive: true, force: true });
  const bytes = isSmall ? SMALL_BYTES : LARGE_BYTES;
  const sizes = primeSizes(bytes);
  console.log(`\nreplicate: ${sizes.length} primes, ${(bytes / 1e6).toFixed(0)} MB`);
  const files = join(folder, "files");
  await mkdir(files, { recursive: true });
  await writeFiles(files, sizes);
  const sites = await ReplicatingSites.prepare(join(folder, "sites"), sizes);
  const programs: Readonly<Record<string, (runFolder: string) => Promise<Replicating>>> = {
    libp2p: () => startRawStream(bytes),
    costor: (runFolder) => sites.start(runFolder),
    syncthing: (runFolder) => startSyncthing(runFolder, files, sizes),
  };
  const measured: Record<string, SidesMeasurement[]> = {};
  for (let runNumber = 1; runNumber <= runCount; runNumber++) {
    const order = Object.entries(programs);
    for (const [name, start] of runNumber % 2 === 1 ? order : order.toReversed()) {
      const runFolder = join(folder, `run-${runNumber}-${name}`);
      await mkdir(runFolder);
      await using replicating = await start(runFolder);
      execFileSync("sync");
      const sides = await measureSides(replicating.pids, () => replicating.replicate());
      (measured[name] ??= []).push(sides);
      console.log(`  run ${runNumber} ${name.padEnd(9)} ${lineOf(sides, bytes)} (load ${loadavg()[0]!.toFixed(1)})`);
      await replicating.verify();
      await rm(runFolder, { recursive: true });
    }
  }
  console.log(`\n${tableOf(measured, bytes)}`);
  await rm(folder, { recursive: true });
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

function lineOf({ wallSeconds, cpuSeconds, peakBytes }: SidesMeasurement, bytes: number): string {
  const [cpu, peak] = [cpuSeconds.map((one) => one.toFixed(1)), peakBytes.map(megabytes)];
  const rate = megabytes(bytes / wallSeconds);
  return `${wallSeconds.toFixed(1)} s, ${rate} MB/s, CPU ${cpu.join(" + ")} s, peaks ${peak.join(" + ")} MB`;
}

/** Medians; ratios of pairs of runs, with the least and the most. */
function tableOf(measured: Readonly<Record<string, readonly SidesMeasurement[]>>, bytes: number): string {
  const lines = [
    "| program | s | MB/s | CoStor's speed to it | CPU of sender and receiver, s | peaks, MB |",
    "|---|---|---|---|---|---|",
  ];
  const median = (values: readonly number[]): number => spreadOf(values).median;
  const own = measured["costor"]!;
  for (const [name, runs] of Object.entries(measured)) {
    const seconds = median(runs.map((one) => one.wallSeconds));
    const side = (of: (one: SidesMeasurement) => readonly number[], show: (value: number) => string): string =>
      [0, 1].map((at) => show(median(runs.map((one) => of(one)[at]!)))).join(" + ");
    const ratios = spreadOf(runs.map((one, at) => one.wallSeconds / own[at]!.wallSeconds));
    const [least, middle, most] = [ratios.least, ratios.median, ratios.most].map((ratio) => ratio.toFixed(2));
    const cpu = side(
      (one) => one.cpuSeconds,
      (value) => value.toFixed(1),
    );
    const ratio = name === "costor" ? "" : `${middle} (${least}–${most})`;
    const peaks = side((one) => one.peakBytes, megabytes);
    lines.push(`| ${name} | ${seconds.toFixed(1)} | ${megabytes(bytes / seconds)} | ${ratio} | ${cpu} | ${peaks} |`);
  }
  return lines.join("\n");
}
