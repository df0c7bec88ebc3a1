/**
 * Takes entries that were withdrawn out of the store when they have been so for the lock period, so that it does not grow for
 * ever. docs/specs/ledger.md, "Withdrawal"
 *
 * Of each log it notes what is withdrawn; one lock period later it forgets that, and notes what is withdrawn then. Times are of
 * this site's own clock.
 */
import * as v from "valibot";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { LogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { parseEntry } from "./entry.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { Ledger } from "./ledger.ts";
import type { LogState } from "./log-state.ts";
import { readRetire } from "./retire.ts";
import { SeqRanges } from "./seq-ranges.ts";

const noteSchema = v.object({ sinceMs: v.number(), ranges: v.unknown() });
const noteKey = (logId: LogId): string => `withdrawn/${logId}`;

/** To be called now and then, such as once a day; how many entries are forgotten. Throws what the store throws. */
export async function forgetWithdrawn(
  { ledger, store }: { readonly ledger: Ledger; readonly store: LedgerStore },
  { nowMs, lockMs }: { readonly nowMs: number; readonly lockMs: number },
): Promise<number> {
  let count = 0;
  for (const state of ledger.logs()) {
    const { id } = state.log;
    const kept = await store.get(noteKey(id));
    const note = kept && v.parse(noteSchema, { ...(decodeCbor(kept) as CborMap) });
    if (note !== undefined && nowMs - note.sinceMs < lockMs) continue;
    if (note !== undefined) {
      const noted = SeqRanges.parse(note.ranges, limits.ledgerRangesCount);
      count += await ledger.forget(id, await forgettable(ledger, state, noted));
    }
    const ranges = ledger.log(id)?.hidden.ranges.slice(0, limits.ledgerRangesCount) ?? [];
    const value = ranges.length > 0 ? encodeCbor({ sinceMs: nowMs, ranges }) : undefined;
    if (kept !== undefined || value !== undefined) await store.write([{ key: noteKey(id), value }]);
  }
  return count;
}

/** Without retires that withdraw what the newest one does not: an honest author has none. */
async function forgettable(ledger: Ledger, state: LogState, noted: SeqRanges): Promise<SeqRanges> {
  const { siteId } = state.log.certificate;
  const stay = SeqRanges.empty();
  const stored = state.hiddenOf(noted);
  for (const seq of stored) {
    const bytes = await ledger.keptEntry(state.log.id, seq);
    const retire = bytes && readRetire(parseEntry(bytes));
    if (retire === undefined) continue;
    const newest = ledger.statement(siteId, "retire", retire.logId)?.statement.ranges;
    if (newest?.contains(retire.ranges) !== true) stay.add(seq);
  }
  return stored.without(stay);
}
