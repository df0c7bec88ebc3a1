/** What is offered to a ledger, who may offer, and what becomes of it. */
import { CostorError } from "#protocol/errors.ts";
import type { LogId, SiteId } from "#protocol/ids.ts";
import type { Ledger } from "./ledger.ts";
import type { AgreedLinks } from "./recovery-keys.ts";
import type { ForkProof } from "./log-state.ts";

/** Who may speak: ledger/membership.ts. */
export interface Speakers {
  /** Called once, before anything is asked: guests are let in by entries. */
  follow(ledger: Ledger): void;
  /** The last seq of the log that is allowed: -1 for none, Infinity for all. */
  lastAllowedSeq(siteId: SiteId, logId: LogId): number;
  /** As {@link AgreedLinks}; the ledger is told of each change. */
  readonly agreedLinks: AgreedLinks;
  /** Whose machine this is: what it has written itself is never forgotten. */
  readonly siteId?: SiteId;
}

/** What people should be told. */
export type LedgerEvent =
  | { readonly event: "fork-found"; readonly siteId: SiteId; readonly logId: LogId; readonly seq: number }
  | { readonly event: "site-full"; readonly siteId: SiteId }
  /** A site has a new recovery key, and logs that do not count any more are gone; or somebody has shown another one that parts from the chain that counts here. */
  | {
      readonly event: "recovery-key" | "recovery-key-rival";
      readonly siteId: SiteId;
      /** The first has number 1. */
      readonly number: number;
    };

/** What became of one entry that was offered. */
export type Admission = "admitted" | "known" | "withdrawn" | "not-allowed" | "site-full" | "fork";

/** Why this site's own entry was not admitted, for its people. */
const refusals: Partial<Record<Admission, string>> = {
  "not-allowed":
    "this site is in the federation no more, and what it says does not count; its members can take it back in: costor federation admit",
  "site-full":
    "this site's records have no room left of what other sites give them: keep fewer snapshots (costor site retention)",
  fork: "another machine has written as this site; find out which one is right before either writes again",
};

export const refused = (admission: Exclude<Admission, "admitted">): CostorError =>
  new CostorError("ledger-refused", refusals[admission] ?? `the ledger takes no entry: ${admission}`);

/** An entry that is new here, and durable. */
export interface Admitted {
  readonly siteId: SiteId;
  readonly logId: LogId;
  readonly seq: number;
  readonly kind: string;
  /** Whether this process has written it. */
  readonly own: boolean;
}

export interface Offer {
  readonly certificates?: readonly Uint8Array[];
  readonly forks?: readonly ForkProof[];
  readonly entries?: readonly Uint8Array[];
}
