/** Restore drills of a site: which is due, done, and told. */
import { join } from "node:path";
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import type { ExportSource } from "#node/export/export-source.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { Site } from "#node/site/site.ts";
import { CostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { DrillRecord, DrillResult } from "./drill-record.ts";
import { type Drill, dueDrill } from "./due-drill.ts";
import { type DrillProgress, restoreDrill } from "./restore-drill.ts";

/** Primes of this site's own, from wherever. Throws `prime-missing`. */
export type FetchPrime = (id: PrimeId) => Promise<Uint8Array>;

export interface DrillComponents {
  readonly site: Pick<Site, "agents" | "snapshots" | "store">;
  readonly record: DrillRecord;
  readonly clock: Pick<Clock, "now">;
  readonly rng: Pick<Rng, "fraction">;
  /** From other sites alone; undefined while there are none. */
  readonly offsite: () => FetchPrime | undefined;
  readonly onResult: (result: DrillResult) => void;
}

export interface DrillInit {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: DrillProgress) => void;
}

export class Drills {
  readonly #components: DrillComponents;
  /** Left by a drill that was cut off. */
  readonly scratchFile: string;
  readonly #queue = new SerialQueue();

  constructor(components: DrillComponents, init: { readonly dataDirectory: string }) {
    this.#components = components;
    this.scratchFile = join(init.dataDirectory, "drill.scratch");
  }

  list(): readonly DrillResult[] {
    return this.#components.record.list();
  }

  /** Does what is due, if anything is and there is a snapshot. Throws like {@link run}. */
  async runDue(init: DrillInit): Promise<void> {
    const others = this.#components.offsite();
    const due = dueDrill(this.list(), this.#components.clock.now(), others !== undefined);
    if (due !== undefined && (await this.#chooseSnapshot()) !== undefined) await this.run(due, init);
  }

  /** Throws `snapshot-unknown` while there is none, `not-in-federation`, `store-full`, and the signal's reason. */
  run(drill: Drill, init: DrillInit): Promise<DrillResult> {
    return this.#queue.run(async () => {
      const { record, clock, onResult } = this.#components;
      const startedMs = clock.now();
      const counts = await this.#restore(drill, init);
      const result: DrillResult = {
        ...{ ...drill, startedMs, endedMs: clock.now() },
        ...{ ...counts, failures: [...counts.failures] },
      };
      await record.add(result);
      onResult(result);
      return result;
    });
  }

  /** Of a machine that was drawn, the newest snapshot, or any one. */
  async #chooseSnapshot(): Promise<{ readonly agent: AgentId; readonly snapshot: SnapshotId } | undefined> {
    const { site, rng } = this.#components;
    const draw = <T>(items: readonly T[]): T | undefined => items[Math.floor(rng.fraction() * items.length)];
    const lists = await Promise.all(
      site.agents.list().map(async ({ id }) => ({ agent: id, snapshots: await site.snapshots.list(id) })),
    );
    const drawn = draw(lists.filter(({ snapshots }) => snapshots.length > 0));
    const chosen = rng.fraction() < 0.5 ? drawn?.snapshots.at(-1) : draw(drawn?.snapshots ?? []);
    return drawn && chosen && { agent: drawn.agent, snapshot: parseSnapshotId(chosen.id) };
  }

  async #restore({ kind, isWhole }: Drill, { signal, onProgress = () => {} }: DrillInit) {
    const { site, rng, offsite } = this.#components;
    const chosen = await this.#chooseSnapshot();
    if (chosen === undefined) throw new CostorError("snapshot-unknown", "there is no snapshot yet to be restored");
    const { root } = await site.snapshots.get(chosen.agent, chosen.snapshot);
    const here: FetchPrime = (id) => site.store.get(id);
    const others = kind === "offsite" ? offsite() : undefined;
    if (kind === "offsite" && others === undefined)
      throw new CostorError("not-in-federation", "no other site has copies of this one's");
    const sources = { tested: sourceOf(others ?? here), reference: sourceOf(here), rng };
    return restoreDrill(sources, {
      ...{ root: nodePointerFromWire(root), isWhole, signal, onProgress },
      scratchFile: this.scratchFile,
    });
  }
}

function sourceOf(fetchPrime: FetchPrime): ExportSource {
  const opened = new OpenedPrimes({ fetchPrime }, { limitBytes: limits.exportOpenedBytes });
  return { tree: new TreeReader({ fetchPrime }), openSlice: (slice) => opened.openSlice(slice) };
}
