/** Many seeds of the simulator, in processes of their own: for `--processes` and the long battery. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import type { FaultKind, Vice } from "./fault-plan.ts";
import { Struck } from "./struck.ts";

/** What a process says of one seed: a line of JSON. */
export interface ToldSeed {
  readonly seed: number;
  readonly hash: string;
  readonly simulatedMs: number;
  /** Of the processor. */
  readonly usedMs: number;
  readonly snapshotsCount: number;
  readonly struck: readonly (readonly [FaultKind | Vice, number])[];
  readonly failed?: { readonly message: string; readonly again: string };
}

/** Nothing here is large but the number of small things: a larger young generation than a site has. */
const FLAGS = ["--max-semi-space-size=64", "--max-old-space-size=8192"];

export interface SeedsInit {
  readonly first: number;
  readonly seedsCount: number;
  /** Further options of `sim.ts`. */
  readonly words: readonly string[];
  readonly onTold?: (told: ToldSeed) => void;
}

/** One process that runs so many seeds, from `first` on, and what it says of them. Throws when it does not end as it should. */
export async function runSeeds(
  { first, seedsCount, words, onTold }: SeedsInit,
  signal?: AbortSignal,
): Promise<ToldSeed[]> {
  const file = join(import.meta.dirname, "sim.ts");
  const options = [...words, "--json", "--processes", "1", "--seed", String(first), "--seeds", String(seedsCount)];
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, [...runtimeFlags, ...FLAGS, file, ...options], { stdio: [...stdio] });
  const stop = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop, { once: true });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const all: ToldSeed[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    const told = JSON.parse(line) as ToldSeed;
    all.push(told);
    onTold?.(told);
  }
  const code = await ended;
  signal?.removeEventListener("abort", stop);
  signal?.throwIfAborted();
  if (code !== 0) throw new Error(`seeds from ${first} on: the simulator ended with ${code}`);
  return all;
}

/** How much was done, and which faults have struck how often. */
export interface SimTotals {
  seeds: number;
  simulatedMs: number;
  usedMs: number;
  snapshots: number;
  struck: (readonly [FaultKind | Vice, number])[];
}

export const noSimTotals = (): SimTotals => ({ seeds: 0, simulatedMs: 0, usedMs: 0, snapshots: 0, struck: [] });

export function addSeeds(totals: SimTotals, told: readonly ToldSeed[]): void {
  const struck = new Struck(totals.struck);
  for (const seed of told) {
    totals.seeds++;
    totals.simulatedMs += seed.simulatedMs;
    totals.usedMs += seed.usedMs;
    totals.snapshots += seed.snapshotsCount;
    struck.addAll(new Struck(seed.struck));
  }
  totals.struck = [...struck.counts];
}

export function describeSim({ seeds, simulatedMs, usedMs, snapshots, struck }: SimTotals): string {
  const faults = new Struck(struck);
  const days = simulatedMs / (24 * 3600_000);
  const rate = usedMs === 0 ? 0 : days / (usedMs / 60_000);
  const never = faults.never.length > 0 ? `; never struck: ${faults.never.join(", ")}` : "";
  return `${seeds} seeds, ${days.toFixed(1)} federation-days, ${rate.toFixed(0)} a processor minute, ${snapshots} snapshots; ${faults}${never}`;
}
