/**
 * Entries that were read last. An entry comes by several ways at about one time (spread, at the end of a run, when ledgers are
 * compared), and reading it costs more than all else that is done with it.
 */
import { hash } from "node:crypto";
import { limits } from "#protocol/limits.ts";
import type { Entry } from "./entry.ts";

export class RecentEntries {
  /** By the hash of the signed entry, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** The one with these bytes, or what `read` makes of a copy of them. */
  get(bytes: Uint8Array, read: (bytes: Buffer) => Entry): Entry {
    const name = hash("sha256", bytes, "base64url");
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    // The bytes that came are the caller's, and may be part of a much longer message.
    const entry = read(Buffer.from(bytes));
    this.#entries.set(name, entry);
    this.#bytes += bytes.length;
    for (const [oldest, { bytes: old }] of this.#entries) {
      if (this.#bytes <= limits.recentEntriesBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= old.length;
    }
    return entry;
  }
}
