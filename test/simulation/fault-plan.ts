/** Which faults strike when: drawn from the seed before the run, so that a run can be repeated with some of them left out. */
import type { SeededRng } from "./seeded-rng.ts";

export const faultKinds = [
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

export type FaultKind = (typeof faultKinds)[number];

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
}

export interface SimPlan {
  readonly seed: number;
  readonly sitesCount: number;
  readonly hoursCount: number;
  readonly faults: readonly Fault[];
  /** Numbers of sites that run a hostile program, fewer than a third. */
  readonly hostileNumbers: readonly number[];
}

const HOUR_MS = 3600 * 1000;
const FAULTS_PER_DAY_COUNT = 12;
const MEAN_DURATION_MS = 45 * 60 * 1000;

export function planFaults(
  rng: SeededRng,
  { sitesCount, hoursCount }: { sitesCount: number; hoursCount: number },
): Fault[] {
  const lastMs = hoursCount * HOUR_MS;
  const meanGapMs = (24 * HOUR_MS) / FAULTS_PER_DAY_COUNT;
  const faults: Fault[] = [];
  for (let atMs = rng.waitMs(meanGapMs); atMs < lastMs; atMs += rng.waitMs(meanGapMs)) {
    faults.push({
      kind: rng.pick(faultKinds),
      atMs,
      durationMs: Math.min(lastMs - atMs, rng.waitMs(MEAN_DURATION_MS)),
      siteNumber: rng.below(sitesCount),
      severityRatio: rng.fraction(),
      label: `fault ${faults.length}`,
    });
  }
  return faults;
}
