/** What a replica has of one site: its logs, and what their entries in force say. */
import { type Log, compareLogs } from "./entry.ts";
import { type HeldEntry, LogState } from "./log-state.ts";
import type { SeqRanges } from "./seq-ranges.ts";
import { SiteRoom } from "./site-room.ts";
import { type HeldStatement, type HeldStatementOf, type StatementKind, subjectOf } from "./statements.ts";

/** An entry in force, and one thing that it says. */
export interface Stated<Name extends StatementKind> extends HeldEntry {
  readonly statement: HeldStatementOf<Name>;
}

interface AnyStated extends HeldEntry {
  readonly statement: HeldStatement;
  readonly subject: string;
  /** It alone: one list for all who have nothing else about its subject, of whom there are very many where sites are hundreds. */
  readonly alone: readonly AnyStated[];
}

const none: readonly AnyStated[] = [];
const stated = new WeakMap<HeldEntry, readonly AnyStated[]>();

/** All that an entry says, one by one. */
function statedBy(held: HeldEntry): readonly AnyStated[] {
  let all = stated.get(held);
  if (all === undefined) {
    all = held.statements.map((statement) => {
      const alone: AnyStated[] = [];
      alone.push({ ...held, statement, subject: subjectOf(statement), alone });
      return alone[0]!;
    });
    stated.set(held, all);
  }
  return all;
}

/** What a machine says of its own disk: with the next machine it is over. */
const ofOneMachine: ReadonlySet<StatementKind> = new Set(["receipt", "loss"]);

export interface SiteListener {
  /** What is in force has changed, or a fork was found. */
  readonly onChanged: () => void;
  /** What is said of a kind, or was, is not what it was. */
  readonly onStated: (kind: StatementKind) => void;
  /** There is a first receipt about a subject, or the last one has gone. */
  readonly onReceipt: (subject: string, isThere: boolean) => void;
}

export class SiteState {
  readonly #listener: SiteListener;
  readonly #logs: LogState[] = [];
  /** By kind and subject; the newest is the last. */
  readonly #subjects = new Map<StatementKind, Map<string, readonly AnyStated[]>>();
  /** Entries of which newer ones have made something idle, and how much of it. By hash. */
  readonly #idle = new Map<string, { readonly held: HeldEntry; count: number }>();
  readonly room = new SiteRoom();

  constructor(listener: SiteListener) {
    this.#listener = listener;
  }

  /** The newest first: it is the current one. */
  get logs(): readonly LogState[] {
    return this.#logs;
  }

  addLog(log: Log, boundary: number): LogState {
    const state = new LogState(log, boundary, this.#listener.onChanged);
    this.#logs.push(state);
    this.#logs.sort((one, other) => compareLogs(one.log, other.log));
    if (this.#logs[0] === state && this.#logs.length > 1) this.#endFormer();
    return state;
  }

  /** There is another current log: some of what former ones say is over. */
  #endFormer(): void {
    for (const kind of ofOneMachine)
      for (const [subject, entries] of this.#subjects.get(kind) ?? []) {
        const [newest] = entries.slice(-1);
        if (newest === undefined || newest.logId !== this.#logs[1]!.log.id) continue;
        this.#countIdle(newest, 1);
        if (kind === "receipt") this.#listener.onReceipt(subject, false);
      }
  }

  admit(state: LogState, held: HeldEntry): void {
    this.room.kept(held);
    if (!state.admit(held)) return;
    this.room.cameInForce(held);
    for (const stated of statedBy(held)) {
      const { statement, subject } = stated;
      this.#listener.onStated(statement.kind);
      const subjects = this.#subjects.get(statement.kind) ?? new Map<string, readonly AnyStated[]>();
      this.#subjects.set(statement.kind, subjects);
      const before = subjects.get(subject) ?? none;
      let at = before.length;
      while (at > 0 && this.#isNewer(before[at - 1]!, held)) at--;
      const entries = before.length === 0 ? stated.alone : before.toSpliced(at, 0, stated);
      subjects.set(subject, entries);
      const [former, newest] = [this.#newestOf(before), this.#newestOf(entries)];
      if (newest !== stated) this.#countIdle(held, 1);
      if (newest !== former && former !== undefined) this.#countIdle(former, 1);
      if (newest !== undefined && former === undefined && statement.kind === "receipt")
        this.#listener.onReceipt(subject, true);
    }
  }

  #countIdle(held: HeldEntry, by: 1 | -1): void {
    const idle = this.#idle.get(held.hash);
    if (idle === undefined) this.#idle.set(held.hash, { held, count: by });
    else if ((idle.count += by) === 0) this.#idle.delete(held.hash);
  }

  /** What goes out of force by it. */
  withdraw(state: LogState, ranges: SeqRanges): HeldEntry[] {
    const gone = state.withdraw(ranges);
    for (const held of gone) {
      this.room.wentOutOfForce(held);
      for (const { statement, subject } of statedBy(held)) {
        this.#listener.onStated(statement.kind);
        const subjects = this.#subjects.get(statement.kind)!;
        const entries = subjects.get(subject);
        // One entry may say two things about one subject.
        if (entries === undefined) continue;
        const left = entries.filter((stated) => stated.hash !== held.hash);
        const [former, newest] = [this.#newestOf(entries), this.#newestOf(left)];
        if (left.length === 0) subjects.delete(subject);
        else subjects.set(subject, left.length === 1 ? left[0]!.alone : left);
        if (newest !== undefined && newest !== former) this.#countIdle(newest, -1);
        if (newest === undefined && former !== undefined && statement.kind === "receipt")
          this.#listener.onReceipt(subject, false);
      }
      this.#idle.delete(held.hash);
    }
    return gone;
  }

  /** The newest of each subject. */
  statements<Name extends StatementKind>(kind: Name): Stated<Name>[] {
    const subjects = this.#subjects.get(kind)?.values() ?? [];
    return [...subjects].flatMap((entries) => (this.#newestOf(entries) as Stated<Name> | undefined) ?? []);
  }

  /** The newest about one subject: docs/specs/replication.md. */
  statement<Name extends StatementKind>(kind: Name, subject: string): Stated<Name> | undefined {
    return this.#newestOf(this.#subjects.get(kind)?.get(subject) ?? []) as Stated<Name> | undefined;
  }

  /** The entries in force that newer ones have made idle in all that they say. */
  superseded(): HeldEntry[] {
    return [...this.#idle.values()].flatMap(({ held, count }) => (count === held.statements.length ? [held] : []));
  }

  /** Undefined where all are of former machines, and only a machine itself can say it. */
  #newestOf(entries: readonly AnyStated[]): AnyStated | undefined {
    const newest = entries.at(-1);
    const isOver =
      newest !== undefined && ofOneMachine.has(newest.statement.kind) && newest.logId !== this.#logs[0]?.log.id;
    return isOver ? undefined : newest;
  }

  /** Whether `one` is newer than `other`: by the order of logs, then by seq. */
  #isNewer(one: HeldEntry, other: HeldEntry): boolean {
    if (one.logId === other.logId) return one.seq > other.seq;
    const ageOf = ({ logId }: HeldEntry): number => this.#logs.findIndex(({ log }) => log.id === logId);
    return ageOf(one) < ageOf(other);
  }
}
