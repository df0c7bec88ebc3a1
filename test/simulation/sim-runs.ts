/** Runs of the simulator by seed: what `sim.ts` and the tests share. */
import { type Fault, type SimPlan, type Vice, planFaults, vices } from "./fault-plan.ts";
import { type SimOutcome, simulate } from "./federation-sim.ts";
import { MOST_GROWN_COUNT } from "./genesis.ts";
import { type Dropped, boastingStore, droppingStore, omittingStore } from "./hostile-store.ts";
import { startFederationProgram } from "./federation-program.ts";
import { withdrawing } from "./withdrawing-program.ts";
import { startLedgerProgram } from "./ledger-program.ts";
import { LyingPeers } from "./lying-peers.ts";
import { SeededRng } from "./seeded-rng.ts";
import type { SiteClock } from "./site-clock.ts";
import type { StartProgram } from "./site-program.ts";

export interface RunInit {
  readonly seed: number;
  readonly sitesCount: number;
  readonly hoursCount: number;
  /** Faults were drawn for `hoursCount`, and it ends sooner. */
  readonly untilHoursCount?: number;
  /** Fewer than a third of the sites. */
  readonly hostileCount?: number;
  /** Of all hostile sites; of chance when it is left out. */
  readonly vice?: Vice;
  /** Whether faults strike that last, and sites join and leave; they do when it is left out. */
  readonly hasLasting?: boolean;
  /** How many times as many faults as in a plain run. */
  readonly intensity?: number;
  /** So long it goes on once all is in order: none when it is left out. */
  readonly quietDaysCount?: number;
  /** As in a plan; 8 when it is left out. */
  readonly backupEveryHours?: number;
  /** By their numbers: the others do not strike. */
  readonly onlyFaults?: readonly number[];
}

const HOUR_MS = 3600_000;
const NEWCOMERS_COUNT = 2;
const BACKUP_EVERY_HOURS = 8;
/** More than the lock. */
const BACKDATED_MS = 60 * 24 * HOUR_MS;

export function makePlan(init: RunInit): SimPlan {
  const { seed, sitesCount, hoursCount, hostileCount = 0, hasLasting = true, intensity = 1, vice, onlyFaults } = init;
  const { quietDaysCount = 0, backupEveryHours = BACKUP_EVERY_HOURS, untilHoursCount = hoursCount } = init;
  const rng = new SeededRng(String(seed));
  const faults = planFaults(rng.fork("faults"), { sitesCount, hoursCount, hasLasting, intensity });
  const chosen = onlyFaults?.flatMap((number) => faults[number] ?? []) ?? faults;
  const numbers = Array.from({ length: sitesCount }, (_, number) => number);
  return {
    ...{ seed, sitesCount, hasLasting, intensity, vice, quietDaysCount, backupEveryHours },
    ...{ hoursCount: untilHoursCount, drawnHoursCount: hoursCount },
    faults: chosen.filter(({ atMs }) => atMs < untilHoursCount * HOUR_MS),
    newcomersCount: hasLasting && sitesCount <= MOST_GROWN_COUNT ? NEWCOMERS_COUNT : 0,
    hostile: rng
      .fork("hostile")
      .sample(numbers, hostileCount)
      .map((number) => ({ number, vice: vice ?? rng.pick(vices) })),
  };
}

/** Short runs of small federations, some with hostile sites: all kinds of faults come within few of them. */
export function mixedInit(seed: number): RunInit {
  const rng = new SeededRng(`${seed} mixed`);
  const sitesCount = 4 + rng.below(4);
  const hostileCount = rng.below(Math.ceil(sitesCount / 3));
  return { seed, sitesCount, hoursCount: 6 + rng.below(7), hostileCount, intensity: 3 };
}

