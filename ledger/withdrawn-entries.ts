/** What a peer still keeps of this site's own entries that were withdrawn. docs/specs/ledger.md, "Synchronising" */
import { CostorError } from "#protocol/errors.ts";
import { type Entry, type Log, parseEntry, verifyEntry } from "./entry.ts";
import type { Channel } from "./peers.ts";
import { askForPages } from "./sync-pages.ts";

/** By ascending seq, each verified. Throws `peer-misbehaved`, `peer-unreachable`, and as {@link parseEntry} for what no honest peer sends. */
export async function* withdrawnEntries(channel: Channel, log: Log): AsyncGenerator<Entry> {
  let last = -1;
  for await (const page of askForPages(channel, { ask: "withdrawn", log: log.id }, "entries"))
    for (const bytes of page) {
      const entry = parseEntry(bytes);
      if (entry.logId !== log.id || entry.seq <= last)
        throw new CostorError("peer-misbehaved", "the peer sends entries that were not asked for");
      verifyEntry(entry, log);
      last = entry.seq;
      yield entry;
    }
}
