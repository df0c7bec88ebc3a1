/** Finds snapshots that cannot be restored in full from what is here: their trees are walked, and each prime is asked for. */
import type { PrimeStore } from "#node/store/prime-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { type ClosureComponents, missingFromTree } from "./closure.ts";
import type { BrokenSnapshot } from "./scrub-state.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

export interface BrokenSnapshotComponents {
  readonly store: ClosureComponents["store"] & Pick<PrimeStore, "has">;
  readonly snapshots: Pick<SnapshotRegistry, "keys" | "root">;
}

/** At most `mostCount`; of each at least so many primes are missing. */
export async function findBrokenSnapshots(
  { store, snapshots }: BrokenSnapshotComponents,
  { mostCount, signal }: { readonly mostCount: number; readonly signal: AbortSignal },
): Promise<BrokenSnapshot[]> {
  const broken: BrokenSnapshot[] = [];
  for await (const { agent, snapshot } of snapshots.keys()) {
    signal.throwIfAborted();
    try {
      const root = nodePointerFromWire(await snapshots.root(agent, snapshot));
      const missingCount = await missingFromTree(store, root, signal);
      if (missingCount > 0) broken.push({ agent, snapshot, missingCount });
    } catch (error) {
      signal.throwIfAborted();
      // It has expired since.
      if (isCostorError(error, "snapshot-unknown")) continue;
      if (!isCostorError(error) || isCostorError(error, "store-failed") || isCostorError(error, "store-full"))
        throw error;
      broken.push({ agent, snapshot, missingCount: 1 });
    }
    if (broken.length >= mostCount) break;
  }
  return broken;
}
