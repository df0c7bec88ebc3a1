/**
 * The scenarios `recover`, a lost site on a new machine from two holders, and `remote-restore`, its files at a third site that holds nothing.
 * See docs/benchmarks.md.
 */
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { costorPath } from "../../scripts/costor-process.ts";
import { rsyncDifferences } from "#test/support/rsync-compare.ts";
import { rescuedCorpus } from "./corpora.ts";
import { cpuSecondsOf, peakBytesOf } from "./measure.ts";
import { waitUntil } from "./patience.ts";
import { spawnOwned } from "./process-tree.ts";
import { spreadOf } from "./report.ts";
import { RescuedFederation, statusOf } from "./rescued-federation.ts";

export interface RescueOptions {
  readonly workFolder: string;
  readonly isSmall: boolean;
  readonly runCount: number;
}

/** Figures of one run, by what they are of. */
type Figures = Readonly<Record<string, number>>;

export async function benchRecover(options: RescueOptions): Promise<void> {
  await bench("recover", options, async (federation, { corpus, folder }) => {
    const { sites, made } = federation;
    const { lost, left, right } = sites;
    await federation.startAll(["left", "right"]);
    await rm(lost.data, { recursive: true });
    execFileSync("sync");
    const holders = [left, right].map((site) => cpuSecondsOf(site.pid!));
    const startMs = performance.now();
    const seconds = (): number => (performance.now() - startMs) / 1000;
    await lost.recover(lost.kit, made.members);
    const readySeconds = seconds();
    await lost.agentCommand(["restore", "latest", corpus.file, "--to", join(folder, "file")]);
    const fileSeconds = seconds();
    await waitUntil("all to be back", async () => {
      const { store } = await lost.call("stats", {});
      return store.primesCount >= made.primesCount && (await statusOf(lost)).comesBack === undefined;
    });
    const allSeconds = seconds();
    const peakBytes = peakBytesOf(lost.pid!);
    const cpuSeconds = cpuSecondsOf(lost.pid!);
    const holdersCpuSeconds = [left, right].map((site, at) => cpuSecondsOf(site.pid!) - holders[at]!);
    await lost.agentCommand(["restore", "latest", "--to", join(folder, "all")]);
    await compare(corpus.paths, join(folder, "all"));
    return {
      "ready, s": readySeconds,
      "first file of 10 MB, s": fileSeconds,
      "all, s": allSeconds,
      "MB/s": made.contentBytes / 1e6 / allSeconds,
      "of the first backup's rate": made.backupSeconds / allSeconds,
      "CPU of the site, s": cpuSeconds,
      "CPU of the holders, s": holdersCpuSeconds.reduce((sum, one) => sum + one, 0),
      "peak of the site, MB": peakBytes / 1e6,
    };
  });
}

export async function benchRemoteRestore(options: RescueOptions): Promise<void> {
  await bench("remote-restore", options, async (federation, { corpus, folder }) => {
    const { lost, helper } = federation.sites;
    await federation.startAll(["lost", "left", "right", "helper"]);
    const direct = await timed(["agent", "restore", "latest", "--to", join(folder, "direct"), ...configOf(lost)]);
    await lost.stop();
    await rm(lost.data, { recursive: true });
    const restore = ["federation", "restore", "--data", helper.data, "--kit", lost.kit];
    const files: Timed[] = [];
    for (let at = 0; at < FILE_RESTORES_COUNT; at++)
      files.push(await timed([...restore, "--path", corpus.file, "--tar", "-"]));
    const file = (of: (one: Timed) => number): number => spreadOf(files.map(of)).median;
    const all = await timed([...restore, "--target", join(folder, "all")]);
    await compare(corpus.paths, join(folder, "all"));
    return {
      "first byte of 10 MB, s": file(({ firstSeconds }) => firstSeconds),
      "CPU until then, s": file(({ firstCpuSeconds }) => firstCpuSeconds),
      "all 10 MB, s": file(({ seconds }) => seconds),
      "everything, s": all.seconds,
      "CPU for it, s": all.cpuSeconds,
      "direct, s": direct.seconds,
      "CPU, s": direct.cpuSeconds,
      "remote to direct": all.seconds / direct.seconds,
      "peak of the helper, MB": peakBytesOf(helper.pid!) / 1e6,
    };
  });
}

