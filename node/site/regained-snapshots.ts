/**
 * Snapshots that came back from the ledger before what they reach did. They are shown at once, since what is asked for of them is fetched; when
 * all is known that others have of this site, those that are not whole are put aside, and the others are like any.
 *
 * A mark is a fact, kind `regained`, key `agent/snapshot`; it goes when the snapshot's primes are kept and known as its agent's.
 */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId, SnapshotId } from "#protocol/ids.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { isWholeTree } from "./closure.ts";
import { type SiteFact, readFactValue } from "./site-facts.ts";
import type { SitePrimes } from "./site-primes.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

const KIND = "regained";
const PARTIAL = "partial-snapshot";
const schema = v.strictObject({ receivedMs: v.pipe(v.number(), v.safeInteger()), isSettled: v.boolean() });
type Mark = v.InferOutput<typeof schema>;

export interface RegainedSnapshotComponents {
  readonly store: Pick<
    PrimeStore,
    "fact" | "facts" | "appendFacts" | "hasKept" | "hasSent" | "keep" | "areClosed" | "markClosed" | "closedEpoch"
  >;
  readonly primes: Pick<SitePrimes, "get" | "bring">;
  readonly snapshots: Pick<SnapshotRegistry, "root" | "keys">;
}

export class RegainedSnapshots {
  readonly #components: RegainedSnapshotComponents;
  readonly #siteId: SiteId;
  readonly #listeners: (() => void)[] = [];
  readonly #clearedListeners: (() => void)[] = [];
  #isAny: boolean;

  private constructor(components: RegainedSnapshotComponents, siteId: SiteId, isAny: boolean) {
    this.#components = components;
    this.#siteId = siteId;
    this.#isAny = isAny;
  }

  static async open(components: RegainedSnapshotComponents, init: { siteId: SiteId }): Promise<RegainedSnapshots> {
    const marks = await Array.fromAsync(components.store.facts(KIND));
    return new RegainedSnapshots(components, init.siteId, marks.length > 0);
  }

  /** Whether there are some that are not yet like any other. */
  get isAny(): boolean {
    return this.#isAny;
  }

  onSettled(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** What they reach is kept. */
  onCleared(listener: () => void): void {
    this.#clearedListeners.push(listener);
  }

  /** To be written with the snapshot. */
  mark(key: string, receivedMs: number): SiteFact {
    this.#isAny = true;
    return factOf(key, { receivedMs, isSettled: false });
  }

  /** As `SiteRecords.settle`. */
  async settle(): Promise<readonly string[]> {
    const { store, snapshots } = this.#components;
    for await (const { key, agent, snapshot } of snapshots.keys()) {
      const value = await store.fact(KIND, key);
      const mark = value && readFactValue(value, schema, KIND);
      if (mark === undefined || mark.isSettled) continue;
      const isWhole = await this.#isWhole(agent, snapshot);
      if (isWhole) await store.appendFacts([factOf(key, { ...mark, isSettled: true })]);
      else {
        const partial = await store.fact("snapshot", key);
        await store.appendFacts([
          { kind: PARTIAL, key, value: partial },
          { kind: "snapshot", key, value: undefined },
          { kind: KIND, key, value: undefined },
        ]);
      }
    }
    passFailpoint("recover.settled");
    for (const listener of this.#listeners) listener();
    return (await Array.fromAsync(store.facts(PARTIAL))).map(({ key }) => key);
  }

  /** Whether none waits to be settled. */
  async areSettled(): Promise<boolean> {
    for await (const { value } of this.#components.store.facts(KIND))
      if (!readFactValue(value, schema, KIND).isSettled) return false;
    return true;
  }

  /** They are like any other now. */
  async clear(): Promise<void> {
    const marks = await Array.fromAsync(this.#components.store.facts(KIND));
    if (marks.length > 0)
      await this.#components.store.appendFacts(marks.map(({ key }) => ({ kind: KIND, key, value: undefined })));
    const wasAny = this.#isAny;
    this.#isAny = false;
    if (wasAny) for (const listener of this.#clearedListeners) listener();
  }

  /** Those of which a part is gone, and that are shown no more. */
  async partialCount(): Promise<number> {
    return (await Array.fromAsync(this.#components.store.facts(PARTIAL))).length;
  }

  /**
   * What it reaches was kept for the site by its last machine, and so is known here, or was sent here again, or others give it now: of what that
   * machine has signed last they may not have heard. What cannot be read now is not held against it.
   */
  async #isWhole(agent: AgentId, snapshot: SnapshotId): Promise<boolean> {
    const { store, primes, snapshots } = this.#components;
    const areHere = async (ids: readonly PrimeId[]): Promise<boolean[]> => {
      const [kept, sent] = await Promise.all([store.hasKept(this.#siteId, ids), store.hasSent(agent, ids)]);
      const unknown = ids.filter((_, at) => !kept[at] && !sent[at]);
      if (unknown.length === 0) return ids.map(() => true);
      await primes.bring(unknown);
      const came = await store.hasKept(this.#siteId, ids);
      return ids.map((_, at) => came[at]! || sent[at]!);
    };
    try {
      const root = nodePointerFromWire(await snapshots.root(agent, snapshot));
      return await isWholeTree({ store, primes, areHere }, agent, root);
    } catch (error) {
      if (isCostorError(error, "store-full") || isCostorError(error, "store-failed")) throw error;
      if (isCostorError(error)) return false;
      throw error;
    }
  }
}

const factOf = (key: string, mark: Mark): SiteFact => ({ kind: KIND, key, value: encodeCbor({ ...mark }) });
