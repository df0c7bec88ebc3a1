/**
 * The long battery: `npm run soak -- --kills N --states N --seeds N --sim N`.
 *
 * - kills: processes of site and agent killed, as in test/faults/kills.test.ts
 * - states: states that a crash could leave of what a site keeps, as in test/faults/crash-states.test.ts
 * - seeds: for each, one run of every other file that takes a seed: full disks, failing calls, damage, bad networks
 * - sim: seeds of the simulator, short runs of small federations under all kinds of faults, as in test/simulation
 * - dense: one dense file of so many gigabytes, as in test/integration/dense-file.test.ts
 *
 * What is done is written down after each part, in `.costor/soak` unless --directory says otherwise: the same command
 * goes on where it stopped, and a larger number goes on from there. --fresh begins again. A failure is written down with
 * the command that repeats it, and the soak goes on; the exit code is 0 when there was none.
 */
import { spawn } from "node:child_process";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { inspect, parseArgs } from "node:util";
import { interruptionSignal } from "#terminal/interruption.ts";
import { KillHistogram } from "./faults/kill-histogram.ts";
import { killTargets } from "./faults/kill-targets.ts";
import { runKillRounds } from "./faults/kill-rounds.ts";
import { type SimTotals, addSeeds, describeSim, noSimTotals, runSeeds as runSimSeeds } from "./simulation/sim-soak.ts";
import { runtimeFlags } from "./support/runtime-flags.ts";

const root = resolve(import.meta.dirname, "..");
const killsPerPartCount = killTargets.length;
const statesPerPartCount = 500;
/** A process runs several times as fast once its code is compiled. */
const seedsPerProcessCount = 40;
/** The files that one seed runs, and the variable that each takes it from. */
const seededFiles = {
  "test/faults/disk-full.test.ts": "COSTOR_DISK_SEED",
  "test/faults/system-calls.test.ts": "COSTOR_CALLS_SEED",
  "test/faults/damage.test.ts": "COSTOR_DAMAGE_SEED",
  "test/faults/network.test.ts": "COSTOR_NETWORK_SEED",
} as const;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "0" },
    states: { type: "string", default: "0" },
    seeds: { type: "string", default: "0" },
    dense: { type: "string", default: "0" },
    sim: { type: "string", default: "0" },
    processes: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    directory: { type: "string", default: join(root, ".costor/soak") },
    fresh: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const wanted = {
  kills: Number(values.kills),
  states: Number(values.states),
  seeds: Number(values.seeds),
  dense: Number(values.dense),
  sim: Number(values.sim),
};
const processesCount = Math.max(1, Number(values.processes));
const firstSeed = Number(values.seed);
const usage = `usage: npm run soak -- [--kills N] [--states N] [--seeds N] [--sim N] [--dense GB] [--seed FIRST] [--directory DIR] [--fresh]
  --kills N        kill processes of site and agent N times
  --states N       open a site's store in N states that a crash could leave
  --seeds N        run full disks, failing calls, damage and bad networks with N seeds each
  --sim N          run N seeds of the simulator
  --processes N    so many of them at once (2)
  --dense GB       back up and restore one dense file of so many gigabytes; takes twice that of the disk
  --seed FIRST     the first seed (1)
  --directory DIR  where what is done is written down (.costor/soak): the same command goes on from there
  --fresh          begin again
`;
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
if (Object.values({ ...wanted, firstSeed }).some((count) => !Number.isSafeInteger(count) || count < 0)) {
  process.stderr.write(usage);
  process.exit(2);
}

interface Progress {
  readonly firstSeed: number;
  kills: number;
  killCounts: [string, number][];
  states: number;
  seeds: number;
  /** Gigabytes of the largest file. */
  dense: number;
  sim: SimTotals;
  readonly failures: { what: string; again: string; message: string }[];
}

const progressFile = join(values.directory, "progress.json");
const signal = interruptionSignal();
const progress = await readProgress();

async function readProgress(): Promise<Progress> {
  const none: Progress = {
    firstSeed,
    kills: 0,
    killCounts: [],
    states: 0,
    seeds: 0,
    dense: 0,
    sim: noSimTotals(),
    failures: [],
  };
  if (values.fresh) return none;
  const text = await readFile(progressFile, "utf8").catch(() => undefined);
  const known = text === undefined ? none : (JSON.parse(text) as Progress);
  return known.firstSeed === firstSeed ? { ...none, ...known } : none;
}

async function writeProgress(): Promise<void> {
  await mkdir(values.directory, { recursive: true });
  await writeFile(`${progressFile}.new`, JSON.stringify(progress, undefined, 2));
  await rename(`${progressFile}.new`, progressFile);
}

const say = (text: string): void => void process.stdout.write(`${new Date().toISOString()} ${text}\n`);

