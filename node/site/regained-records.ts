/** Keeps records of a site that its former machine, or a newer disk, has told the ledger: agents at once, snapshots until it is known whether they are whole. */
import type { PrimeStore } from "#node/store/prime-store.ts";
import { parseAgentId } from "#protocol/ids.ts";
import type { AgentRegistry } from "./agent-registry.ts";
import type { ReceivedClock } from "./received-clock.ts";
import type { RegainedSnapshots } from "./regained-snapshots.ts";
import type { SiteChanges } from "./site-changes.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

export interface RegainedRecordComponents {
  readonly store: Pick<PrimeStore, "appendFacts">;
  readonly agents: AgentRegistry;
  readonly snapshots: Pick<SnapshotRegistry, "receivedMsOf">;
  readonly regained: Pick<RegainedSnapshots, "mark">;
  readonly clock: ReceivedClock;
  readonly changes: SiteChanges;
}

/** Durable when it resolves. A snapshot is one that is not here. Throws `store-damaged` for what is no such record. */
export async function regainRecord(
  { store, agents, snapshots, regained, clock, changes }: RegainedRecordComponents,
  kind: "agent" | "snapshot",
  key: string,
  value: Uint8Array,
): Promise<void> {
  if (kind === "agent") return agents.regain(parseAgentId(key), value);
  const receivedMs = snapshots.receivedMsOf(value);
  const clockFact = clock.wasReceived(receivedMs);
  await store.appendFacts([{ kind, key, value }, regained.mark(key, receivedMs), clockFact]);
  changes.tell({ kind, key, receivedMs });
}