const configOf = (site: { readonly data: string }): string[] => [
  "--config",
  join(site.data, "..", "agent", "agent.yaml"),
];

const FILE_RESTORES_COUNT = 3;
/** An archive's header comes before any content. */
const HEADER_BYTES = 4096;

interface Timed {
  readonly seconds: number;
  /** Until the first content was printed. */
  readonly firstSeconds: number;
  readonly firstCpuSeconds: number;
  /** Of the command, and of all sites, which are processes of this one. */
  readonly cpuSeconds: number;
}

async function timed(words: readonly string[]): Promise<Timed> {
  execFileSync("sync");
  const cpu = (): number => cpuSecondsOf(process.pid);
  const before = cpu();
  const startMs = performance.now();
  const child = spawnOwned({ program: costorPath, arguments: words }, ["ignore", "pipe", "pipe"]);
  let [bytes, firstSeconds, firstCpuSeconds, said] = [0, Number.NaN, Number.NaN, ""];
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stdout!.on("data", (piece: Buffer) => {
    if (bytes <= HEADER_BYTES && bytes + piece.length > HEADER_BYTES) {
      firstSeconds = (performance.now() - startMs) / 1000;
      firstCpuSeconds = cpu() - before;
    }
    bytes += piece.length;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}: ${said.slice(-2000)}`);
  return { seconds: (performance.now() - startMs) / 1000, firstSeconds, firstCpuSeconds, cpuSeconds: cpu() - before };
}

async function compare(paths: readonly string[], restored: string): Promise<void> {
  for (const path of paths) {
    const differences = await rsyncDifferences(path, join(restored, path), { ignoresOwners: process.getuid?.() !== 0 });
    if (differences.length > 0) throw new Error(`what was restored differs: ${differences[0]}`);
  }
}

interface RunInit {
  readonly corpus: Awaited<ReturnType<typeof rescuedCorpus>>;
  /** For what is restored. */
  readonly folder: string;
}

/** Prints a line a run, and a table of medians. */
async function bench(
  name: string,
  { workFolder, isSmall, runCount }: RescueOptions,
  measure: (federation: RescuedFederation, init: RunInit) => Promise<Figures>,
): Promise<void> {
  const corpus = await rescuedCorpus(workFolder, isSmall);
  const runs: Figures[] = [];
  console.log(`\n${name}`);
  for (let runNumber = 1; runNumber <= runCount; runNumber++) {
    const folder = join(workFolder, `${name}-run`);
    {
      await using federation = await RescuedFederation.open(workFolder, corpus, folder);
      const { contentBytes, backupSeconds, backupCpuSeconds } = federation.made;
      if (runNumber === 1)
        console.log(
          `  ${(contentBytes / 1e6).toFixed(0)} MB; first backup ${backupSeconds.toFixed(1)} s, CPU ${backupCpuSeconds.toFixed(1)} s`,
        );
      const figures = await measure(federation, { corpus, folder });
      runs.push(figures);
      const shown = Object.entries(figures).map(([what, value]) => `${what}: ${value.toFixed(2)}`);
      console.log(`  run ${runNumber}: ${shown.join("; ")} (load ${loadavg()[0]!.toFixed(1)})`);
    }
    await rm(folder, { recursive: true, force: true });
  }
  const heads = Object.keys(runs[0]!);
  const medians = heads.map((head) => spreadOf(runs.map((run) => run[head]!)).median.toFixed(2));
  console.log(`\n| ${heads.join(" | ")} |\n|${"---|".repeat(heads.length)}\n| ${medians.join(" | ")} |`);
}
