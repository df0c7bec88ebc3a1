/** Snapshots to judge. */
import type { JudgedSnapshot } from "#ledger/plan-retention.ts";
import { sampleAgent } from "#test/support/store-samples.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const at = (text: string): number => Date.parse(text);
const agent = sampleAgent(1);

export interface Named extends JudgedSnapshot {
  readonly name: string;
}

/** A complete one of one agent and job that nobody has said anything of. */
export const made = (receivedMs: number, changes: Partial<Named> = {}): Named => ({
  ...{ name: `${receivedMs}`, agent, job: "all", receivedMs },
  ...{ isComplete: true, isPinned: false, tags: [] },
  ...changes,
});