/** A federation that falls into two halves after an hour, and is whole again after two more. */
export function makeHealingPlan(seed: number, sitesCount: number): SimPlan {
  const halves: Fault = {
    ...{ kind: "partition", shape: "halves", atMs: HOUR_MS, durationMs: 2 * HOUR_MS },
    ...{ siteNumber: 0, severityRatio: 0, label: "fault 0" },
  };
  const plan = makePlan({ seed, sitesCount, hoursCount: 3, hasLasting: false });
  return { ...plan, faults: [halves] };
}

/** The command that repeats a plan. */
export function replayCommand(
  {
    seed,
    sitesCount,
    hoursCount,
    drawnHoursCount,
    faults,
    hostile,
    vice,
    hasLasting,
    intensity,
    quietDaysCount,
    backupEveryHours,
  }: SimPlan,
  program: ProgramName,
): string {
  const numbers = faults.map(numberOf).join() || "none";
  const options = {
    seed,
    sites: sitesCount,
    hours: drawnHoursCount,
    hostile: hostile.length,
    program,
    "backup-every": backupEveryHours,
    only: numbers,
  };
  const words = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  if (hoursCount !== drawnHoursCount) words.push(`--until ${hoursCount}`);
  if (vice) words.push(`--vice ${vice}`);
  if (quietDaysCount > 0) words.push(`--quiet-days ${quietDaysCount}`);
  if (intensity !== 1) words.push(`--intensity ${intensity}`);
  if (!hasLasting) words.push("--no-lasting");
  return `npm run sim -- ${words.join(" ")}`;
}

export const describeFault = ({ kind, atMs, durationMs, siteNumber, severityRatio }: Fault): string =>
  `${minutes(atMs)} to ${minutes(atMs + durationMs)}  ${kind}, site ${siteNumber}, severity ${severityRatio.toFixed(2)}`;

/** What the sites run: all of their part in a federation, or only its ledger. */
export const programs = { federation: startFederationProgram, ledger: startLedgerProgram } as const;
export type ProgramName = keyof typeof programs;

export const runPlan = (plan: SimPlan, name: ProgramName = "federation"): Promise<SimOutcome> =>
  simulate(plan, {
    honest: programs[name],
    hostile: (vice, onDeed) => hostileProgram(programs[name], plan, vice, onDeed),
  });

/** The same program on a machine that has a vice. */
function hostileProgram(start: StartProgram, plan: SimPlan, vice: Vice, onDeed: () => void): StartProgram {
  const dropped: Dropped = new Map();
  const beginsMs = (plan.hoursCount * HOUR_MS) / 2;
  return (machine) => {
    const { identity, clock } = machine;
    const rng = machine.rng.fork("vice");
    const components = { store: machine.store, rng, onDeed };
    const self = identity.siteId;
    switch (vice) {
      case "lies":
        return start({
          ...machine,
          makeTransport: (doorkeeper) => new LyingPeers({ peers: machine.makeTransport(doorkeeper), rng }, onDeed),
        });
      case "drops":
        return start({ ...machine, store: droppingStore(components, dropped) });
      case "omits": {
        const hasBegun = (): boolean => clock.elapsedMs() > beginsMs;
        return start({ ...machine, clock: backdated(clock), store: omittingStore(components, { self, hasBegun }) });
      }
      case "boasts":
        return start({ ...machine, store: boastingStore(components, self) });
      case "withdraws":
        return withdrawing(start, machine, onDeed);
    }
  };
}

/** It says that what it does was done long ago. */
function backdated(clock: SiteClock): SiteClock {
  const now = (): number => Math.max(0, clock.now() - BACKDATED_MS);
  return new Proxy(clock, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (name === "now") return now;
      return typeof value === "function" ? (value as (...parameters: unknown[]) => unknown).bind(target) : value;
    },
  });
}

const numberOf = ({ label }: Fault): string => label.slice(label.lastIndexOf(" ") + 1);

const minutes = (timeMs: number): string =>
  `${Math.floor(timeMs / 3600_000)}:${String(Math.floor(timeMs / 60_000) % 60).padStart(2, "0")} h`;
