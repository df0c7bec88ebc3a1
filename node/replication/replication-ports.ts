/** What replication asks of the rest of a site. */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { OwnLog } from "#ledger/own-log.ts";
import type { CompactionReport } from "#node/store/prime-store.ts";
import type { Protocol } from "#ledger/peers.ts";
import type { CostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";

export type LedgerReader = Pick<
  Ledger,
  | "currentLog"
  | "entry"
  | "forkOf"
  | "logsOf"
  | "offer"
  | "receivers"
  | "recoveryKeys"
  | "statement"
  | "statements"
  | "states"
>;
export type OwnEntries = Pick<OwnLog, "write" | "writeAll" | "withdrawIdle">;
export type Sites = Pick<Membership, "sites" | "roleOf" | "siteOfPeer" | "peerOf" | "failureDomainOf">;

/** Told of each request that a peer is refused: there may be many. */
export type OnRefused = (peer: PeerKey, protocol: Protocol, error: CostorError) => void;

/** What this site keeps for owners, and lies here. */
export interface KeptPrimes {
  /** As `PrimeStore.putFor`. */
  put(owner: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }>;
  /** As `PrimeStore.release`. */
  release(owner: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport>;
  /** Ascending. */
  slice(owner: SiteId, slice: number): Promise<PrimeId[]>;
  /** The answer to a question of ledger/reconcile.ts about a slice under a key. Throws `bad-encoding`, `limit-exceeded`. */
  compare(owner: SiteId, slice: number, key: Uint8Array, question: Uint8Array): Promise<Uint8Array>;
}
