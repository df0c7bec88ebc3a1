/** Restore drills of a site: which is due, done, and told. */
import { join } from "node:path";
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import { openPrimeSource } from "#node/export/prime-source.ts";
import type { RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { Site } from "#node/site/site.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import type { NodePointer } from "#protocol/tree.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import type { AcrossSites } from "./across-sites.ts";
import type { AgentDoor } from "./agent-door.ts";
import { chooseFiles } from "./chosen-files.ts";
import { examinePrime, sampleContent } from "./content-sample.ts";
import type { DrillRecord, DrillResult } from "./drill-record.ts";
import { type Drill, type SiteDrillKind, dueDrill } from "./due-drill.ts";
import type { HolderTampering } from "./holder-tampering.ts";
import { type KitDrillComponents, kitDrill } from "./kit-drill.ts";
import { type DrillCounts, type DrillProgress, SAMPLE_COUNT, TOLD_COUNT, restoreDrill } from "./restore-drill.ts";
import type { TamperedSnapshot } from "./agent-tampering.ts";
import { tamperDrill } from "./tamper-drill.ts";

/** Primes of this site's own, from wherever. Throws `prime-missing`. */
export type FetchPrime = (id: PrimeId) => Promise<Uint8Array>;

export interface DrillComponents {
  readonly site: Pick<Site, "identity" | "agents" | "sessions" | "snapshots" | "store" | "regainedSnapshots" | "now">;
  readonly record: DrillRecord;
  readonly clock: Pick<Clock, "now">;
  readonly rng: Pick<Rng, "fraction">;
  /** From other sites alone; undefined while there are none. */
  readonly offsite: () => FetchPrime | undefined;
  /** Undefined while there are no other sites. */
  readonly across: () => Pick<AcrossSites, "isPossible" | "gather"> | undefined;
  /** Undefined while there are no other sites. */
  readonly openKit: () => KitDrillComponents["openKit"];
  readonly door: AgentDoor;
  /** Undefined while there are no other sites. */
  readonly holderTampering: () => Pick<HolderTampering, "tamper"> | undefined;
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
    const { offsite, across, clock } = this.#components;
    let kinds: SiteDrillKind[] = ["local", "tamper"];
    if (offsite() !== undefined) kinds.push("offsite");
    if (across()?.isPossible) kinds.push("across");
    for (;;) {
      const due = dueDrill(this.list(), clock.now(), kinds);
      if (due === undefined || (await this.#chooseSnapshot()) === undefined) return;
      try {
        await this.run(due, init);
        return;
      } catch (error) {
        // The others must not wait until another site does its part.
        if ((due.kind !== "across" && due.kind !== "tamper") || !isCostorError(error)) throw error;
        kinds = kinds.filter((kind) => kind !== due.kind);
      }
    }
  }

  /**
   * Throws `snapshot-unknown` while there is none, `not-in-federation`, `store-full`, `peer-unreachable` when no other site does its part of a
   * drill that needs one, and the signal's reason.
   */
  run(drill: Drill, init: DrillInit): Promise<DrillResult> {
    return this.#inTurn(drill, () => this.#try(drill, init));
  }

  /** Overwrites the read keys. Throws as {@link kitDrill}. */
  runWithKit(grant: RemoteRestoreInit, { signal, onProgress = () => {} }: DrillInit): Promise<DrillResult> {
    const { site, rng, openKit } = this.#components;
    const { scratchFile } = this;
    return this.#inTurn({ kind: "kit", isWhole: false }, () =>
      kitDrill({ site, rng, openKit: openKit() }, grant, { scratchFile, signal, onProgress }),
    ).finally(() => {
      for (const key of grant.readKeys) key.fill(0);
    });
  }

  #inTurn(drill: Pick<DrillResult, "kind" | "isWhole">, work: () => Promise<DrillCounts>): Promise<DrillResult> {
    return this.#queue.run(async () => {
      const { record, clock, onResult } = this.#components;
      const startedMs = clock.now();
      const counts = await work();
      const result: DrillResult = { ...drill, startedMs, endedMs: clock.now(), ...counts };
      await record.add(result);
      onResult(result);
      return result;
    });
  }

  #try(drill: Drill, init: DrillInit): Promise<DrillCounts> {
    if (drill.kind === "across") return this.#gather(init);
    return drill.kind === "tamper" ? this.#tamper(init) : this.#restore(drill, init);
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

  async #choose(): Promise<Omit<TamperedSnapshot, "prime">> {
    const chosen = await this.#chooseSnapshot();
    if (chosen === undefined) throw new CostorError("snapshot-unknown", "there is no snapshot yet");
    const { root } = await this.#components.site.snapshots.get(chosen.agent, chosen.snapshot);
    return { ...chosen, root };
  }

  async #chooseRoot(): Promise<NodePointer> {
    return nodePointerFromWire((await this.#choose()).root);
  }

  async #tamper({ signal }: DrillInit): Promise<DrillCounts> {
    const { site, rng, door, holderTampering } = this.#components;
    const tree = new TreeReader({ fetchPrime: (id) => site.store.get(id) });
    const chosen = await this.#choose();
    const files = await chooseFiles({ tree, rng }, nodePointerFromWire(chosen.root), SAMPLE_COUNT, signal);
    const { primes } = await sampleContent({ tree }, files, 1);
    const [prime] = primes.keys();
    return tamperDrill({ site, door, holders: holderTampering() }, { ...chosen, prime }, signal);
  }

  /** The other site gets what is sealed, and no key. */
  async #gather({ signal, onProgress = () => {} }: DrillInit): Promise<DrillCounts & { readonly gatherer: string }> {
    const { site, rng } = this.#components;
    const across = this.#components.across();
    if (across === undefined) throw new CostorError("not-in-federation", "there is no other site that could gather");
    const fetchPrime: FetchPrime = (id) => site.store.get(id);
    const tree = new TreeReader({ fetchPrime });
    const files = await chooseFiles({ tree, rng }, await this.#chooseRoot(), SAMPLE_COUNT, signal);
    const sample = await sampleContent({ tree }, files, limits.drillOrderIdsCount);
    if (sample.primes.size === 0) throw new CostorError("snapshot-unknown", "the files that were drawn are empty");
    let bytes = 0;
    const examine = async (prime: StoredPrime): Promise<void> => {
      onProgress({ filesCount: 0, bytes: (bytes += prime.stored.length) });
      await examinePrime(sample, prime, fetchPrime);
    };
    const gathered = await across.gather([...sample.primes.keys()], examine, signal);
    const failures = [...gathered.failed].map(([id, message]) => ({ what: sample.primes.get(id)!.path, message }));
    return {
      ...{ gatherer: gathered.gatherer, filesCount: sample.filesCount, bytes: gathered.bytes },
      ...{ failedCount: failures.length, failures: failures.slice(0, TOLD_COUNT) },
    };
  }

  async #restore({ kind, isWhole }: Drill, { signal, onProgress = () => {} }: DrillInit) {
    const { site, rng, offsite } = this.#components;
    const root = await this.#chooseRoot();
    const here: FetchPrime = (id) => site.store.get(id);
    const others = kind === "offsite" ? offsite() : undefined;
    if (kind === "offsite" && others === undefined)
      throw new CostorError("not-in-federation", "no other site has copies of this one's");
    const sources = {
      tested: openPrimeSource({ fetchPrime: others ?? here }),
      reference: openPrimeSource({ fetchPrime: here }),
      rng,
    };
    return restoreDrill(sources, {
      ...{ root, isWhole, signal, onProgress },
      scratchFile: this.scratchFile,
    });
  }
}
