/**
 * What two machines have written in one place of a log: the proof, and retires that are not in force since another entry has their place.
 * docs/specs/ledger.md, Admission
 */
import { type Entry, parseEntry } from "./entry.ts";
import { keepFork, keepUnplaced, unplacedKey } from "./kept-ledger.ts";
import type { LedgerEvent } from "./admission.ts";
import type { LedgerStore } from "./ledger-store.ts";
import { type ForkProof, type LogState, holdEntry } from "./log-state.ts";
import type { Replica } from "./replica.ts";
import type { Round } from "./round.ts";

export interface ForkComponents {
  readonly replica: Pick<Replica, "applyUnplaced">;
  readonly store: LedgerStore;
  readonly onEvent?: ((event: LedgerEvent) => void) | undefined;
}

/** An entry whose place another one has, or had before it was withdrawn: of a log with a fork. */
export async function noteFork(
  { replica, store, onEvent }: ForkComponents,
  state: LogState,
  entry: Entry,
  round: Round,
): Promise<void> {
  if (state.fork === undefined) keepProof({ onEvent }, state, [await round.entryAt(entry, store), entry.bytes], round);
  if (replica.applyUnplaced(holdEntry(entry))) round.changes.push(keepUnplaced(entry));
}

/** One proof a log is enough. */
export function keepProof(
  { onEvent }: Pick<ForkComponents, "onEvent">,
  state: LogState,
  proof: ForkProof,
  { changes }: Round,
): void {
  const { id: logId, certificate } = state.log;
  state.fork = proof;
  changes.push(keepFork(logId, proof));
  onEvent?.({ event: "fork-found", siteId: certificate.siteId, logId, seq: parseEntry(proof[0]).seq });
}

/** The bytes of retires that have lost this place. */
export async function unplacedEntries(
  store: Pick<LedgerStore, "get">,
  state: LogState,
  seq: number,
): Promise<Uint8Array[]> {
  const all = await Promise.all(state.unplacedAt(seq).map((hash) => store.get(unplacedKey(state.log.id, hash))));
  return all.filter((bytes) => bytes !== undefined);
}
