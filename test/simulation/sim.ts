/**
 * `npm run sim -- --seed S --sites N --hours H --seeds K`: K runs of the simulator, from seed S on. What fails is made small, and
 * the command that repeats it is printed. The exit code is 0 when nothing failed.
 */
import { Command, Option, InvalidArgumentError } from "commander";
import { type SimPlan, type Vice, vices } from "./fault-plan.ts";
import type { DayCost, SimOutcome } from "./federation-sim.ts";
import { shrink } from "./shrink.ts";
import { type ToldSeed, runSeeds } from "./sim-soak.ts";
import { Struck } from "./struck.ts";
import {
  type ProgramName,
  type RunInit,
  describeFault,
  makeHealingPlan,
  makePlan,
  mixedInit,
  programs,
  replayCommand,
  runPlan,
} from "./sim-runs.ts";

const SHRINK_RUNS_COUNT = 200;
/** In three nights everything has found its place. */
const IDLE_HOURS_COUNT = 96;
const HOURS_COUNT = 48;
/** What an agent does by itself. Runs that are to find most in a short time have more: `mixedInit`. */
const BACKUP_EVERY_HOURS = 24;
const DAY_MS = 24 * 3600 * 1000;
const MINUTE_MS = 60 * 1000;
/** Of the processor, so that what else the machine does counts for nothing. */
const processorMs = (): number => process.cpuUsage().user / 1000;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a whole number is expected");
}

function parseNumbers(text: string): number[] {
  return text === "none" ? [] : text.split(",").map(parseCount);
}

const options = new Command("sim")
  .description("Runs a federation in virtual time, under faults drawn from a seed")
  .option("--seed <number>", "the first seed", parseCount, 1)
  .option("--seeds <count>", "how many seeds, one after the other", parseCount, 1)
  .option("--sites <count>", "sites of the federation", parseCount, 5)
  .option("--hours <count>", "simulated hours under faults; 48 when it is left out", parseCount)
  .option("--until <hours>", "end sooner than faults were drawn for", parseCount)
  .option("--hostile <count>", "sites among them that lie", parseCount, 0)
  .addOption(new Option("--vice <name>", "what hostile sites do; of chance when it is left out").choices(vices))
  .option("--intensity <factor>", "how many times as many faults", parseCount, 1)
  .option("--quiet-days <count>", "days that it goes on once all is in order", parseCount, 0)
  .option(
    "--backup-every <hours>",
    "between two backups of an agent, of which a site has two; 0: one at the beginning",
    parseCount,
    BACKUP_EVERY_HOURS,
  )
  .option("--processes <count>", "run at once, each with its part of the seeds", parseCount, 1)
  .option(
    "--idle",
    "neither backups after the first nor faults, and what the last day costs; 96 hours when they are left out",
  )
  .option("--heal", "a federation in two halves for hours, and how soon all ledgers are equal once it is whole again")
  .option("--no-lasting", "without what a federation has to live with: copies of machines, sites that join and leave")
  .addOption(new Option("--program <name>", "what the sites run").choices(Object.keys(programs)).default("federation"))
  .option("--only <numbers>", "faults of the plan that strike, by their numbers, or none", parseNumbers)
  .option("--no-shrink", "leave a plan that fails as it is")
  .option("--mixed", "sites, hours and hostile sites by the seed: short runs of small federations")
  .option("--json", "a line of JSON for each seed, and nothing else")
  .option("--trace", "print what happened last")
  .parse()
  .opts<{
    seed: number;
    seeds: number;
    processes: number;
    sites: number;
    hours?: number;
    until?: number;
    hostile: number;
    vice?: Vice;
    lasting: boolean;
    backupEvery: number;
    idle?: boolean;
    heal?: boolean;
    intensity: number;
    quietDays: number;
    program: ProgramName;
    only?: number[];
    shrink: boolean;
    mixed?: boolean;
    json?: boolean;
    trace?: boolean;
  }>();
if (options.hostile * 3 >= options.sites && options.hostile > 0) {
  process.stderr.write("fewer than a third of the sites may be hostile\n");
  process.exit(2);
}

const { program } = options;
const run = (plan: SimPlan): Promise<SimOutcome> => runPlan(plan, program);
const total = { simulatedMs: 0, usedMs: 0, failedCount: 0, struck: new Struck() };

const sinceMs = performance.now();
if (options.processes > 1) await runInProcesses();
else for (let seed = options.seed; seed < options.seed + options.seeds; seed++) await runSeed(seed);

