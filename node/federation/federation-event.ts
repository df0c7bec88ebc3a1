/** What happens in a federation that a log should tell. */
import type { LedgerEvent } from "#ledger/admission.ts";
import type { ReplicationEvent } from "#node/replication/replication.ts";
import type { RemoteRestoreEvent } from "#node/rescue/remote-restore.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";

export type FederationEvent =
  | LedgerEvent
  /** With what this site wanted to write or do and did not: `put-off`. */
  | ReplicationEvent
  | RemoteRestoreEvent
  /** It is tried again. */
  | { readonly event: "sync-failed"; readonly peer: PeerKey; readonly error: unknown }
  /** What was spread is not what members write. */
  | { readonly event: "message-refused"; readonly error: unknown }
  /** A newcomer shows an invitation: people have to compare the words. */
  | { readonly event: "newcomer"; readonly siteId: SiteId; readonly name: string }
  | { readonly event: "roster"; readonly number: number; readonly membersCount: number }
  | { readonly event: "fault"; readonly error: unknown };
