/** What other sites have signed of having erased this one's copies: kept for good, whatever becomes of their ledgers. docs/specs/replication.md, Erasing */
import * as v from "valibot";
import { type ErasingComponents, eraseOrderOf, erasuresOf } from "#ledger/erasing.ts";
import { type Log, openLog, parseEntry } from "#ledger/entry.ts";
import type { Ledger } from "#ledger/ledger.ts";
import { type Statement, readStatements } from "#ledger/statements.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";

export interface KeptErasure {
  readonly holder: SiteId;
  readonly count: number;
  readonly bytes: number;
  /** Of the set of ids, 64 hex digits. */
  readonly hash: string;
  /** By the holder's clock. */
  readonly erasedMs: number;
  /** The signed entry and the certificate of who has signed it: whoever has both can verify them. */
  readonly entry: Uint8Array;
  readonly certificate: Uint8Array;
}

interface ErasuresComponents extends ErasingComponents {
  readonly ledger: ErasingComponents["ledger"] & Pick<Ledger, "entry" | "log">;
  readonly store: Pick<PrimeStore, "appendFacts" | "fact" | "facts">;
}

const KIND = "erasure";
const schema = v.strictObject({ entry: v.instance(Uint8Array), certificate: v.instance(Uint8Array) });

export class Erasures {
  readonly #components: ErasuresComponents;
  readonly #self: SiteId;

  constructor(components: ErasuresComponents, { self }: { self: SiteId }) {
    this.#components = components;
    this.#self = self;
  }

  /** Whether an order of this site's own counts. */
  get isOrdered(): boolean {
    return eraseOrderOf(this.#components, this.#self) !== undefined;
  }

  /** Who has not said so yet; nobody without an order. */
  waitingFor(): readonly SiteId[] {
    return erasuresOf(this.#components, this.#self).flatMap(({ holder, erased }) =>
      erased === undefined ? [holder] : [],
    );
  }

  /** Keeps what was said since. */
  async look(): Promise<void> {
    const { ledger, store } = this.#components;
    for (const { erased } of erasuresOf(this.#components, this.#self)) {
      if (erased === undefined) continue;
      const key = `${erased.logId}/${erased.seq}`;
      if ((await store.fact(KIND, key)) !== undefined) continue;
      const entry = await ledger.entry(erased.logId, erased.seq);
      const log = ledger.log(erased.logId)?.log;
      if (entry === undefined || log === undefined) continue;
      const value = encodeCbor({ entry, certificate: log.bytes });
      await store.appendFacts([{ kind: KIND, key, value }]);
    }
  }

  async list(): Promise<readonly KeptErasure[]> {
    const kept: KeptErasure[] = [];
    for await (const { value } of this.#components.store.facts(KIND)) {
      const { entry, certificate } = readFactValue(value, schema, KIND);
      kept.push(...readErasure(entry, openLog(certificate)));
    }
    return kept;
  }
}

function readErasure(bytes: Uint8Array, { certificate, bytes: certificateBytes }: Log): KeptErasure[] {
  const entry = parseEntry(bytes);
  const isErased = (statement: Statement) => statement.kind === "erased";
  return readStatements(entry)
    .filter(isErased)
    .map(({ count, bytes: erasedBytes, hash }) => ({
      holder: certificate.siteId,
      ...{ count, bytes: erasedBytes, hash, erasedMs: entry.timeMs },
      ...{ entry: bytes, certificate: certificateBytes },
    }));
}
