/**
 * The port through which a ledger keeps what must last. The site's is made of facts of its prime store; the simulator's is
 * a map. Contract tests: `test/conformance/ledger-store.ts`.
 */
export interface LedgerChange {
  /** ASCII, at most 200 characters. */
  readonly key: string;
  /** At most 256 KiB; undefined takes the key away. */
  readonly value: Uint8Array | undefined;
}

export interface LedgerStore {
  /** Everything, in byte order of the keys. */
  all(): AsyncIterable<{ readonly key: string; readonly value: Uint8Array }>;
  /** Undefined when there is none. */
  get(key: string): Promise<Uint8Array | undefined>;
  /**
   * Resolves once all of it survives a crash of the machine; when it rejects, any of it may be there or not. A later value of
   * a key counts. Calls may overlap; then their keys differ. Throws `store-full`, `store-failed`.
   */
  write(changes: readonly LedgerChange[]): Promise<void>;
}