/** Runs a part; a failure is noted with what repeats it. An interruption is none. */
async function attempt(what: string, again: string, part: () => Promise<void>): Promise<void> {
  signal.throwIfAborted();
  try {
    await part();
  } catch (error) {
    signal.throwIfAborted();
    noteFailure(what, again, inspect(error).slice(0, 20_000));
  }
}

function noteFailure(what: string, again: string, message: string): void {
  progress.failures.push({ what, again, message });
  say(`FAILED ${what}\n${message}\n  again: ${again}`);
}

const nodeCommand = (file: string, environment: Readonly<Record<string, string>>): string =>
  [
    ...Object.entries(environment).map((entry) => entry.join("=")),
    relative(process.cwd(), process.execPath),
    ...runtimeFlags,
    file,
  ].join(" ");

async function runFile(file: string, environment: Readonly<Record<string, string>>): Promise<void> {
  await attempt(file, nodeCommand(file, environment), async () => {
    const child = spawn(process.execPath, [...runtimeFlags, file], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    const stop = (): void => void child.kill("SIGTERM");
    signal.addEventListener("abort", stop, { once: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    const code = await new Promise<number | null>((done) => child.once("close", done));
    signal.removeEventListener("abort", stop);
    if (code !== 0) throw new Error(`${file} ended with ${code}:\n${output}`);
  });
}

async function kill(): Promise<void> {
  while (progress.kills < wanted.kills) {
    const seed = firstSeed + progress.kills;
    const histogram = new KillHistogram(progress.killCounts);
    const again = nodeCommand("test/faults/kills.test.ts", { COSTOR_KILL_SEED: String(seed) });
    const killsCount = Math.min(killsPerPartCount, wanted.kills - progress.kills);
    await attempt(`kills with seed ${seed}`, again, () => runKillRounds({ seed, killsCount, signal }, histogram));
    progress.kills += killsCount;
    progress.killCounts = [...histogram.counts];
    await writeProgress();
    say(`${progress.kills} of ${wanted.kills} kills`);
  }
}

async function crash(): Promise<void> {
  while (progress.states < wanted.states) {
    const from = firstSeed + progress.states;
    const statesCount = Math.min(statesPerPartCount, wanted.states - progress.states);
    // The level only gives it the time.
    const environment = { COSTOR_CRASH_SEED: `${from}-${from + statesCount - 1}`, COSTOR_TEST_LEVEL: "full" };
    await runFile("test/faults/crash-states.test.ts", environment);
    progress.states += statesCount;
    await writeProgress();
    say(`${progress.states} of ${wanted.states} states`);
  }
}

async function runSeeds(): Promise<void> {
  while (progress.seeds < wanted.seeds) {
    const seed = firstSeed + progress.seeds;
    for (const [file, variable] of Object.entries(seededFiles)) await runFile(file, { [variable]: String(seed) });
    progress.seeds++;
    await writeProgress();
    say(`${progress.seeds} of ${wanted.seeds} seeds`);
  }
}

async function simulate(): Promise<void> {
  while (progress.sim.seeds < wanted.sim) {
    const first = firstSeed + progress.sim.seeds;
    const leftCount = wanted.sim - progress.sim.seeds;
    const starts = Array.from({ length: processesCount }, (_, process) => process * seedsPerProcessCount);
    const runs = starts
      .filter((start) => start < leftCount)
      .map((start) => {
        const seedsCount = Math.min(seedsPerProcessCount, leftCount - start);
        return runSimSeeds({ first: first + start, seedsCount, words: ["--mixed"] }, signal);
      });
    for (const told of await Promise.all(runs)) {
      addSeeds(progress.sim, told);
      for (const { seed, failed } of told)
        if (failed) noteFailure(`simulated seed ${seed}`, failed.again, failed.message);
    }
    await writeProgress();
    say(describeSim(progress.sim));
  }
}

async function backUpDenseFile(): Promise<void> {
  if (progress.dense >= wanted.dense) return;
  await runFile("test/integration/dense-file.test.ts", { COSTOR_DENSE_BYTES: String(wanted.dense * 1e9) });
  progress.dense = wanted.dense;
  await writeProgress();
  say(`a dense file of ${wanted.dense} GB`);
}

try {
  await kill();
  await crash();
  await runSeeds();
  await simulate();
  await backUpDenseFile();
} catch (error) {
  if (!signal.aborted) throw error;
  say("stopped; the same command goes on from here");
  process.exitCode = 130;
}
if (progress.kills > 0) process.stdout.write(`\n${new KillHistogram(progress.killCounts)}\n`);
for (const { what, again } of progress.failures) process.stdout.write(`\nfailed: ${what}\n  again: ${again}\n`);
if (progress.sim.seeds > 0) process.stdout.write(`\nsimulator: ${describeSim(progress.sim)}\n`);
const done = `${progress.kills} kills, ${progress.states} states, ${progress.seeds} seeds, ${progress.dense} GB in one file`;
process.stdout.write(`\n${done}, ${progress.failures.length} failed\n`);
if (progress.failures.length > 0) process.exitCode = 1;
