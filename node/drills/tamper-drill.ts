/** One tamper drill: what is forbidden is tried at this site's own door and at another site, and must be refused. docs/specs/replication.md, Tamper drills */
import { type AgentTamperingComponents, type TamperedSnapshot, tamperAsAgent } from "./agent-tampering.ts";
import { ForbiddenCalls, type Refusal } from "./forbidden-calls.ts";
import type { HolderTampering } from "./holder-tampering.ts";
import { type DrillCounts, TOLD_COUNT } from "./restore-drill.ts";

export interface TamperDrillComponents extends AgentTamperingComponents {
  /** Undefined while no other site has copies. */
  readonly holders: Pick<HolderTampering, "tamper"> | undefined;
}

/** `filesCount` counts what was tried. Throws `site-unreachable`, `peer-unreachable` when something could not be tried: nothing is proven then. */
export async function tamperDrill(
  { holders, ...components }: TamperDrillComponents,
  target: TamperedSnapshot,
  signal: AbortSignal,
): Promise<DrillCounts & { readonly refusals: readonly Refusal[] }> {
  const calls = new ForbiddenCalls();
  await tamperAsAgent(components, target, calls);
  await holders?.tamper(calls, signal);
  const { refusals, failures } = calls;
  return {
    ...{ filesCount: refusals.length + failures.length, bytes: 0, refusals },
    ...{ failedCount: failures.length, failures: failures.slice(0, TOLD_COUNT) },
  };
}
