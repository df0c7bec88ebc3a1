/**
 * Tells the ledger what a new machine of the site has to know, sealed to the site's own read key, so that the ledger and the kit
 * are enough to begin a recovery: agents, snapshots, and the site's own state. The facts of the store are the truth: what the
 * ledger lacks of them is written again, whatever was interrupted. docs/specs/ledger.md, Sealed
 */
import { hash } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { type SiteId, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { OwnEntries } from "./own-entries.ts";
import { FORMER_KEYS_PART, type SealedPlace, keyOfPlace, sealedContext } from "./sealed-statements.ts";

const PUBLISHED = "published";
const schema = v.strictObject({ hash: v.instance(Uint8Array) });
const KINDS = ["agent", "snapshot"] as const;
type Kind = (typeof KINDS)[number];

/** Facts that are state of the site: each is one part, `kind/key`. */
export const stateFacts: readonly Pick<SiteFact, "kind" | "key">[] = [
  { kind: "federation", key: "settings" },
  { kind: "retention", key: "policies" },
  { kind: "retention", key: "second-person" },
];
/** The part that is no fact: node/site/identity.ts. */
export const IDENTITY_PART = "identity";

export interface SiteStatementComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "fact" | "facts">;
  readonly entries: Pick<OwnEntries, "write" | "withdraw">;
  /** Seals to the site's own read key, bound to `context`. */
  readonly seal: (plain: Uint8Array, context: Uint8Array) => Promise<Uint8Array>;
}

export interface SiteStatementInit {
  readonly siteId: SiteId;
  /** The part {@link IDENTITY_PART}. */
  readonly identityState: Uint8Array;
  /** The part `keys`: what former kits opened. Undefined for a site that has its first kit. */
  readonly formerKeysState?: Uint8Array | undefined;
}

/** A fact as the ledger was told of it. */
const publishedFact = (name: string, value: Uint8Array): SiteFact => ({
  kind: PUBLISHED,
  key: name,
  value: encodeCbor({ hash: hashOf(value) }),
});

const nameOf = (place: SealedPlace): string => `${place.kind}/${keyOfPlace(place)}`;
const hashOf = (value: Uint8Array): Buffer => hash("sha256", value, "buffer");

export class SiteStatements {
  readonly #components: SiteStatementComponents;
  readonly #init: SiteStatementInit;
  readonly #queue = new SerialQueue();
  /** Hash of what the ledger was told, by kind and key. */
  readonly #published = new Map<string, Buffer>();
  /** Since it has told all, it was told of each change, and has told that too. */
  #hasToldAll = false;

  private constructor(components: SiteStatementComponents, init: SiteStatementInit) {
    this.#components = components;
    this.#init = init;
  }

  static async open(components: SiteStatementComponents, init: SiteStatementInit): Promise<SiteStatements> {
    const statements = new SiteStatements(components, init);
    for await (const { key, value } of components.store.facts(PUBLISHED))
      statements.#published.set(key, Buffer.from(readFactValue(value, schema, PUBLISHED).hash));
    return statements;
  }

  /** Writes entries for all that the ledger was not told. Safe to repeat, and then costs little. */
  publish(): Promise<void> {
    return this.#queue.run(async () => {
      const { store } = this.#components;
      await this.#tell({ kind: "state", part: IDENTITY_PART }, this.#init.identityState);
      const { formerKeysState } = this.#init;
      if (formerKeysState !== undefined) await this.#tell({ kind: "state", part: FORMER_KEYS_PART }, formerKeysState);
      for (const { kind, key } of stateFacts) {
        const value = await store.fact(kind, key);
        if (value !== undefined) await this.#tell({ kind: "state", part: `${kind}/${key}` }, value);
      }
      if (this.#hasToldAll) return;
      for (const kind of KINDS)
        for await (const { key, value } of store.facts(kind)) await this.#tellFact(kind, key, value);
      this.#hasToldAll = true;
    });
  }

  /** The same for one fact that has just changed. To be called for each: what fails is left to {@link publish}. */
  publishOne(kind: Kind, key: string): Promise<void> {
    return this.#queue.run(async () => {
      const hadToldAll = this.#hasToldAll;
      this.#hasToldAll = false;
      const value = await this.#components.store.fact(kind, key);
      if (value !== undefined) await this.#tellFact(kind, key, value);
      this.#hasToldAll = hadToldAll;
    });
  }

  /** Takes back what is said of snapshots that are no more, by keys `agent/snapshot`. */
  withdrawSnapshots(keys: readonly string[]): Promise<void> {
    return this.#queue.run(async () => {
      const { entries, store } = this.#components;
      // One that comes again is to be told again.
      this.#hasToldAll = false;
      await entries.withdraw("snapshot", ...keys);
      const names = keys.map((key) => `snapshot/${key}`);
      await store.appendFacts(names.map((key) => ({ kind: PUBLISHED, key, value: undefined })));
      for (const name of names) this.#published.delete(name);
    });
  }

  #tellFact(kind: Kind, key: string, value: Uint8Array): Promise<void> {
    const [agentText, snapshotText] = key.split("/");
    const agent = parseAgentId(agentText);
    if (kind === "agent") return this.#tell({ kind, agent }, value);
    return this.#tell({ kind, agent, snapshot: parseSnapshotId(snapshotText) }, value);
  }

  /** The ledger knows a fact that is as it is here: it was brought back from there. */
  async told(place: SealedPlace, value: Uint8Array): Promise<void> {
    const name = nameOf(place);
    if (this.#published.get(name)?.equals(hashOf(value))) return;
    await this.#components.store.appendFacts([publishedFact(name, value)]);
    this.#published.set(name, hashOf(value));
  }

  async #tell(place: SealedPlace, value: Uint8Array): Promise<void> {
    if (this.#published.get(nameOf(place))?.equals(hashOf(value))) return;
    const { entries, seal } = this.#components;
    const plain = place.kind === "snapshot" ? withFewerRoots(value) : value;
    const sealed = Buffer.from(await seal(plain, sealedContext(this.#init.siteId, place)));
    await entries.write({ ...place, sealed });
    // A crash before this fact writes the entry once more, which supersedes the first.
    await this.told(place, value);
  }
}

/** As many of a snapshot's roots as fit an entry: the tree has all of them, and a restore deletes nothing beyond those it knows. */
function withFewerRoots(value: Uint8Array): Uint8Array {
  if (value.length <= limits.sealedStatementBytes) return value;
  const { roots, ...others } = { ...(decodeCbor(value) as { roots: readonly Uint8Array[] }) };
  let roomBytes = limits.sealedStatementBytes - encodeCbor({ ...others, roots: [] }).length;
  const fitting = roots.filter(({ length }) => (roomBytes -= length + ROOT_HEAD_BYTES) > 0);
  return encodeCbor({ ...others, roots: fitting });
}

/** Of a byte string in CBOR. */
const ROOT_HEAD_BYTES = 5;
