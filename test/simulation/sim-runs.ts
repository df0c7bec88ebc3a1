/** Runs of the simulator by seed: what `sim.ts` and the tests share. */
import { type Fault, type SimPlan, planFaults } from "./fault-plan.ts";
import { type SimOutcome, simulate } from "./federation-sim.ts";
import { startFederationProgram } from "./federation-program.ts";
import { startLedgerProgram } from "./ledger-program.ts";
import { LyingPeers } from "./lying-peers.ts";
import { SeededRng } from "./seeded-rng.ts";
import type { StartProgram } from "./site-program.ts";

export interface RunInit {
  readonly seed: number;
  readonly sitesCount: number;
  readonly hoursCount: number;
  /** Fewer than a third of the sites. */
  readonly hostileCount?: number;
  /** By their numbers: the others do not strike. */
  readonly onlyFaults?: readonly number[];
}

export function makePlan({ seed, sitesCount, hoursCount, hostileCount = 0, onlyFaults }: RunInit): SimPlan {
  const rng = new SeededRng(String(seed));
  const faults = planFaults(rng.fork("faults"), { sitesCount, hoursCount });
  const numbers = Array.from({ length: sitesCount }, (_, number) => number);
  return {
    seed,
    sitesCount,
    hoursCount,
    faults: onlyFaults ? onlyFaults.flatMap((number) => faults[number] ?? []) : faults,
    hostileNumbers: rng.fork("hostile").sample(numbers, hostileCount),
  };
}

/** The command that repeats a plan. */
export function replayCommand(
  { seed, sitesCount, hoursCount, faults, hostileNumbers }: SimPlan,
  program: ProgramName,
): string {
  const numbers = faults.map(numberOf).join() || "none";
  const options = {
    seed,
    sites: sitesCount,
    hours: hoursCount,
    hostile: hostileNumbers.length,
    program,
    only: numbers,
  };
  const words = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  return `npm run sim -- ${words.join(" ")}`;
}

export const describeFault = ({ kind, atMs, durationMs, siteNumber, severityRatio }: Fault): string =>
  `${minutes(atMs)} to ${minutes(atMs + durationMs)}  ${kind}, site ${siteNumber}, severity ${severityRatio.toFixed(2)}`;

/** What the sites run: all of their part in a federation, or only its ledger. */
export const programs = { federation: startFederationProgram, ledger: startLedgerProgram } as const;
export type ProgramName = keyof typeof programs;

export const runPlan = (plan: SimPlan, name: ProgramName = "federation"): Promise<SimOutcome> =>
  simulate(plan, { honest: programs[name], hostile: hostile(programs[name]) });

/** The same program on a machine that lies to its peers. */
const hostile =
  (start: StartProgram): StartProgram =>
  (machine) =>
    start({
      ...machine,
      makeTransport: (doorkeeper) =>
        new LyingPeers({ peers: machine.makeTransport(doorkeeper), rng: machine.rng.fork("lies") }),
    });

const numberOf = ({ label }: Fault): string => label.slice(label.lastIndexOf(" ") + 1);

const minutes = (timeMs: number): string =>
  `${Math.floor(timeMs / 3600_000)}:${String(Math.floor(timeMs / 60_000) % 60).padStart(2, "0")} h`;
