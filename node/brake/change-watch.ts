/**
 * The ransomware brake: looks at each new snapshot once, against the one before it of the same agent and job. What looks like the work
 * of ransomware raises an alarm that stands until a person settles it. The site looks at what it has received itself: a captured
 * machine cannot say that all is well.
 */
import * as v from "valibot";
import type { Rng } from "#ledger/rng.ts";
import { openPrimeSource } from "#node/export/prime-source.ts";
import type { BrakeAlarm, BrakeAlarms } from "#node/site/brake-alarms.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SnapshotSummary } from "#protocol/http.ts";
import { type AgentId, parseSnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { judgeChanges } from "./judge-changes.ts";
import { compareSnapshots } from "./snapshot-changes.ts";

const SEEN = "brake-seen";
/** When more than that have come since the last look, only the newest are looked at, the first of them against the last that was. */
const BACKLOG_COUNT = 8;
/** Of a snapshot that may have left the list since. */
const seenSchema = v.strictObject({ receivedMs: v.pipe(v.number(), v.safeInteger()) });

export interface ChangeWatchComponents {
  readonly store: Pick<PrimeStore, "get" | "fact" | "appendFacts">;
  readonly snapshots: Pick<SnapshotRegistry, "list" | "get">;
  readonly rng: Pick<Rng, "fraction">;
  readonly alarms: Pick<BrakeAlarms, "raise">;
  /** Whether something that is missing now may come yet: what cannot be compared is looked at again then. */
  readonly isRegaining: () => boolean;
  /** Of each alarm once. The alarm lasts when it is called. */
  readonly onAlarm: (alarm: BrakeAlarm) => void;
}

export class ChangeWatch {
  readonly #components: ChangeWatchComponents;
  readonly #queue = new SerialQueue();

  constructor(components: ChangeWatchComponents) {
    this.#components = components;
  }

  /** Looks at the snapshots of an agent that nobody has looked at yet. Throws like the store, and the signal's reason. */
  look(agent: AgentId, signal: AbortSignal): Promise<void> {
    return this.#queue.run(async () => {
      const byJob = Map.groupBy(await this.#components.snapshots.list(agent), ({ job }) => job);
      for (const [job, snapshots] of byJob) await this.#lookAtJob(agent, job, snapshots, signal);
    });
  }

  async #lookAtJob(
    agent: AgentId,
    job: string,
    snapshots: readonly SnapshotSummary[],
    signal: AbortSignal,
  ): Promise<void> {
    const { store, isRegaining } = this.#components;
    const key = `${agent}/${job}`;
    const value = await store.fact(SEEN, key);
    const seenMs = value === undefined ? undefined : readFactValue(value, seenSchema, SEEN).receivedMs;
    const unseen = snapshots.filter(({ receivedMs }) => receivedMs > (seenMs ?? -1));
    const looked = unseen.slice(-BACKLOG_COUNT);
    // Whoever sends many at once must not hide the one among them that differs.
    let before =
      seenMs === undefined
        ? snapshots[snapshots.length - looked.length - 1]
        : snapshots.findLast(({ receivedMs }) => receivedMs <= seenMs);
    for (const after of looked) {
      if (before !== undefined && !(await this.#compare(agent, before, after, signal)) && isRegaining()) return;
      await store.appendFacts([{ kind: SEEN, key, value: encodeCbor({ receivedMs: after.receivedMs }) }]);
      before = after;
    }
  }

  /** Whether all of both was there. */
  async #compare(
    agent: AgentId,
    before: SnapshotSummary,
    after: SnapshotSummary,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { store, snapshots, alarms, rng, onAlarm } = this.#components;
    const source = openPrimeSource({ fetchPrime: (id) => store.get(id) });
    const rootOf = async ({ id }: SnapshotSummary) =>
      nodePointerFromWire((await snapshots.get(agent, parseSnapshotId(id))).root);
    let isWhole = true;
    const onDamage = (): void => void (isWhole = false);
    let changes;
    try {
      const compared = { root: await rootOf(before), filesCount: before.filesCount };
      changes = await compareSnapshots({ source, rng }, compared, { root: await rootOf(after) }, { onDamage, signal });
    } catch (error) {
      signal.throwIfAborted();
      // What has expired meanwhile, or is damaged, cannot be compared.
      if (isCostorError(error, "snapshot-unknown") || isCostorError(error, "prime-missing")) return false;
      throw error;
    }
    const found = judgeChanges(changes);
    if (found.length === 0) return isWhole;
    const { before: _, after: __, ...counts } = changes;
    const alarm = await alarms.raise({
      ...{ agent, snapshot: parseSnapshotId(after.id), job: after.job, before: parseSnapshotId(before.id) },
      ...{ findings: found, ...counts },
    });
    if (alarm !== undefined) onAlarm(alarm);
    return isWhole;
  }
}
