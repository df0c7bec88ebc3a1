/**
 * What people need first of a site that comes back: the newest snapshot of each series, first the trees of all of them, by which files are found,
 * then their files, the newest snapshot first. Older snapshots come with the rest.
 */
import { isCostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { walkTree } from "./closure.ts";
import type { RegainedSnapshots } from "./regained-snapshots.ts";
import type { SitePrimes } from "./site-primes.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

export interface FirstNeededComponents {
  readonly snapshots: Pick<SnapshotRegistry, "newestOfSeries" | "get">;
  readonly primes: Pick<SitePrimes, "get">;
  readonly regained: Pick<RegainedSnapshots, "isAny">;
}

/** Trees that are walked at once: each waits for one prime after the other. */
const WALKS_COUNT = 4;

/** As `FetchFirst`. What cannot be read is passed over. */
export async function fetchFirstNeeded(
  components: FirstNeededComponents,
  fetch: (ids: readonly PrimeId[]) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const { regained, snapshots } = components;
  if (!regained.isAny) return;
  const newest = await snapshots.newestOfSeries();
  for (let at = 0; at < newest.length; at += WALKS_COUNT)
    await Promise.all(
      newest.slice(at, at + WALKS_COUNT).map((one) => walk(components, one, async () => undefined, signal)),
    );
  for (const one of newest) await walk(components, one, fetch, signal);
}

async function walk(
  { snapshots, primes }: FirstNeededComponents,
  { agent, snapshot }: { readonly agent: AgentId; readonly snapshot: SnapshotId },
  onReached: (ids: readonly PrimeId[]) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const { root } = await snapshots.get(agent, snapshot);
    await walkTree({ primes, onReached }, nodePointerFromWire(root), signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!isCostorError(error) || isCostorError(error, "store-full") || isCostorError(error, "store-failed"))
      throw error;
  }
}