async function runSeed(seed: number): Promise<void> {
  const given: RunInit = {
    seed,
    intensity: options.intensity,
    sitesCount: options.sites,
    hoursCount: options.hours ?? (options.idle ? IDLE_HOURS_COUNT : HOURS_COUNT),
    hostileCount: options.hostile,
    backupEveryHours: options.idle ? 0 : options.backupEvery,
  };
  const plan = options.heal ? makeHealingPlan(seed, options.sites) : planOf(seed, given);
  const startMs = processorMs();
  const outcome = await run(plan);
  const usedMs = processorMs() - startMs;
  if (options.json) return tell(plan, outcome, usedMs);
  note(seed, outcome, usedMs);
  if (options.idle) say(`  the last day, a site: ${costText(outcome.lastDay, plan.sitesCount)}`);
  if (options.heal)
    say(`  all ledgers were equal ${outcome.equalAfterMs / 1000} s after the federation was whole again`);
  if (!outcome.failure) return;
  total.failedCount++;
  const again = options.heal
    ? `npm run sim -- --heal --seed ${seed} --sites ${options.sites} --program ${program}`
    : replayCommand(plan, program);
  say(`  ${outcome.failure.message}\n  again: ${again}`);
  if (!options.shrink || options.heal) return;
  const smallest = await shrink(plan, outcome, run, SHRINK_RUNS_COUNT);
  say(`  smaller: ${replayCommand(smallest, program)}`);
  for (const fault of smallest.faults) say(`    ${describeFault(fault)}`);
  say(`  ends with ${(await run(smallest)).failure?.message}`);
}

function planOf(seed: number, given: RunInit): SimPlan {
  return makePlan({
    ...(options.mixed ? mixedInit(seed) : given),
    hasLasting: options.lasting,
    quietDaysCount: options.quietDays,
    ...(options.vice && { vice: options.vice }),
    ...(options.until && { untilHoursCount: options.until }),
    ...(options.only && { onlyFaults: options.only }),
    ...(options.idle && { onlyFaults: [] }),
  });
}

/** What fails is told with the command that repeats it, and is not made smaller here. */
async function runInProcesses(): Promise<void> {
  const { seed: first, seeds, processes } = options;
  const eachCount = Math.ceil(seeds / processes);
  const starts = Array.from({ length: processes }, (_, process) => process * eachCount);
  const parts = starts.filter((start) => start < seeds);
  const onTold = ({ seed, hash, simulatedMs, usedMs, snapshotsCount, struck, failed }: ToldSeed): void => {
    const faults = new Struck(struck);
    add(simulatedMs, usedMs, faults);
    say(`seed ${seed}: ${failed ? "FAILED" : "ok"}, hash ${hash}, ${snapshotsCount} snapshots; ${faults}`);
    if (!failed) return;
    total.failedCount++;
    say(`  ${failed.message}\n  again: ${failed.again}`);
  };
  const words = process.argv.slice(2);
  const runs = parts.map((start) => {
    const seedsCount = Math.min(eachCount, seeds - start);
    return runSeeds({ first: first + start, seedsCount, words, onTold });
  });
  await Promise.all(runs);
}

function add(simulatedMs: number, usedMs: number, struck: Struck): void {
  total.simulatedMs += simulatedMs;
  total.usedMs += usedMs;
  total.struck.addAll(struck);
}

/** What the one who started this process reads. */
function tell(plan: SimPlan, { failure, hash, simulatedMs, snapshotsCount, struck }: SimOutcome, usedMs: number): void {
  const failed = failure && { message: failure.message, again: replayCommand(plan, program) };
  const told: ToldSeed = {
    ...{ seed: plan.seed, hash, simulatedMs, usedMs, snapshotsCount, struck: [...struck.counts] },
    ...(failed && { failed }),
  };
  say(JSON.stringify(told));
}

function note(seed: number, outcome: SimOutcome, usedMs: number): void {
  const { simulatedMs, struck, hash, eventsCount, checksCount, snapshotsCount, failure } = outcome;
  add(simulatedMs, usedMs, struck);
  say(
    `seed ${seed}: ${failure ? `FAILED ${failure.id}` : "ok"}, hash ${hash}, ${eventsCount} events, ${snapshotsCount} snapshots, ` +
      `${checksCount} checks, ${daysPerMinute(simulatedMs, usedMs)} days a processor minute; ${struck}`,
  );
  if (options.trace) process.stdout.write(outcome.lastLines.join(""));
}

function daysPerMinute(simulatedMs: number, usedMs: number): string {
  return (simulatedMs / DAY_MS / (usedMs / MINUTE_MS)).toFixed(0);
}

function costText({ sentBytes, framesCount, usedMs }: DayCost, sitesCount: number): string {
  const [kilobytes, frames, processorMs] = [sentBytes / 1000, framesCount, usedMs].map((sum) => sum / sitesCount);
  return `${kilobytes!.toFixed(0)} kB sent, in ${frames!.toFixed(0)} frames; ${processorMs!.toFixed(0)} ms of processor time`;
}

const { never } = total.struck;
if (!options.json)
  say(
    `${options.seeds} seeds, ${total.failedCount} failed, ${(total.simulatedMs / DAY_MS).toFixed(1)} federation-days, ` +
      `${daysPerMinute(total.simulatedMs, total.usedMs)} a processor minute, ` +
      `${daysPerMinute(total.simulatedMs, performance.now() - sinceMs)} a minute${never.length > 0 ? `; never struck: ${never.join(", ")}` : ""}`,
  );
if (total.failedCount > 0 && !options.json) process.exitCode = 1;
