/**
 * A replica of the ledger: admits entries by the rules of docs/specs/ledger.md, applies withdrawals, keeps proofs of forks, and
 * writes this site's own entries. What it answers is durable before.
 *
 * Invariants: an entry is in force only when its author has signed it, has not withdrawn it, and may speak; nothing but a
 * retire or the membership takes it out of force; what was offered in any order ends equal. Calls may overlap: changes run one
 * after the other.
 */
import type { CborMap } from "#protocol/cbor.ts";
import type { EntryId, LogId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import { type Admission, type Admitted, type LedgerEvent, type Offer, type Speakers, refused } from "./admission.ts";
import { type Log, openLog, parseEntry, signEntry, unknownLog, verifyEntry, verifyFork } from "./entry.ts";
import { keepProof, noteFork, unplacedEntries } from "./forks.ts";
import { entryKey, forgetEntries, keepLog, readKeptLedger } from "./kept-ledger.ts";
import type { LedgerChange, LedgerStore } from "./ledger-store.ts";
import { type ForkProof, type HeldEntry, type LogState, holdEntry } from "./log-state.ts";
import { RecoveryKeys, chainSaidIn } from "./recovery-keys.ts";
import { replay } from "./replay.ts";
import { Round } from "./round.ts";
import { Replica } from "./replica.ts";
import type { Head } from "./roster.ts";
import type { SeqRanges } from "./seq-ranges.ts";
import { forgetSilent } from "./silent-entries.ts";
import type { Stated } from "./site-state.ts";
import { type Statement, type StatementKind, readStatements } from "./statements.ts";

export interface LedgerComponents {
  readonly store: LedgerStore;
  readonly speakers: Speakers;
  readonly onEvent?: (event: LedgerEvent) => void;
}

export class Ledger {
  readonly #components: LedgerComponents;
  readonly #listeners: ((admitted: Admitted) => void)[] = [];
  readonly #keys: RecoveryKeys;
  #replica = new Replica();
  /** Logs whose certificates are in the store. */
  #keptLogs = new Set<LogId>();
  #turn: Promise<unknown> = Promise.resolve();
  /** The guests that were let in when it was last looked at who may speak. */
  #settledGuests: object | undefined;

  private constructor(components: LedgerComponents) {
    this.#components = components;
    this.#keys = new RecoveryKeys(components.speakers);
  }

  static async open(components: LedgerComponents): Promise<Ledger> {
    const ledger = new Ledger(components);
    components.speakers.follow(ledger);
    await ledger.#load();
    return ledger;
  }

  /** Reads the store from its start: also when others may speak, and after a write of which it is not known how far it came. */
  async #load(): Promise<void> {
    const { store, speakers } = this.#components;
    const kept = await readKeptLedger(store);
    // From here on nothing waits: nobody sees half of it.
    this.#keys.restore(kept.chains);
    this.#keptLogs = new Set(kept.logs.map(({ id }) => id));
    this.#replica = new Replica();
    const lastAllowedSeq = (log: Log): number => this.#lastAllowedSeq(log);
    replay(this.#replica, kept, { counts: (log) => this.#keys.counts(log), lastAllowedSeq });
    this.#meetGuests();
    await forgetSilent(store, kept, { self: speakers.siteId, isSilent: (log) => lastAllowedSeq(log) < 0 });
  }

  /** Other values after changes: who may speak may be others then. To be asked for each time. */
  get states(): Pick<Replica, "copiesState" | "guestsState" | "speakersState"> {
    return this.#replica;
  }

  /** The newest first: it is the site's current log. */
  logsOf(siteId: SiteId): readonly LogState[] {
    return this.#replica.site(siteId)?.logs ?? [];
  }

  currentLog(siteId: SiteId): LogState | undefined {
    return this.logsOf(siteId)[0];
  }

  /** Of each of a site's logs the last seq that is known. */
  headsOf(siteId: SiteId): Head[] {
    const heads = this.logsOf(siteId).map(({ log, known }) => ({ logId: log.id, seq: known.last ?? -1 }));
    return heads.filter(({ seq }) => seq >= 0);
  }

  /** The proof that two machines have written the site's current log; one in an older log has ended with it. */
  forkOf(siteId: SiteId): ForkProof | undefined {
    return this.currentLog(siteId)?.fork;
  }

  /** Which recovery keys sites have, as far as is known here. */
  get recoveryKeys(): Pick<RecoveryKeys, "chainOf" | "counts" | "hasRival" | "isNewest"> {
    return this.#keys;
  }

  log(logId: LogId): LogState | undefined {
    return this.#replica.log(logId);
  }

  /** By ascending LogId. */
  logs(): readonly LogState[] {
    return this.#replica.logs();
  }

  digest(): string {
    return this.#replica.digest();
  }

  /** What a site's entries in force say: the newest of each subject. `agent` and `snapshot` without what is sealed. */
  statements<Name extends StatementKind>(siteId: SiteId, kind: Name): Stated<Name>[] {
    return this.#replica.site(siteId)?.statements(kind) ?? [];
  }

  statement<Name extends StatementKind>(siteId: SiteId, kind: Name, subject: string): Stated<Name> | undefined {
    return this.#replica.site(siteId)?.statement(kind, subject);
  }

  /** Sites with a receipt in force for a slice of an owner. */
  receivers(owner: SiteId, slice: number): SiteId[] {
    return this.#replica.receivers(`${owner}/${slice}`);
  }

  /** The part that a site has used of what it may say, from 0 to 1 and a little. */
  usedRatio(siteId: SiteId): number {
    return this.#replica.site(siteId)?.room.usedRatio ?? 0;
  }

  /** A site's entries in force that newer ones have made idle. */
  superseded(siteId: SiteId): HeldEntry[] {
    return this.#replica.site(siteId)?.superseded() ?? [];
  }

  /** The bytes of an entry in force. */
  async entry(logId: LogId, seq: number): Promise<Uint8Array | undefined> {
    return this.log(logId)?.held(seq) && this.#components.store.get(entryKey(logId, seq));
  }

  /** The bytes of all that counts of one place: the entry in force, and of a log with a fork retires that have lost their place. */
  async entriesAt(logId: LogId, seq: number): Promise<Uint8Array[]> {
    const [entry, state] = [await this.entry(logId, seq), this.log(logId)];
    const unplaced = state === undefined ? [] : await unplacedEntries(this.#components.store, state, seq);
    return entry === undefined ? unplaced : [entry, ...unplaced];
  }

  /** What an entry in force says, with what is sealed in it; empty for one that says nothing or is not in force. */
  async wholeStatements(logId: LogId, seq: number): Promise<readonly Statement[]> {
    const bytes = await this.entry(logId, seq);
    return bytes === undefined ? [] : readStatements(parseEntry(bytes));
  }

  /** Listeners are called in the order of admission, once the entry is durable; they must not throw. */
  onAdmitted(listener: (admitted: Admitted) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes entries that are withdrawn out of the store; how many. */
  forget(logId: LogId, ranges: SeqRanges): Promise<number> {
    return this.#inTurn(async () => {
      const state = this.log(logId);
      if (state === undefined) return 0;
      const gone = state.hiddenOf(ranges);
      const bytes = await forgetEntries(this.#components.store, logId, gone);
      this.#replica.forget(state, gone, bytes);
      return gone.count;
    });
  }

  /** The bytes of an entry that is kept, in force or withdrawn. */
  keptEntry(logId: LogId, seq: number): Promise<Uint8Array | undefined> {
    return this.#components.store.get(entryKey(logId, seq));
  }

  /** Hides what is not allowed any more, and brings back what is allowed again; so do keys on which members have agreed. `sites`: whose they are. */
  membershipChanged(sites: readonly SiteId[] = []): Promise<void> {
    return this.#inTurn(async () => {
      const round = new Round();
      for (const siteId of sites) if (this.#keys.agree(siteId)) round.keepChain(siteId, this.#keys.chainOf(siteId));
      await this.#finish(round, false);
      if (!round.hasNewKey) await this.#settle();
    });
  }

  /**
   * Offers certificates, proofs of forks, then entries, whoever sent them; what became of each entry, in order. Certificates
   * of sites that may not speak, or have too many logs, are not kept. Throws `bad-encoding`, `bad-id`, `limit-exceeded`, `signature-invalid` for what
   * no honest peer sends: what came before it is kept.
   */
  offer({ certificates = [], forks = [], entries = [] }: Offer): Promise<Admission[]> {
    return this.#inTurn(async () => {
      const round = new Round();
      const admissions: Admission[] = [];
      let failure: unknown;
      try {
        for (const bytes of certificates) this.#offerCertificate(openLog(bytes), round);
        for (const proof of forks) this.#offerFork(proof, round);
        for (const bytes of entries) admissions.push(await this.#offerEntry(bytes, round));
      } catch (error) {
        failure = error;
      }
      await this.#finish(round, false);
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
      const seq = (this.log(log.id)?.known.last ?? -1) + 1;
      const bytes = signEntry({ ...own, logId: log.id, seq }, peerSeed);
      const round = new Round();
      this.#offerCertificate(log, round);
      const admission = await this.#offerEntry(bytes, round);
      await this.#finish(round, true);
      if (admission !== "admitted") throw refused(admission);
      return bytes;
    });
  }

  async #finish({ changes, admitted, hasNewKey, newKeys }: Round, own: boolean): Promise<void> {
    if (changes.length > 0) {
      try {
        await this.#components.store.write(changes);
      } catch (error) {
        // What is in memory may be more than what is kept.
        await this.#load();
        throw error;
      }
    }
    const sites = admitted.map(({ logId }) => this.log(logId)!.log.certificate.siteId);
    if (hasNewKey) await this.#load();
    else if (this.#replica.guestsState !== this.#settledGuests) await this.#settle();
    for (const key of newKeys) this.#components.onEvent?.({ event: "recovery-key", ...key });
    for (const [index, { logId, seq, kind }] of admitted.entries()) {
      const siteId = sites[index]!;
      for (const listener of this.#listeners) listener({ siteId, logId, seq, kind, own });
    }
  }

  /** Where nothing is to be hidden or to come back, nothing is read. */
  async #settle(): Promise<void> {
    if (this.logs().every((state) => state.moveBoundary(this.#lastAllowedSeq(state.log)))) this.#meetGuests();
    else await this.#load();
    this.#settledGuests = this.#replica.guestsState;
  }

  /** Whoever knows the entry that lets a guest in knows its machine. The certificate is kept with the guest's first entry. */
  #meetGuests(): void {
    for (const log of this.#replica.guestLogs()) {
      const boundary = this.#lastAllowedSeq(log);
      if (boundary >= 0 && this.log(log.id) === undefined && this.#hasRoomForLog(log))
        this.#replica.addLog(log, boundary);
    }
  }

  readonly #hasRoomForLog = ({ certificate }: Log): boolean =>
    this.logsOf(certificate.siteId).length < limits.ledgerLogsPerSiteCount;

  #lastAllowedSeq(log: Log): number {
    const { id, certificate } = log;
    return this.#keys.counts(log) ? this.#components.speakers.lastAllowedSeq(certificate.siteId, id) : -1;
  }

  #offerCertificate(log: Log, round: Round): LogState | undefined {
    const { changes, unkept } = round;
    const { siteId, chain } = log.certificate;
    if (this.#components.speakers.lastAllowedSeq(siteId, log.id) >= 0) this.#learn(siteId, chain, round);
    const known = this.log(log.id);
    if (known !== undefined) {
      if (chain.length > known.log.certificate.chain.length && this.#keys.counts(log)) round.keepAnew(log);
      return known;
    }
    const boundary = this.#lastAllowedSeq(log);
    if (boundary < 0 || !this.#hasRoomForLog(log)) {
      unkept.set(log.id, log);
      return undefined;
    }
    this.#keepLog(log, changes);
    return this.#replica.addLog(log, boundary);
  }

  /** A longer chain of a site's recovery keys. */
  #learn(siteId: SiteId, chain: readonly RecoveryLink[], round: Round): void {
    const news = this.#keys.learn(siteId, chain);
    if (news === "longer") round.keepChain(siteId, this.#keys.chainOf(siteId));
    if (news === "rival") this.#components.onEvent?.({ event: "recovery-key-rival", siteId, number: chain.length + 1 });
  }

  #keepLog(log: Log, changes: LedgerChange[]): void {
    if (this.#keptLogs.has(log.id)) return;
    this.#keptLogs.add(log.id);
    changes.push(keepLog(log));
  }

  async #offerEntry(bytes: Uint8Array, round: Round): Promise<Admission> {
    const entry = parseEntry(bytes);
    const unkept = round.unkept.get(entry.logId);
    const state = unkept === undefined ? this.log(entry.logId) : this.#offerCertificate(unkept, round);
    const log = state?.log ?? unkept;
    if (log === undefined) throw unknownLog(entry);
    if (state?.held(entry.seq)?.hash === entry.hash) return "known";
    verifyEntry(entry, log);
    if (state === undefined || entry.seq > this.#lastAllowedSeq(log)) return "not-allowed";
    // Also when it is withdrawn: whoever has the former key may have done that.
    const { siteId } = log.certificate;
    const chain = chainSaidIn(entry, siteId);
    if (chain !== undefined) this.#learn(siteId, chain, round);
    const [isWithdrawn, isTaken] = [state.isWithdrawn(entry.seq), state.held(entry.seq) !== undefined];
    if (isTaken || (isWithdrawn && state.fork !== undefined))
      await noteFork({ ...this.#components, replica: this.#replica }, state, entry, round);
    if (isTaken || isWithdrawn) return isTaken ? "fork" : "withdrawn";
    const held = holdEntry(entry);
    if (!this.#replica.site(siteId)!.room.hasFor(held)) {
      this.#components.onEvent?.({ event: "site-full", siteId });
      return "site-full";
    }
    this.#replica.apply(held);
    this.#keepLog(log, round.changes);
    round.keepAdmitted(held, entry.bytes);
    if (held.kind === "guest") this.#meetGuests();
    return "admitted";
  }

  /** Proofs are good also where the entries are withdrawn: so replicas that saw the retire first learn of the fork too. */
  #offerFork(proof: ForkProof, round: Round): void {
    const first = parseEntry(proof[0]);
    const state = this.log(first.logId);
    if (state === undefined) throw unknownLog(first);
    verifyFork(proof, state.log);
    if (state.fork !== undefined || first.seq > this.#lastAllowedSeq(state.log)) return;
    this.#keepLog(state.log, round.changes);
    keepProof(this.#components, state, proof, round);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
