import type { LedgerChange, LedgerStore } from "#ledger/ledger-store.ts";

/** A ledger store in memory, which can fail. */
export class MemoryLedgerStore implements LedgerStore {
  readonly values = new Map<string, Uint8Array>();
  /** Thrown by the next write, after so many of its changes. */
  failure: { readonly error: Error; readonly afterCount: number } | undefined;

  async *all(): AsyncGenerator<{ key: string; value: Uint8Array }> {
    for (const key of [...this.values.keys()].sort()) yield { key, value: this.values.get(key)! };
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.values.get(key);
  }

  async write(changes: readonly LedgerChange[]): Promise<void> {
    const { failure } = this;
    this.failure = undefined;
    for (const { key, value } of changes.slice(0, failure?.afterCount))
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, Buffer.from(value));
    if (failure) throw failure.error;
  }
}
