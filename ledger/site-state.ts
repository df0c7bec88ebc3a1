/** What a replica has of one site: its logs, and what their entries in force say. */
import { limits } from "#protocol/limits.ts";
import { type Log, compareLogs } from "./entry.ts";
import { type HeldEntry, LogState } from "./log-state.ts";
import type { SeqRanges } from "./seq-ranges.ts";
import { type HeldStatement, type HeldStatementOf, type StatementKind, subjectOf } from "./statements.ts";

/** An entry in force, and one thing that it says. */
export interface Stated<Name extends StatementKind> extends HeldEntry {
  readonly statement: HeldStatementOf<Name>;
}

type AnyStated = HeldEntry & { readonly statement: HeldStatement };

/** What a machine says of its own disk: with the next machine it is over. */
const ofOneMachine: ReadonlySet<StatementKind> = new Set(["receipt", "loss"]);

export class SiteState {
  readonly #logs: LogState[] = [];
  /** By kind and subject; the newest is the last. */
  readonly #subjects = new Map<StatementKind, Map<string, AnyStated[]>>();
  #inForceCount = 0;
  #inForceBytes = 0;

  /** The newest first: it is the current one. */
  get logs(): readonly LogState[] {
    return this.#logs;
  }

  /** Whether one more entry may be in force. */
  hasRoomFor({ length }: Uint8Array): boolean {
    return (
      this.#inForceCount < limits.ledgerEntriesPerSiteCount && this.#inForceBytes + length <= limits.ledgerPerSiteBytes
    );
  }

  addLog(log: Log, boundary: number): LogState {
    const state = new LogState(log, boundary);
    this.#logs.push(state);
    this.#logs.sort((one, other) => compareLogs(one.log, other.log));
    return state;
  }

  admit(state: LogState, held: HeldEntry): void {
    if (!state.admit(held)) return;
    this.#inForceCount++;
    this.#inForceBytes += held.lengthBytes;
    for (const statement of held.statements) {
      const subject = subjectOf(statement);
      const subjects = this.#subjects.get(statement.kind) ?? new Map<string, AnyStated[]>();
      this.#subjects.set(statement.kind, subjects);
      const entries = subjects.get(subject) ?? [];
      subjects.set(subject, entries);
      let at = entries.length;
      while (at > 0 && this.#isNewer(entries[at - 1]!, held)) at--;
      entries.splice(at, 0, { ...held, statement });
    }
  }

  withdraw(state: LogState, ranges: SeqRanges): void {
    for (const held of state.withdraw(ranges)) {
      this.#inForceCount--;
      this.#inForceBytes -= held.lengthBytes;
      for (const statement of held.statements) {
        const subject = subjectOf(statement);
        const subjects = this.#subjects.get(statement.kind)!;
        const left = (subjects.get(subject) ?? []).filter((stated) => stated.hash !== held.hash);
        if (left.length === 0) subjects.delete(subject);
        else subjects.set(subject, left);
      }
    }
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
    const idle = new Map<string, { readonly held: HeldEntry; count: number }>();
    for (const bySubject of this.#subjects.values())
      for (const entries of bySubject.values())
        for (const held of entries) {
          if (held === this.#newestOf(entries)) continue;
          const found = idle.get(held.hash);
          if (found === undefined) idle.set(held.hash, { held, count: 1 });
          else found.count++;
        }
    return [...idle.values()].flatMap(({ held, count }) => (count === held.statements.length ? [held] : []));
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
