/** A site as those see it who restore without it: what its agents have backed up, and its primes, from wherever they come. */
import type { StoredPrime } from "#protocol/batch.ts";
import type { SnapshotResponse, SnapshotSummary } from "#protocol/http.ts";
import type { AgentId, PrimeId, SnapshotId } from "#protocol/ids.ts";

export interface RescuedAgent {
  readonly id: AgentId;
  /** Empty when nothing but its snapshots is known. */
  readonly name: string;
  readonly hostName: string;
  readonly snapshotsCount: number;
  /** When the site received the newest. */
  readonly newestMs: number;
}

export interface RescuedSite extends AsyncDisposable {
  /** Those with snapshots; who was backed up last comes first. */
  agents(): Promise<RescuedAgent[]>;
  /** In the order in which the site received them. */
  snapshots(agent: AgentId): Promise<SnapshotSummary[]>;
  /** Snapshots that the site received up to then had a whole copy elsewhere, as far as is known here. Where it is read from a copy nobody knows. */
  wholeUntilMs?(): Promise<number>;
  /** Throws `snapshot-unknown`, `seal-broken`. */
  snapshot(agent: AgentId, snapshot: SnapshotId): Promise<SnapshotResponse>;
  /** The stored primes in the asked order. Throws `prime-missing`, `prime-corrupt` for the first that cannot be had. */
  readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncIterable<StoredPrime>;
  /** Whether their bytes were compared with their ids on this machine. */
  readonly isVerified: boolean;
}
