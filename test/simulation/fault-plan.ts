/** Which faults strike when: drawn from the seed before the run, so that a run can be repeated with some of them left out. */
import type { PartitionShape } from "./partition-shape.ts";
import type { SeededRng } from "./seeded-rng.ts";

/** What passes. */
const passingKinds = [
  "crash",
  "disk-loss",
  "partition",
  "loss",
  "delay",
  "slow-line",
  "clock-jump",
  "clock-rate",
  "disk-full",
  "bit-rot",
  "slow-disk",
  "write-error",
] as const;

/** What a federation has to live with from then on. */
const lastingKinds = ["rollback", "clone", "join", "expel", "leave"] as const;
export const faultKinds = [...passingKinds, ...lastingKinds] as const;

export type FaultKind = (typeof faultKinds)[number];

/** What a hostile site does; each of them runs the real program on a machine with one vice. */
export const vices = [
  /** Alters, cuts, repeats and withholds what it sends. */
  "lies",
  /** Throws away a little of what it keeps for others, and says nothing. */
  "drops",
  /** Signs live sets that leave out some of what its snapshots reach. */
  "omits",
  /** Offers space that it has not. */
  "boasts",
  /** Writes retires for what others have said. */
  "withdraws",
] as const;
export type Vice = (typeof vices)[number];

export interface HostileSite {
  readonly number: number;
  readonly vice: Vice;
}

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly durationMs: number;
  /** The site that it strikes; of no meaning to those that strike the network. */
  readonly siteNumber: number;
  /** How bad it is, from 0 to 1. */
  readonly severityRatio: number;
  /** From which its details are drawn. */
  readonly label: string;
  /** Of a partition; of chance when it is left out. */
  readonly shape?: PartitionShape;
}

export interface SimPlan {
  readonly seed: number;
  readonly sitesCount: number;
  readonly hoursCount: number;
  /** For so long faults were drawn; those that begin after `hoursCount` are left out. */
  readonly drawnHoursCount: number;
  readonly faults: readonly Fault[];
  readonly hasLasting: boolean;
  readonly intensity: number;
  /** Mean time between two backups of an agent; 0 for a single one, at the beginning. */
  readonly backupEveryHours: number;
  /** Of all hostile sites; undefined when each has one of chance. */
  readonly vice: Vice | undefined;
  /** So long it goes on once all is in order. */
  readonly quietDaysCount: number;
  /** Sites beyond the first ones that may join. */
  readonly newcomersCount: number;
  /** Fewer than a third. */
  readonly hostile: readonly HostileSite[];
}

const HOUR_MS = 3600 * 1000;
const PASSING_PER_DAY_COUNT = 12;
const LASTING_PER_DAY_COUNT = 2;
const MEAN_DURATION_MS = 45 * 60 * 1000;
/** Copies of disks are older than most faults are long: there is something that they lack. */
const COPY_AGE_FACTOR = 8;

export interface FaultsInit {
  readonly sitesCount: number;
  readonly hoursCount: number;
  /** Whether those strike that last. */
  readonly hasLasting: boolean;
  /** How many times as many as in plain runs. */
  readonly intensity: number;
}

export function planFaults(rng: SeededRng, init: FaultsInit): Fault[] {
  const passing = drawFaults(rng, passingKinds, PASSING_PER_DAY_COUNT, init, 0);
  if (!init.hasLasting) return passing;
  const lasting = drawFaults(rng.fork("lasting"), lastingKinds, LASTING_PER_DAY_COUNT, init, passing.length);
  return [...passing, ...lasting];
}

function drawFaults(
  rng: SeededRng,
  kinds: readonly FaultKind[],
  perDayCount: number,
  { sitesCount, hoursCount, intensity }: FaultsInit,
  firstNumber: number,
): Fault[] {
  const lastMs = hoursCount * HOUR_MS;
  const meanGapMs = (24 * HOUR_MS) / (perDayCount * intensity);
  const faults: Fault[] = [];
  for (let atMs = rng.waitMs(meanGapMs); atMs < lastMs; atMs += rng.waitMs(meanGapMs)) {
    const kind = rng.pick(kinds);
    const meanMs = MEAN_DURATION_MS * (kind === "rollback" ? COPY_AGE_FACTOR : 1);
    faults.push({
      kind,
      atMs,
      durationMs: Math.min(lastMs - atMs, rng.waitMs(meanMs)),
      siteNumber: rng.below(sitesCount),
      severityRatio: rng.fraction(),
      label: `fault ${firstNumber + faults.length}`,
    });
  }
  return faults;
}
