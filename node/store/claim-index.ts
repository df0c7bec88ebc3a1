/** Reads of claims in the index. Like all its answers they may be wrong after damage to Level's files. */
import { claimKey } from "./index-entries.ts";
import type { StoreIndex } from "./store-index.ts";

/** Agents by the prime that they have sent, as latin1. No entry for one that nobody has. */
export type Claimants = ReadonlyMap<string, readonly Buffer[]>;

/** In one walk, since a look-up for each takes a hundred times as long. */
export async function claimantsOf(index: StoreIndex, ids: readonly Buffer[]): Promise<Claimants> {
  const claimants = new Map<string, Buffer[]>();
  const prefixes = ids.map((id) => claimKey(id, noAgent)).sort((one, other) => one.compare(other));
  for await (const key of index.keysWithEach(prefixes)) {
    const id = key.toString("latin1", 1, key.length - agentBytes);
    const agents = claimants.get(id) ?? [];
    claimants.set(id, agents);
    agents.push(key.subarray(-agentBytes));
  }
  return claimants;
}

const noAgent = Buffer.alloc(0);
const agentBytes = 16;
