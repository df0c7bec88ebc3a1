/**
 * Keeps for the site what its snapshots reach, and notes that their agents have sent it, once for each generation of the store: commits do that
 * as they come, but damage may have taken such notes along, stores are older than keeps, and snapshots may come back from the ledger. Goes
 * on where it was stopped. While a part of a tree cannot be read it begins anew each time: what is below is known only when that part is back.
 */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { type ClosureComponents, keepTree, readingBy } from "./closure.ts";
import type { RegainedSnapshots } from "./regained-snapshots.ts";
import { readFactValue } from "./site-facts.ts";
import type { SitePrimes } from "./site-primes.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

export interface SnapshotKeepsComponents {
  readonly store: ClosureComponents["store"] & Pick<PrimeStore, "fact" | "appendFacts" | "generation" | "claim">;
  readonly primes: Pick<SitePrimes, "get">;
  readonly keep: ClosureComponents["keep"];
  readonly snapshots: Pick<SnapshotRegistry, "keys" | "root">;
  readonly regained: Pick<RegainedSnapshots, "isAny" | "areSettled" | "clear">;
}

/** What of a snapshot could not be read, and so is not kept below that. */
export interface UnreadableTree {
  /** `agent/snapshot`. */
  readonly key: string;
  readonly error: unknown;
}

const PROGRESS = { kind: "kept-snapshots", key: "" } as const;
/** `after`: the key of the last snapshot that was walked; `isDone`: all of them were. */
const schema = v.strictObject({ generation: v.string(), after: v.string(), isDone: v.boolean() });
type Progress = v.InferOutput<typeof schema>;

export class SnapshotKeeps {
  readonly #components: SnapshotKeepsComponents;

  constructor(components: SnapshotKeepsComponents) {
    this.#components = components;
  }

  /** Resolves when everything that can be reached is kept; at once when that is known, or not known yet. Throws like the store. */
  async run(onUnreadable: (unreadable: UnreadableTree) => void, signal?: AbortSignal): Promise<void> {
    const { store, regained } = this.#components;
    for (;;) {
      // Those that come back while it walks are for the next walk.
      const { isAny } = regained;
      // What is kept of a snapshot that is not whole would be missed for ever.
      if (isAny && !(await regained.areSettled())) return;
      if (isAny) await this.#note({ generation: store.generation, after: "", isDone: false });
      const { generation } = store;
      const progress = await this.#progress();
      const isSame = progress?.generation === generation;
      if (isSame && progress.isDone) return;
      let hasUnreadable = false;
      const tell = (unreadable: UnreadableTree): void => {
        hasUnreadable = true;
        onUnreadable(unreadable);
      };
      const last = await this.#walk(generation, isSame ? progress.after : "", tell, signal);
      await this.#note({ generation, after: hasUnreadable ? "" : last, isDone: !hasUnreadable });
      if (isAny) await regained.clear();
      if (hasUnreadable && store.generation === generation) return;
    }
  }

  async #walk(
    generation: string,
    after: string,
    onUnreadable: (unreadable: UnreadableTree) => void,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { store, primes, snapshots, keep } = this.#components;
    let last = after;
    let wasRead = true;
    for await (const { key, agent, snapshot } of snapshots.keys()) {
      if (key <= after) continue;
      signal?.throwIfAborted();
      const tell = (error: unknown): void => {
        wasRead = false;
        onUnreadable({ key, error });
      };
      try {
        const root = nodePointerFromWire(await snapshots.root(agent, snapshot));
        const components = {
          store: readingBy(store, primes),
          keep: async (ids: readonly PrimeId[]) => {
            await keep(ids);
            await store.claim(agent, ids);
          },
        };
        await keepTree(components, { agent, root, onUnreadable: tell, signal });
      } catch (error) {
        signal?.throwIfAborted();
        if (!isCostorError(error) || isCostorError(error, "store-full") || isCostorError(error, "store-failed"))
          throw error;
        tell(error);
      }
      last = key;
      if (wasRead) await this.#note({ generation, after: last, isDone: false });
    }
    return last;
  }

  async #progress(): Promise<Progress | undefined> {
    const value = await this.#components.store.fact(PROGRESS.kind, PROGRESS.key);
    return value === undefined ? undefined : readFactValue(value, schema, PROGRESS.kind);
  }

  #note(progress: Progress): Promise<void> {
    return this.#components.store.appendFacts([{ ...PROGRESS, value: encodeCbor({ ...progress }) }]);
  }
}
