/**
 * A replica of the ledger: admits entries by the rules of docs/specs/ledger.md, applies withdrawals, keeps proofs of forks, and
 * writes this site's own entries. What it answers is durable before.
 *
 * Invariants: an entry is in force only when its author has signed it and has not withdrawn it; nothing but a retire takes it
 * out of force; what was offered in any order ends equal. Calls may overlap: changes run one after the other.
 */
import { createHash } from "node:crypto";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError, assertInvariant } from "#protocol/errors.ts";
import type { EntryId, LogId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type Entry, type Log, compareLogs, openLog, parseEntry, signEntry, verifyEntry } from "./entry.ts";
import type { LedgerChange, LedgerStore } from "./ledger-store.ts";
import { type ForkProof, LogState } from "./log-state.ts";
import { readRetire } from "./retire.ts";
import type { SeqRanges } from "./seq-ranges.ts";

export interface LedgerComponents {
  readonly store: LedgerStore;
  /** Whether the membership allows a site's entry at this place. */
  readonly allows: (siteId: SiteId, logId: LogId, seq: number) => boolean;
  readonly onEvent?: (event: LedgerEvent) => void;
}

/** What people should be told. */
export type LedgerEvent =
  | { readonly event: "fork-found"; readonly siteId: SiteId; readonly logId: LogId; readonly seq: number }
  | { readonly event: "site-full"; readonly siteId: SiteId };

/** What became of one entry that was offered. */
export type Admission = "admitted" | "known" | "withdrawn" | "not-allowed" | "site-full" | "fork";

export interface Offer {
  readonly certificates?: readonly Uint8Array[];
  readonly entries?: readonly Uint8Array[];
}

interface Withdrawal {
  /** Of the author. */
  readonly siteId: SiteId;
  readonly ranges: SeqRanges;
}

const PREFIX = { log: "log/", entry: "entry/", fork: "fork/" } as const;
const SEQ_DIGITS = 16;
const entryKey = (logId: LogId, seq: number): string =>
  `${PREFIX.entry}${logId}/${String(seq).padStart(SEQ_DIGITS, "0")}`;

