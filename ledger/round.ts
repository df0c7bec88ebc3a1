/** What one offer to the ledger has changed in memory, and what it has yet to keep. */
import { assertInvariant } from "#protocol/errors.ts";
import type { LogId, SiteId } from "#protocol/ids.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import type { Log } from "./entry.ts";
import { entryKey, keepChain, keepEntry, keepLog } from "./kept-ledger.ts";
import type { LedgerChange, LedgerStore } from "./ledger-store.ts";
import type { HeldEntry } from "./log-state.ts";

export class Round {
  readonly changes: LedgerChange[] = [];
  readonly admitted: HeldEntry[] = [];
  /** Those whose sites may not speak, or not yet. */
  readonly unkept = new Map<LogId, Log>();
  /** Sites that have a new recovery key, and its number. */
  readonly newKeys: { readonly siteId: SiteId; readonly number: number }[] = [];
  #hasNewKey = false;

  /** Logs that are here may not count any more. */
  get hasNewKey(): boolean {
    return this.#hasNewKey;
  }

  /** A chain of recovery keys that is longer than the one before. */
  keepChain(siteId: SiteId, chain: readonly RecoveryLink[]): void {
    this.#hasNewKey = true;
    this.newKeys.push({ siteId, number: chain.length + 1 });
    this.changes.push(keepChain(siteId, chain));
  }

  keepAdmitted(held: HeldEntry, bytes: Uint8Array): void {
    this.admitted.push(held);
    this.changes.push(keepEntry(held.logId, held.seq, bytes));
  }

  /** The certificate of a log that is here, signed by a newer key. */
  keepAnew(log: Log): void {
    this.#hasNewKey = true;
    this.changes.push(keepLog(log));
  }

  /** The bytes of the entry in force that has this place, just admitted or in the store. */
  async entryAt({ logId, seq }: Pick<HeldEntry, "logId" | "seq">, store: LedgerStore): Promise<Uint8Array> {
    const key = entryKey(logId, seq);
    const bytes = this.changes.find((change) => change.key === key)?.value ?? (await store.get(key));
    assertInvariant(bytes !== undefined, "an entry in force is in the store", { logId, seq });
    return bytes;
  }
}
