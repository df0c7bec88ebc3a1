/**
 * Brings back the agents and snapshots that this site's former machines have told the ledger, after somebody else had one of them: also what
 * he has withdrawn, and of each snapshot what was said first, since he came later. docs/specs/replication.md, After a takeover
 *
 * What comes back is not noted as told: this machine says all of it again.
 */
import type { Entry } from "#ledger/entry.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Peers } from "#ledger/peers.ts";
import { type Statement, readStatements } from "#ledger/statements.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { withdrawnEntries } from "#ledger/withdrawn-entries.ts";
import { revokedAgent } from "#node/site/agent-registry.ts";
import { forgetUnread, noteUnread } from "#node/site/unread-snapshots.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";
import { type SiteRecords, isNoRecord } from "./regained-facts.ts";
import { type SealedPlace, keyOfPlace, sealedContext } from "./sealed-statements.ts";

export interface FormerRecordComponents extends Pick<SiteRecords, "open" | "take"> {
  readonly ledger: Pick<Ledger, "logsOf" | "statements" | "wholeStatements">;
  readonly peers: Pick<Peers, "open">;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
  /** What cannot be opened, or is no record, is passed over; a snapshot is noted as unread. */
  readonly onBroken: (place: SealedPlace, error: unknown) => void;
}

/** Where something was said: of a site's logs the oldest is 0. */
interface Said {
  readonly log: number;
  readonly seq: number;
}

export class FormerRecords {
  readonly #components: FormerRecordComponents;
  readonly #siteId: SiteId;
  /** Of each snapshot that was taken, by its key. */
  readonly #first = new Map<string, Said>();

  constructor(components: FormerRecordComponents, init: { siteId: SiteId }) {
    this.#components = components;
    this.#siteId = init.siteId;
  }

  /** As `FormerRecords` of node/replication/taking-back.ts. */
  async takeFrom(peer: PeerKey, signal: AbortSignal): Promise<void> {
    const { ledger, peers } = this.#components;
    const logs = ledger.logsOf(this.#siteId).slice(1).toReversed();
    for (const kind of ["agent", "snapshot"] as const)
      for (const { logId, seq } of ledger.statements(this.#siteId, kind)) {
        const log = logs.findIndex((state) => state.log.id === logId);
        if (log >= 0) await this.#take(await ledger.wholeStatements(logId, seq), { log, seq });
      }
    for (const [log, state] of logs.entries()) {
      const channel = await peers.open(peer, ledgerProtocol, signal);
      try {
        for await (const entry of withdrawnEntries(channel, state.log)) {
          signal.throwIfAborted();
          await this.#takeEntry(entry, log);
        }
        await channel.close();
      } finally {
        channel.abort();
      }
    }
  }

  #takeEntry(entry: Entry, log: number): Promise<void> {
    return this.#take(readStatements(entry), { log, seq: entry.seq });
  }

  async #take(statements: readonly Statement[], said: Said): Promise<void> {
    for (const statement of statements) {
      if (statement.kind !== "agent" && statement.kind !== "snapshot") continue;
      if (!(await this.#isWanted(statement, said))) continue;
      const { open, take, onBroken, store } = this.#components;
      try {
        const value = await open(statement.sealed, sealedContext(this.#siteId, statement));
        await take(statement, statement.kind === "agent" ? revokedAgent(value) : listed(value));
        if (statement.kind !== "snapshot") continue;
        this.#first.set(keyOfPlace(statement), said);
        await forgetUnread(store, keyOfPlace(statement));
      } catch (error) {
        if (!isNoRecord(error)) throw error;
        const isUnread = statement.kind === "snapshot" && !this.#first.has(keyOfPlace(statement));
        if (isUnread) await noteUnread(store, keyOfPlace(statement));
        onBroken(statement, error);
      }
    }
  }

  async #isWanted(place: SealedPlace, said: Said): Promise<boolean> {
    const { store } = this.#components;
    const key = keyOfPlace(place);
    // Enrolled anew, or taken already: any enrolment of the former machines is over.
    if (place.kind === "agent") return (await store.fact("agent", key)) === undefined;
    const first = this.#first.get(key);
    if (first !== undefined && !isBefore(said, first)) return false;
    return (await store.fact("gone-snapshot", key)) === undefined;
  }
}

const isBefore = (one: Said, other: Said): boolean =>
  one.log < other.log || (one.log === other.log && one.seq < other.seq);

/** The fact of a snapshot as if nobody had removed it: who did may have been the thief, and rules are judged anew. */
function listed(value: Uint8Array): Uint8Array {
  const { expiry, ...fields } = { ...(decodeCbor(value) as CborMap) };
  return expiry === undefined ? value : encodeCbor(fields);
}
