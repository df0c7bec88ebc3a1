/** This site's own entries: written one after the other, spread at once, and withdrawn when newer ones have made them idle. */
import type { Ledger } from "#ledger/ledger.ts";
import type { OwnLog, WithdrawInit } from "#ledger/own-log.ts";
import type { Statement, StatementKind } from "#ledger/statements.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";

export interface OwnEntriesComponents {
  readonly ownLog: OwnLog;
  readonly ledger: Pick<Ledger, "statement">;
  /** Tells others of an entry, best effort. */
  readonly spread: (entry: Uint8Array) => void;
}

export class OwnEntries {
  readonly #components: OwnEntriesComponents;
  readonly #queue = new SerialQueue();

  constructor(components: OwnEntriesComponents) {
    this.#components = components;
  }

  /** Resolves with the entry once it is durable. Throws `ledger-waiting`, `ledger-refused`. */
  write(statement: Statement): Promise<Uint8Array> {
    return this.writeAll([statement]);
  }

  /** As {@link OwnLog.writeAll}. */
  writeAll(statements: readonly Statement[]): Promise<Uint8Array> {
    return this.#queue.run(async () => {
      const { ownLog, spread } = this.#components;
      const entry = await ownLog.writeAll(statements);
      spread(entry);
      for (const retire of await ownLog.withdrawIdle()) spread(retire);
      return entry;
    });
  }

  /** As {@link OwnLog.withdrawIdle}. */
  withdrawIdle(init?: WithdrawInit): Promise<Uint8Array[]> {
    return this.#queue.run(async () => {
      const { ownLog, spread } = this.#components;
      const retires = await ownLog.withdrawIdle(init);
      for (const retire of retires) spread(retire);
      return retires;
    });
  }

  /** Takes back what this site says of subjects, if it says anything. */
  async withdraw<Kind extends StatementKind>(kind: Kind, ...subjects: readonly string[]): Promise<void> {
    const { ownLog, ledger } = this.#components;
    const { siteId } = ownLog.log.certificate;
    const also = subjects.flatMap((subject) => ledger.statement(siteId, kind, subject) ?? []);
    if (also.length > 0) await this.withdrawIdle({ also, leastCount: 1 });
  }
}