export class Ledger {
  readonly #components: LedgerComponents;
  #logs = new Map<LogId, LogState>();
  /** Withdrawals from logs whose certificates are not known yet. */
  readonly #pending = new Map<LogId, Withdrawal[]>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(components: LedgerComponents) {
    this.#components = components;
  }

  static async open(components: LedgerComponents): Promise<Ledger> {
    const ledger = new Ledger(components);
    await ledger.#load();
    return ledger;
  }

  /** Reads the store from its start: also after a write of which it is not known how far it came. */
  async #load(): Promise<void> {
    this.#logs = new Map();
    this.#pending.clear();
    const entries: Entry[] = [];
    const forks: [LogId, Uint8Array][] = [];
    for await (const { key, value } of this.#components.store.all()) {
      if (key.startsWith(PREFIX.log)) this.#addLog(openLog(value));
      else if (key.startsWith(PREFIX.entry)) entries.push(parseEntry(value));
      else if (key.startsWith(PREFIX.fork)) forks.push([key.slice(PREFIX.fork.length) as LogId, value]);
    }
    for (const entry of entries) this.#apply(entry);
    for (const [logId, value] of forks) this.#logs.get(logId)!.fork = decodeCbor(value) as unknown as ForkProof;
  }

  /** Logs by the newest of each site first; a site's own current log is its first. */
  logsOf(siteId: SiteId): LogState[] {
    const logs = [...this.#logs.values()].filter(({ log }) => log.certificate.siteId === siteId);
    return logs.sort((one, other) => compareLogs(one.log, other.log));
  }

  log(logId: LogId): LogState | undefined {
    return this.#logs.get(logId);
  }

  /** By ascending LogId. */
  logs(): LogState[] {
    return [...this.#logs.values()].sort((one, other) => (one.log.id < other.log.id ? -1 : 1));
  }

  /** As in docs/specs/ledger.md, 64 hex digits. */
  digest(): string {
    const digest = createHash("sha256");
    for (const state of this.logs())
      if (state.inForceCount > 0 || state.fork) digest.update(state.log.id, "hex").update(state.digest);
    return digest.digest("hex");
  }

  /** The bytes of an entry in force. */
  async entry(logId: LogId, seq: number): Promise<Uint8Array | undefined> {
    if (this.#logs.get(logId)?.held(seq) === undefined) return undefined;
    return this.#components.store.get(entryKey(logId, seq));
  }

  /**
   * Offers certificates, then entries, whoever sent them; what became of each entry, in order. Throws `bad-encoding`,
   * `bad-id`, `limit-exceeded`, `signature-invalid` for what no honest peer sends: what came before it is kept.
   */
  offer({ certificates = [], entries = [] }: Offer): Promise<Admission[]> {
    return this.#inTurn(async () => {
      const changes: LedgerChange[] = [];
      const admissions: Admission[] = [];
      let failure: unknown;
      try {
        for (const bytes of certificates) this.#offerCertificate(bytes, changes);
        for (const bytes of entries) admissions.push(await this.#offerEntry(bytes, changes));
      } catch (error) {
        failure = error;
      }
      await this.#write(changes);
      if (failure !== undefined) throw failure;
      return admissions;
    });
  }

  /** Writes an entry of this site's own, in the log that `certificate` opens. Resolves with its bytes once it is durable. */
  append(
    log: Log,
    peerSeed: Uint8Array,
    own: { id: EntryId; timeMs: number; kind: string; data: CborMap },
  ): Promise<Uint8Array> {
    return this.#inTurn(async () => {
      const seq = (this.#logs.get(log.id)?.known.last ?? -1) + 1;
      const bytes = signEntry({ ...own, logId: log.id, seq }, peerSeed);
      const changes: LedgerChange[] = [];
      this.#offerCertificate(log.bytes, changes);
      const admission = await this.#offerEntry(bytes, changes);
      await this.#write(changes);
      if (admission !== "admitted") throw new CostorError("ledger-refused", `the ledger takes no entry: ${admission}`);
      return bytes;
    });
  }

  async #write(changes: readonly LedgerChange[]): Promise<void> {
    if (changes.length === 0) return;
    try {
      await this.#components.store.write(changes);
    } catch (error) {
      // What is in memory may be more than what is kept.
      await this.#load();
      throw error;
    }
  }

  #offerCertificate(bytes: Uint8Array, changes: LedgerChange[]): void {
    const log = openLog(bytes);
    if (this.#logs.has(log.id)) return;
    if (this.logsOf(log.certificate.siteId).length >= limits.ledgerLogsPerSiteCount)
      throw new CostorError("limit-exceeded", `site ${log.certificate.siteId} has too many logs`);
    this.#addLog(log);
    changes.push({ key: `${PREFIX.log}${log.id}`, value: bytes });
  }

  #addLog(log: Log): void {
    const state = new LogState(log);
    this.#logs.set(log.id, state);
    // Another log of the site may have withdrawn some of this one before its certificate came.
    for (const pending of this.#pending.get(log.id) ?? []) withdraw(state, pending);
    this.#pending.delete(log.id);
  }

  async #offerEntry(bytes: Uint8Array, changes: LedgerChange[]): Promise<Admission> {
    const entry = parseEntry(bytes);
    const state = this.#logs.get(entry.logId);
    if (state === undefined)
      throw new CostorError(
        "signature-invalid",
        `entry ${entry.seq} is of log ${entry.logId}, whose certificate is not known`,
      );
    const { siteId } = state.log.certificate;
    if (state.held(entry.seq)?.hash === entry.hash) return "known";
    verifyEntry(entry, state.log);
    if (!this.#components.allows(siteId, entry.logId, entry.seq)) return "not-allowed";
    if (state.isWithdrawn(entry.seq)) return "withdrawn";
    if (state.held(entry.seq) !== undefined) return this.#keepFork(state, entry, changes);
    if (this.#inForceCountOf(siteId) >= limits.ledgerEntriesPerSiteCount) {
      this.#components.onEvent?.({ event: "site-full", siteId });
      return "site-full";
    }
    this.#apply(entry);
    changes.push({ key: entryKey(entry.logId, entry.seq), value: bytes });
    return "admitted";
  }

  /** Two entries of one place: one proof a log is enough. */
  async #keepFork(state: LogState, { logId, seq, bytes }: Entry, changes: LedgerChange[]): Promise<Admission> {
    if (state.fork !== undefined) return "fork";
    const key = entryKey(logId, seq);
    const first = changes.find((change) => change.key === key)?.value ?? (await this.#components.store.get(key));
    assertInvariant(first !== undefined, "an entry in force is in the store", { logId, seq });
    state.fork = [first, bytes];
    changes.push({ key: `${PREFIX.fork}${logId}`, value: encodeCbor([first, bytes]) });
    this.#components.onEvent?.({ event: "fork-found", siteId: state.log.certificate.siteId, logId, seq });
    return "fork";
  }

  /** Enters an entry that was found good, and what it withdraws. */
  #apply(entry: Entry): void {
    const state = this.#logs.get(entry.logId)!;
    state.admit(entry);
    const retire = readRetire(entry);
    if (retire === undefined) return;
    const { siteId } = state.log.certificate;
    const target = this.#logs.get(retire.logId);
    if (target !== undefined) return withdraw(target, { siteId, ranges: retire.ranges });
    const waiting = this.#pending.get(retire.logId) ?? [];
    this.#pending.set(retire.logId, [...waiting, { siteId, ranges: retire.ranges }]);
  }

  #inForceCountOf(siteId: SiteId): number {
    return this.logsOf(siteId).reduce((sum, state) => sum + state.inForceCount, 0);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** A site withdraws its own entries and nobody else's. */
function withdraw(target: LogState, { siteId, ranges }: Withdrawal): void {
  if (target.log.certificate.siteId === siteId) target.withdraw(ranges);
}
