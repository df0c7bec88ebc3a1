/**
 * Brings back what the ledger knows of this site's agents and snapshots and the site does not: its machine is new, or its disk older than
 * what it has told others. docs/specs/replication.md, Regaining
 */
import type { Ledger } from "#ledger/ledger.ts";
import type { FetchFirst } from "#node/replication/healing.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { forgetUnread, noteUnread } from "#node/site/unread-snapshots.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { type SealedPlace, keyOfPlace, sealedContext } from "./sealed-statements.ts";

/** What a site does with its own records that come back from the ledger. */
export interface SiteRecords {
  /** Opens what was sealed to a read key of the site. Throws `seal-broken`. */
  open(sealed: Uint8Array, context: Uint8Array): Promise<Uint8Array>;
  /**
   * Keeps a record that was told to the ledger, unless what is here says more. The primes of a snapshot come later, or not. Durable when it
   * resolves.
   */
  take(place: SealedPlace, value: Uint8Array): Promise<void>;
  /**
   * All primes that others have of this site are known. Of the snapshots that came back those that are not whole by that are shown no more:
   * resolves with the keys of all such. Safe to repeat.
   */
  settle(): Promise<readonly string[]>;
  /** Whether what snapshots reach that came back is not all kept yet, as far as it can be read. */
  readonly isReturning: () => boolean;
  /** While much is coming back: what people need first. */
  readonly fetchFirst: FetchFirst;
}

export interface RegainedFactComponents extends Pick<SiteRecords, "open" | "take"> {
  readonly ledger: Pick<Ledger, "statements" | "wholeStatements">;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
  /** What cannot be opened, or is no record, is passed over; a snapshot is noted as unread. */
  readonly onBroken: (place: SealedPlace, error: unknown) => void;
}

/** Agents first: a token that was revoked must not be good for a moment. */
const KINDS = ["state", "agent", "snapshot"] as const;

/** Safe to repeat. Throws what the ledger's store and `take` throw. */
export async function regainFacts(components: RegainedFactComponents, { siteId }: { siteId: SiteId }): Promise<void> {
  const { ledger, store, onBroken } = components;
  for (const kind of KINDS)
    for (const { logId, seq, statement } of ledger.statements(siteId, kind)) {
      // Of a snapshot that is here nothing is missed, nor of one that has ended; of an agent the ledger may know that it was revoked.
      if (kind === "snapshot" && (await isKnown(store, keyOfPlace(statement)))) continue;
      for (const whole of await ledger.wholeStatements(logId, seq))
        if ("sealed" in whole) {
          try {
            const plain = await components.open(whole.sealed, sealedContext(siteId, whole));
            await components.take(whole, plain);
            if (whole.kind === "snapshot") await forgetUnread(store, keyOfPlace(whole));
          } catch (error) {
            if (!isNoRecord(error)) throw error;
            if (whole.kind === "snapshot") await noteUnread(store, keyOfPlace(whole));
            onBroken(whole, error);
          }
        }
    }
}

/** It opens by none of the site's keys, or what is in it is none: whoever had the site's machine can say anything. */
export const isNoRecord = (error: unknown): boolean =>
  (["seal-broken", "store-damaged", "bad-encoding"] as const).some((code) => isCostorError(error, code));

async function isKnown(store: Pick<PrimeStore, "fact">, key: string): Promise<boolean> {
  for (const kind of ["snapshot", "gone-snapshot"]) if ((await store.fact(kind, key)) !== undefined) return true;
  return false;
}
