/** A ledger in memory: logs by their sites, and withdrawals, also those that came before what they withdraw. */
import { createHash } from "node:crypto";
import type { LogId, SiteId } from "#protocol/ids.ts";
import { type Log, openLog } from "./entry.ts";
import type { HeldEntry, LogState } from "./log-state.ts";
import type { Retire } from "./retire.ts";
import type { SeqRanges } from "./seq-ranges.ts";
import { SiteState } from "./site-state.ts";
import type { StatementKind } from "./statements.ts";

interface Withdrawal {
  /** Of the author. */
  readonly siteId: SiteId;
  readonly ranges: SeqRanges;
}

/** By which copies count, and places for them are chosen. */
const ofCopies = new Set<StatementKind>([
  "profile",
  "placement",
  "live-set",
  "receipt",
  "loss",
  "audit",
  "steward",
  "leaving",
]);

export class Replica {
  readonly #sites = new Map<SiteId, SiteState>();
  readonly #logs = new Map<LogId, LogState>();
  /** How many logs name a machine as their own. */
  readonly #machines = new Map<string, number>();
  /** Withdrawals from logs whose certificates are not known yet. */
  readonly #pending = new Map<LogId, Withdrawal[]>();
  readonly #guestLogs = new WeakMap<object, Log>();
  /** Who has given receipts, by their subject. */
  readonly #receivers = new Map<string, SiteId[]>();
  #speakersState: object = {};
  #guestsState: object = {};
  #copiesState: object = {};
  /** By ascending LogId; undefined after another one has come. */
  #sorted: readonly LogState[] | undefined;
  #digest: string | undefined;

  /** Another one after each change of logs, or of the guests that are let in. */
  get speakersState(): object {
    return this.#speakersState;
  }

  /** Another one after each change of the guests that are let in. */
  get guestsState(): object {
    return this.#guestsState;
  }

  /** Another one after each change of logs, or of what is said of copies and of those that may hold them. */
  get copiesState(): object {
    return this.#copiesState;
  }

  site(siteId: SiteId): SiteState | undefined {
    return this.#sites.get(siteId);
  }

  log(logId: LogId): LogState | undefined {
    return this.#logs.get(logId);
  }

  /** By ascending LogId. */
  logs(): readonly LogState[] {
    return (this.#sorted ??= [...this.#logs.values()].sort((one, other) => (one.log.id < other.log.id ? -1 : 1)));
  }

  /** Sites with a receipt in force of which this is the subject. */
  receivers(subject: string): SiteId[] {
    return this.#receivers.get(subject)?.slice() ?? [];
  }

  /** Of the guests that are let in. Certificates are opened once: this is asked for with each change. */
  guestLogs(): Log[] {
    return [...this.#sites.values()].flatMap((site) =>
      site.statements("guest").map(({ statement }) => {
        let log = this.#guestLogs.get(statement);
        if (log === undefined) this.#guestLogs.set(statement, (log = openLog(statement.certificate)));
        return log;
      }),
    );
  }

  addLog(log: Log, boundary: number): LogState {
    const { siteId } = log.certificate;
    const site = this.#sites.get(siteId) ?? this.#newSite(siteId);
    const state = site.addLog(log, boundary);
    this.#logs.set(log.id, state);
    this.#machines.set(machineOf(log), (this.#machines.get(machineOf(log)) ?? 0) + 1);
    this.#sorted = this.#digest = undefined;
    this.#speakersState = {};
    this.#copiesState = {};
    // Another log of the site may have withdrawn some of this one before its certificate came.
    for (const pending of this.#pending.get(log.id) ?? []) this.#withdraw(state, pending);
    this.#pending.delete(log.id);
    return state;
  }

  #newSite(siteId: SiteId): SiteState {
    const site = new SiteState({
      onChanged: () => (this.#digest = undefined),
      onStated: (kind) => {
        if (ofCopies.has(kind)) this.#copiesState = {};
      },
      onReceipt: (subject, isThere) => this.#noteReceiver(siteId, subject, isThere),
    });
    this.#sites.set(siteId, site);
    return site;
  }

  #noteReceiver(siteId: SiteId, subject: string, isThere: boolean): void {
    const others = this.#receivers.get(subject)?.filter((receiver) => receiver !== siteId) ?? [];
    if (isThere) others.push(siteId);
    if (others.length > 0) this.#receivers.set(subject, others);
    else this.#receivers.delete(subject);
  }

  /** Enters an entry that was found good, of a log that is here, and what it withdraws. */
  apply(held: HeldEntry): void {
    const state = this.#logs.get(held.logId)!;
    const { siteId } = state.log.certificate;
    // Only its own machine can have written a log: where two name one machine, the first entry says whose it is.
    if (state.lastSeq === undefined && this.#machines.get(machineOf(state.log))! > 1) this.#speakersState = {};
    this.#sites.get(siteId)!.admit(state, held);
    if (held.kind === "guest") this.#guestsChanged();
    const [statement] = held.statements;
    if (statement?.kind === "retire") this.#retire(siteId, statement);
  }

  /** A retire withdraws what it says also where another entry has its place: whichever came first, replicas end equal. Whether it was new. */
  applyUnplaced(held: HeldEntry): boolean {
    const state = this.#logs.get(held.logId)!;
    const [statement] = held.statements;
    if (statement?.kind !== "retire" || !state.noteUnplaced(held)) return false;
    this.#retire(state.log.certificate.siteId, statement);
    return true;
  }

  /** These are not kept any more, which had so many bytes. */
  forget(state: LogState, ranges: SeqRanges, bytes: number): void {
    state.forget(ranges);
    this.#sites.get(state.log.certificate.siteId)!.room.forgotten(ranges.count, bytes);
  }

  #retire(siteId: SiteId, { logId, ranges }: Retire): void {
    const target = this.#logs.get(logId);
    if (target !== undefined) return this.#withdraw(target, { siteId, ranges });
    const pending = this.#pending.get(logId) ?? [];
    this.#pending.set(logId, pending);
    const same = pending.find((withdrawal) => withdrawal.siteId === siteId);
    if (same === undefined) pending.push({ siteId, ranges: ranges.copy() });
    else same.ranges.addAll(ranges);
  }

  /** As in docs/specs/ledger.md, 64 hex digits. */
  digest(): string {
    return (this.#digest ??= this.#computeDigest());
  }

  #computeDigest(): string {
    const digest = createHash("sha256");
    for (const state of this.logs())
      if (state.inForceCount > 0 || state.fork) digest.update(state.log.id, "hex").update(state.digest);
    return digest.digest("hex");
  }

  /** A site withdraws its own entries and nobody else's. */
  #withdraw(target: LogState, { siteId, ranges }: Withdrawal): void {
    if (target.log.certificate.siteId !== siteId) return;
    const gone = this.#sites.get(siteId)!.withdraw(target, ranges);
    if (gone.some(({ kind }) => kind === "guest")) this.#guestsChanged();
  }

  #guestsChanged(): void {
    this.#speakersState = {};
    this.#guestsState = {};
  }
}

const machineOf = ({ certificate }: Log): string => Buffer.from(certificate.peerPublicKey).toString("latin1");
