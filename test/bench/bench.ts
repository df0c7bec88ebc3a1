/**
 * `npm run bench`: CoStor beside the programs that it is compared with, over the same trees, on this machine.
 * Runs alternate, each from an empty store; the tree is in the page cache; figures are medians. See docs/benchmarks.md.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { benchCollect } from "./collect.ts";
import { corpusCounts } from "./corpora.ts";
import { costorContender } from "./costor-contender.ts";
import type { Contender } from "./contender.ts";
import { Leftovers } from "./leftovers.ts";
import { markdownTable, memoryGrowth, summarise } from "./report.ts";
import { benchReconcile } from "./reconcile.ts";
import { benchReplicate } from "./replicate.ts";
import { benchRecover, benchRemoteRestore } from "./rescue.ts";
import { resticContender } from "./restic-contender.ts";
import { scenarios, type Scenario } from "./scenarios.ts";
import { benchSpread } from "./spread.ts";
import { Trial, type Sample } from "./trial.ts";

const usage = `Usage: npm run bench -- [options]
  --scenario NAME   one of ${scenarios.map((scenario) => scenario.name).join(", ")},
                    or reconcile, which compares two sets of ids and nothing else,
                    or replicate, which moves 1.4 GB to another site, beside libp2p alone and Syncthing,
                    or recover, which brings a lost site with 1.4 GB back from two others,
                    or remote-restore, which restores its files at a site that keeps none of them,
                    or gc, which takes 30 % of a million primes while others are sent,
                    or spread, which times an entry of the ledger on its way to 49 other sites
                    (may be repeated; default: ${scenarios
                      .filter((one) => one.isDefault)
                      .map((one) => one.name)
                      .join(", ")})
  --runs N          runs of each program and scenario, alternating (default 5, with --small 1)
  --peers LIST      programs to compare with: restic (default), or none
  --small           small trees, for a quick look or a test; its figures say nothing about speed
  --work DIR        where trees and stores are kept (default /var/tmp/costor-bench; 40 GB free for everything)
  --json FILE       where the figures go (default DIR/bench.json)`;

interface BenchOptions {
  readonly collects: boolean;
  readonly comparesSets: boolean;
  readonly replicates: boolean;
  readonly spreads: boolean;
  readonly recovers: boolean;
  readonly restoresRemotely: boolean;
  readonly scenarios: readonly Scenario[];
  readonly runCount: number;
  readonly peers: readonly string[];
  readonly isSmall: boolean;
  readonly workFolder: string;
  readonly jsonFile: string;
}

class UsageError extends Error {}

function parseOptions(words: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      scenario: { type: "string", multiple: true },
      runs: { type: "string" },
      peers: { type: "string", default: "restic" },
      small: { type: "boolean", default: false },
      work: { type: "string", default: "/var/tmp/costor-bench" },
      json: { type: "string" },
    },
  });
  const comparesSets = values.scenario?.includes("reconcile") ?? false;
  const spreads = values.scenario?.includes("spread") ?? false;
  const recovers = values.scenario?.includes("recover") ?? false;
  const restoresRemotely = values.scenario?.includes("remote-restore") ?? false;
  const collects = values.scenario?.includes("gc") ?? false;
  const replicates = values.scenario?.includes("replicate") ?? false;
  const chosen =
    values.scenario?.flatMap((name) => {
      if (["gc", "reconcile", "recover", "remote-restore", "replicate", "spread"].includes(name)) return [];
      const found = scenarios.find((scenario) => scenario.name === name);
      if (found === undefined) throw new UsageError(`there is no scenario ${name}`);
      return found;
    }) ?? scenarios.filter((scenario) => scenario.isDefault);
  const runCount = Number(values.runs ?? (values.small ? 1 : 5));
  if (!Number.isInteger(runCount) || runCount < 1) throw new UsageError("--runs takes a whole number from 1");
  const peers = values.peers === "none" ? [] : values.peers.split(",");
  if (peers.some((name) => name !== "restic")) throw new UsageError("--peers takes restic or none");
  const workFolder = resolve(values.work);
  const jsonFile = resolve(values.json ?? join(workFolder, "bench.json"));
  return {
    ...{
      collects,
      comparesSets,
      replicates,
      spreads,
      recovers,
      restoresRemotely,
      scenarios: chosen,
      runCount,
      peers,
      isSmall: values.small,
      workFolder,
      jsonFile,
    },
  };
}

/** Runs everything and returns the exit code: 1 when a restore of CoStor's differed. */
async function bench(options: BenchOptions): Promise<number> {
  const { workFolder, isSmall, runCount } = options;
  if (options.comparesSets) await benchReconcile({ isSmall });
  if (options.collects) await benchCollect(options);
  if (options.spreads) await benchSpread({ isSmall });
  if (options.replicates) await benchReplicate({ workFolder, isSmall, runCount });
  if (options.recovers) await benchRecover(options);
  if (options.restoresRemotely) await benchRemoteRestore(options);
  if (options.scenarios.length === 0) return 0;
  await mkdir(workFolder, { recursive: true });
  const contenders: Contender[] = [costorContender(), ...options.peers.map(() => resticContender())];
  const samples: Sample[] = [];
  const differences: Record<string, string[]> = {};
  const corpora: Record<string, ReturnType<typeof corpusCounts>> = {};
  const leftovers = new Leftovers(join(workFolder, "trials"), isSmall ? 0 : undefined);
  await leftovers.clear();

  for (const scenario of options.scenarios) {
    console.log(`\n${scenario.name}: ${scenario.title}`);
    const prepared = await scenario.prepare(workFolder, isSmall);
    for (const corpus of prepared.corpora) {
      const counts = (corpora[corpus.name] = corpusCounts(corpus));
      const { fileCount, directoryCount, contentBytes } = counts;
      console.log(
        `  ${corpus.name}: ${fileCount} files, ${directoryCount} directories, ${(contentBytes / 1e6).toFixed(1)} MB`,
      );
    }
    for (let runNumber = 1; runNumber <= runCount; runNumber++) {
      // Who goes first alternates too, so that neither always finds the machine as the other left it.
      for (const contender of runNumber % 2 === 1 ? contenders : contenders.toReversed()) {
        await using trial = await Trial.open(contender, {
          scenario: scenario.name,
          runNumber,
          folder: await leftovers.newFolder(`${scenario.name}-${runNumber}-${contender.name}`),
          comparesRestores: runNumber === 1,
          onSample: (sample) => {
            samples.push(sample);
            console.log(`  ${sampleLine(sample)}`);
          },
        });
        await prepared.steps(trial);
        if (trial.differences.length > 0) {
          differences[`${scenario.name}, ${contender.name}`] = trial.differences;
          console.log(`  ${contender.name}: the restore differs in ${trial.differences.length} places, the first:`);
          for (const line of trial.differences.slice(0, 10)) console.log(`    ${line}`);
        }
      }
    }
  }

  await leftovers.clear({ isLast: true });
  const summaries = summarise(samples);
  const growth = memoryGrowth(summaries);
  const missed = summaries.flatMap(({ scenario, step, missed: ones }) =>
    ones.map((one) => `${scenario}, ${step}: ${one}`),
  );
  console.log(`\n${markdownTable(summaries)}`);
  for (const line of growth) console.log(line);
  if (!isSmall) console.log(missed.length === 0 ? "\nEvery goal is met." : `\nMissed:\n  ${missed.join("\n  ")}`);
  const machine = {
    cpu: cpus()[0]?.model,
    cpuCount: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
  };
  const report = {
    madeAt: new Date().toISOString(),
    isSmall,
    runCount,
    machine,
    corpora,
    summaries,
    growth,
    missed,
    differences,
    samples,
  };
  await writeFile(options.jsonFile, JSON.stringify(report, undefined, 1));
  console.log(`Figures: ${options.jsonFile}`);
  return Object.keys(differences).some((key) => key.endsWith(", costor")) ? 1 : 0;
}

function sampleLine(sample: Sample): string {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  return [
    `run ${sample.runNumber} ${sample.contender.padEnd(7)} ${sample.step.padEnd(17)}`,
    `wall ${sample.wallSeconds.toFixed(2)} s, CPU ${sample.clientCpuSeconds.toFixed(2)} + ${sample.serverCpuSeconds.toFixed(2)} s`,
    `peak ${megabytes(sample.clientPeakBytes)} + ${megabytes(sample.serverPeakBytes)}`,
    `stored ${megabytes(sample.storedBytes)} (load ${loadavg()[0]!.toFixed(1)})`,
  ].join(", ");
}

// Ending by `exit` takes the servers and commands along.
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.once(signal, () => process.exit(exitCode));
}

try {
  process.exitCode = await bench(parseOptions(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS");
  console.error(`bench: ${(error as Error).message}`);
  if (isUsage) console.error(usage);
  process.exitCode = isUsage ? 2 : 1;
}
