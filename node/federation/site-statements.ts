/**
 * Tells the ledger what the site knows of its agents and snapshots, sealed to its own read key, so that the ledger and the kit
 * are enough to begin a recovery. The facts of the store are the truth: what the ledger lacks of them is written again,
 * whatever was interrupted.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type SiteId, parseAgentId, parseSnapshotId, uuidToBytes } from "#protocol/ids.ts";
import type { OwnEntries } from "./own-entries.ts";

const PUBLISHED = "published";
const schema = v.strictObject({ hash: v.instance(Uint8Array) });
const KINDS = ["agent", "snapshot"] as const;
type Kind = (typeof KINDS)[number];

export interface SiteStatementComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "fact" | "facts">;
  readonly entries: Pick<OwnEntries, "write">;
  /** Seals to the site's own read key, bound to `context`. */
  readonly seal: (plain: Uint8Array, context: Uint8Array) => Promise<Uint8Array>;
}

const hashOf = (value: Uint8Array): Buffer => createHash("sha256").update(value).digest();

export class SiteStatements {
  readonly #components: SiteStatementComponents;
  readonly #siteId: SiteId;
  readonly #queue = new SerialQueue();
  /** Hash of what the ledger was told, by kind and key. */
  readonly #published = new Map<string, Buffer>();

  private constructor(components: SiteStatementComponents, siteId: SiteId) {
    this.#components = components;
    this.#siteId = siteId;
  }

  static async open(components: SiteStatementComponents, { siteId }: { siteId: SiteId }): Promise<SiteStatements> {
    const statements = new SiteStatements(components, siteId);
    for await (const { key, value } of components.store.facts(PUBLISHED))
      statements.#published.set(key, Buffer.from(readFactValue(value, schema, PUBLISHED).hash));
    return statements;
  }

  /** Writes entries for all that the ledger was not told. Safe to repeat. */
  publish(): Promise<void> {
    return this.#queue.run(async () => {
      for (const kind of KINDS)
        for await (const { key, value } of this.#components.store.facts(kind)) await this.#tell(kind, key, value);
    });
  }

  /** The same for one fact that has just changed. */
  publishOne(kind: Kind, key: string): Promise<void> {
    return this.#queue.run(async () => {
      const value = await this.#components.store.fact(kind, key);
      if (value !== undefined) await this.#tell(kind, key, value);
    });
  }

  async #tell(kind: Kind, key: string, value: Uint8Array): Promise<void> {
    const name = `${kind}/${key}`;
    const hash = hashOf(value);
    if (this.#published.get(name)?.equals(hash)) return;
    const { entries, seal } = this.#components;
    const [agentText, snapshotText] = key.split("/");
    const agent = parseAgentId(agentText);
    if (kind === "agent") {
      const sealed = await seal(value, this.#contextOf(kind, uuidToBytes(agent)));
      await entries.write({ kind, agent, sealed: Buffer.from(sealed) });
    } else {
      const snapshot = parseSnapshotId(snapshotText);
      const sealed = await seal(value, this.#contextOf(kind, uuidToBytes(agent), uuidToBytes(snapshot)));
      await entries.write({ kind, agent, snapshot, sealed: Buffer.from(sealed) });
    }
    // A crash before this fact writes the entry once more, which supersedes the first.
    await this.#components.store.appendFacts([{ kind: PUBLISHED, key: name, value: encodeCbor({ hash }) }]);
    this.#published.set(name, hash);
  }

  /** What is sealed for one place opens in no other. */
  #contextOf(kind: Kind, ...ids: Buffer[]): Buffer {
    return Buffer.concat([Buffer.from(`${kind}\0`), Buffer.from(this.#siteId, "hex"), ...ids]);
  }
}
