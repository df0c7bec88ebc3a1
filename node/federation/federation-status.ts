/** How the federation is, as this site sees it. Shapes only; `status-report.ts` makes it. */
import type { DrillStanding } from "#node/drills/drill-standing.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { ComingBackStatus } from "./coming-back.ts";
import type { LeavingStatus } from "./leaving.ts";
import type { Checkpoint } from "./checkpoints.ts";

/** A copy of one slice of this site's primes at one holder. */
export interface CopyStatus {
  readonly holder: SiteId;
  /** Why it does not count, in words of `ledger/copies.ts`; undefined while it counts. */
  readonly reason?: string;
  /** The live set that its receipt covers; 0 before the first. */
  readonly generation: number;
}

export interface SliceStatus {
  readonly slice: number;
  /** Of the newest live set; 0 before the first. */
  readonly generation: number;
  /** The newest live set of which two copies count; 0: none. */
  readonly safeGeneration: number;
  readonly count: number;
  readonly bytes: number;
  readonly copies: readonly CopyStatus[];
}

export interface SendingStatus {
  readonly holder: SiteId;
  readonly slice: number;
  readonly sentBytes: number;
  readonly sinceMs: number;
}

export interface FederationStatus {
  readonly federationId: string;
  readonly name: string;
  readonly site: SiteId;
  readonly siteName: string;
  readonly role: "member" | "guest" | "expelled" | "none";
  readonly membersCount: number;
  readonly guestsCount: number;
  readonly connectedCount: number;
  readonly snapshots: {
    /** Durable here. */
    readonly storedCount: number;
    /** With two copies elsewhere. */
    readonly safeCount: number;
    /** With one copy elsewhere or more. */
    readonly onceCount: number;
    /** When the oldest that is not safe was received. */
    readonly unsafeSinceMs?: number;
  };
  readonly slices: readonly SliceStatus[];
  readonly sending: readonly SendingStatus[];
  /** About how many bytes holders lack of what is here, and when they will have them at the rate of now; undefined while nothing is sent. */
  readonly behindBytes: number;
  readonly doneAtMs?: number;
  /** While not all is safe, the names of those that took nothing more within the last day: no room, or a quota. */
  readonly refusedBy: readonly string[];
  /** Why nothing is sent now: paused, outside of the window, nobody there. */
  readonly waiting?: string;
  /** Of this site's own primes, while not all of them are here. */
  readonly comesBack?: ComingBackStatus;
  /** What is kept here for others. */
  readonly kept: readonly { readonly owner: SiteId; readonly count: number; readonly bytes: number }[];
  readonly offeredBytes: number;
  /** The newest mark of people: whether everything before it is verified elsewhere. */
  readonly checkpoint?: Checkpoint;
  /** The newest restore drill of each kind that has passed. */
  readonly drills: readonly DrillStanding[];
  /** While this site leaves. */
  readonly leaving?: LeavingStatus;
  /** What people should look at. */
  readonly alarms: readonly { readonly code: string; readonly text: string; readonly sinceMs: number }[];
}
