/** Makes a failing plan small: fewer faults and a shorter time with which the same invariant still breaks. */
import type { SimOutcome } from "./federation-sim.ts";
import type { Fault, SimPlan } from "./fault-plan.ts";

const HOUR_MS = 3600 * 1000;

export type RunPlan = (plan: SimPlan) => Promise<SimOutcome>;

/** At most `mostRunsCount` runs; what is returned fails by the same invariant as `plan` did. */
export async function shrink(plan: SimPlan, failed: SimOutcome, run: RunPlan, mostRunsCount: number): Promise<SimPlan> {
  let smallest = plan;
  let runsCount = 0;
  const tryPlan = async (candidate: SimPlan): Promise<boolean> => {
    if (runsCount >= mostRunsCount) return false;
    runsCount++;
    const { failure } = await run(candidate);
    if (failure?.id !== failed.failure!.id) return false;
    smallest = candidate;
    return true;
  };
  const shorten = async (hoursCount: number): Promise<boolean> =>
    hoursCount >= 1 &&
    hoursCount < smallest.hoursCount &&
    tryPlan({ ...smallest, hoursCount, faults: smallest.faults.filter(({ atMs }) => atMs < hoursCount * HOUR_MS) });
  // It may take the time that it took, if not the time that everything needs afterwards.
  await shorten(Math.ceil(failed.simulatedMs / HOUR_MS));
  await removeFaults(
    () => smallest.faults,
    (faults) => tryPlan({ ...smallest, faults }),
  );
  while (await shorten(Math.floor(smallest.hoursCount / 2)));
  while (await shorten(Math.floor(smallest.hoursCount * 0.8)));
  return smallest;
}

/** Delta debugging: ever smaller parts are left out, until no single one can be. */
async function removeFaults(
  current: () => readonly Fault[],
  tryFaults: (faults: readonly Fault[]) => Promise<boolean>,
): Promise<void> {
  for (let partsCount = 1; ; partsCount = Math.min(partsCount * 2, current().length)) {
    const sizeCount = Math.ceil(current().length / partsCount);
    let hasRemoved = false;
    for (let at = 0; at < current().length;) {
      const rest = current().toSpliced(at, sizeCount);
      if (await tryFaults(rest)) hasRemoved = true;
      else at += sizeCount;
    }
    if (sizeCount <= 1 && !hasRemoved) return;
    if (current().length === 0) return;
  }
}
