/** What replication asks of the rest of a site. */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { OwnLog } from "#ledger/own-log.ts";
import type { CompactionReport } from "#node/store/prime-store.ts";
import type { CborValue } from "#protocol/cbor.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";

export type LedgerReader = Pick<Ledger, "currentLog" | "forkOf" | "statement" | "statements" | "entry" | "offer">;
export type OwnEntries = Pick<OwnLog, "write" | "withdrawIdle">;
export type Sites = Pick<Membership, "sites" | "roleOf" | "siteOfPeer" | "peerOf" | "failureDomainOf">;

/** What this site keeps for owners, and lies here. */
export interface KeptPrimes {
  /** As `PrimeStore.putFor`. */
  put(owner: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }>;
  /** As `PrimeStore.release`. */
  release(owner: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport>;
  /** Ascending. */
  slice(owner: SiteId, slice: number): Promise<PrimeId[]>;
  /** What is answered to each prefix: docs/specs/replication.md, Reconciling. */
  compare(owner: SiteId, key: Uint8Array, prefixes: readonly string[]): Promise<CborValue[]>;
}
