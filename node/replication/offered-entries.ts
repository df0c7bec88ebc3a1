/** Entries that come in the messages of one run: the same two come with each of its slices, and are offered and read once. */
import { parseEntry } from "#ledger/entry.ts";
import { type Statement, readStatements } from "#ledger/statements.ts";
import type { LogId } from "#protocol/ids.ts";
import type { LedgerReader } from "./replication-ports.ts";

export interface OfferedEntry {
  readonly bytes: Uint8Array;
  readonly logId: LogId;
  readonly seq: number;
  readonly statements: readonly Statement[];
}

/** The one that names the holder, and the one that says what is live. */
const MOST_COUNT = 2;

export class OfferedEntries {
  readonly #ledger: Pick<LedgerReader, "offer">;
  /** The newest first. */
  #recent: readonly OfferedEntry[] = [];

  constructor(components: { ledger: Pick<LedgerReader, "offer"> }) {
    this.#ledger = components.ledger;
  }

  /** Throws as `Ledger.offer`. */
  async offer(bytes: Uint8Array): Promise<OfferedEntry> {
    const before = this.#recent.find((entry) => Buffer.compare(entry.bytes, bytes) === 0);
    if (before !== undefined) return before;
    await this.#ledger.offer({ entries: [bytes] });
    const entry = parseEntry(Buffer.from(bytes));
    const { logId, seq } = entry;
    const offered = { bytes: entry.bytes, logId, seq, statements: readStatements(entry) };
    this.#recent = [offered, ...this.#recent].slice(0, MOST_COUNT);
    return offered;
  }
}
