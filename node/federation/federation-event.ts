/** What happens in a federation that a log should tell. */
import type { LedgerEvent } from "#ledger/admission.ts";
import type { ReplicatorEvent } from "#node/replication/replicator.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";

export type FederationEvent =
  | LedgerEvent
  | ReplicatorEvent
  /** It is tried again. */
  | { readonly event: "sync-failed"; readonly peer: PeerKey; readonly error: unknown }
  /** What was spread is not what members write. */
  | { readonly event: "message-refused"; readonly error: unknown }
  /** A newcomer shows an invitation: people have to compare the words. */
  | { readonly event: "newcomer"; readonly siteId: SiteId; readonly name: string }
  /** What this site wanted to write or do did not work; it is tried again. */
  | { readonly event: "put-off"; readonly what: string; readonly error: unknown }
  | { readonly event: "roster"; readonly number: number; readonly membersCount: number }
  | { readonly event: "fault"; readonly error: unknown };
