/**
 * Takes away what no snapshot of this site reaches any more. docs/specs/retention.md, Collection
 *
 * Invariants: what a snapshot reaches is found by walking its tree, never by what the store happens to hold, and a tree that cannot be read
 * ends the collection before it has taken anything. Nothing goes of what an agent has sent that had a session at any time since
 * the walk began: so what comes meanwhile, and what it builds on, is not even looked at. Nor of what one has sent that has a tree too large to be walked. A crash leaves dead primes for the next time.
 */
import type { Rng } from "#ledger/rng.ts";
import { reachTree } from "#node/site/closure.ts";
import type { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { UploadSessions } from "#node/site/upload-sessions.ts";
import type { CollectReport, PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { LivePrimes } from "./live-primes.ts";
import { WalkedMarks } from "./walked-marks.ts";

export interface CollectionComponents {
  readonly store: Pick<PrimeStore, "get" | "kept" | "sent" | "stats" | "collect">;
  readonly snapshots: Pick<SnapshotRegistry, "records" | "root">;
  readonly sessions: Pick<UploadSessions, "watch" | "alone">;
  readonly rng: Pick<Rng, "bytes">;
  /** Why nothing may be taken now: asked again and again, since that may change meanwhile. */
  readonly paused: () => Promise<string | undefined>;
}

export interface CollectionInit {
  /** Only tells what would go. */
  readonly isDry?: boolean;
  /** Snapshots that do not count as live, as `agent/snapshot`. */
  readonly without?: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: CollectionProgress) => void) | undefined;
}

export interface CollectionProgress {
  readonly phase: "walking" | "removing";
  /** Snapshots walked, or primes removed. */
  readonly doneCount: number;
}

interface Walked {
  readonly live: LivePrimes;
  /** Agents with a tree that was not walked to its end: it reaches nothing that its agent has not sent. */
  readonly unwalked: ReadonlySet<AgentId>;
}

/** Primes of one turn of the store's writer: some tens of milliseconds. */
const COLLECTED_COUNT = 256;
/** Before so many it is asked whether they may be taken, which looks at all snapshots. */
const ASKED_COUNT = 16 * COLLECTED_COUNT;

export class Collection {
  readonly #components: CollectionComponents;
  readonly #siteId: SiteId;

  constructor(components: CollectionComponents, { siteId }: { readonly siteId: SiteId }) {
    this.#components = components;
    this.#siteId = siteId;
  }

  /** Throws what reading a tree throws: nothing was taken then; and `deletion-paused`. */
  async run(init: CollectionInit = {}): Promise<CollectReport> {
    const { store, sessions } = this.#components;
    // Before the snapshots are listed: one that comes later is of an agent that is watched.
    using watch = sessions.watch();
    const { live, unwalked } = await this.#walk(init);
    passFailpoint("collection.walked");
    const report = { removedPrimesCount: 0, removedBytes: 0 };
    for (const pages of [store.kept(this.#siteId), store.sent()]) {
      let dead: PrimeId[] = [];
      const collect = async (): Promise<void> => {
        const ids = dead;
        dead = [];
        await this.#requireSure(init);
        for (let at = 0; at < ids.length; at += COLLECTED_COUNT) {
          const part = ids.slice(at, at + COLLECTED_COUNT);
          const { removedPrimesCount, removedBytes } = await this.#collect(part, watch.agents.union(unwalked), init);
          report.removedPrimesCount += removedPrimesCount;
          report.removedBytes += removedBytes;
          init.onProgress?.({ phase: "removing", doneCount: report.removedPrimesCount });
        }
      };
      for await (const page of pages)
        for (const id of page) {
          if (live.mayHave(id)) continue;
          // What was only to be told of is there once more in the other pages.
          if (init.isDry === true) live.add(id);
          dead.push(id);
          if (dead.length >= ASKED_COUNT) await collect();
        }
      if (dead.length > 0) await collect();
    }
    return report;
  }

  async #walk({ without, signal, onProgress }: CollectionInit): Promise<Walked> {
    const { store, snapshots, rng } = this.#components;
    const { primesCount } = await store.stats();
    const live = new LivePrimes({ primesCount, random: rng.bytes(24) });
    const walked = new WalkedMarks();
    const unwalked = new Set<AgentId>();
    let doneCount = 0;
    for await (const { agent, id } of snapshots.records()) {
      signal?.throwIfAborted();
      if (without?.has(`${agent}/${id}`) === true) continue;
      const root = nodePointerFromWire(await snapshots.root(agent, id));
      const reached = (ids: readonly PrimeId[]): void => ids.forEach((prime) => live.add(prime));
      await reachTree({ get: (prime) => store.get(prime), walked, reached }, root, signal).catch((error: unknown) => {
        if (!isCostorError(error, "tree-invalid")) throw error;
        // Each commit was small enough, and together they are not: that must not keep all the others' space for ever.
        unwalked.add(agent);
      });
      onProgress?.({ phase: "walking", doneCount: ++doneCount });
    }
    return { live, unwalked };
  }

  async #requireSure({ isDry = false }: CollectionInit): Promise<void> {
    const paused = isDry ? undefined : await this.#components.paused();
    if (paused !== undefined) throw new CostorError("deletion-paused", paused);
  }

  /** While no session is opened, so that the list of who is relying is whole until it is done. */
  #collect(ids: readonly PrimeId[], agents: ReadonlySet<AgentId>, init: CollectionInit): Promise<CollectReport> {
    const { store, sessions } = this.#components;
    return sessions.alone(async () => {
      init.signal?.throwIfAborted();
      const isDry = init.isDry ?? false;
      const report = await store.collect(this.#siteId, ids, { relying: [...agents], isDry });
      if (!isDry) passFailpoint("collection.removed");
      return report;
    });
  }
}
