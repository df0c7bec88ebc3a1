/**
 * Marks of people: "tell me when everything before now is verified elsewhere". One is reached once all snapshots of before are
 * safe, and every holder has proven by an audit after that that it has what it says.
 */
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { Replication } from "#node/replication/replication.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { CopiesReport } from "./copies-report.ts";

const FACT = { kind: "federation", key: "checkpoints" } as const;
/** Older ones are forgotten. */
const KEPT_COUNT = 20;

const time = v.pipe(v.number(), v.safeInteger());
const checkpointSchema = v.strictObject({
  madeMs: time,
  /** When the newest snapshot of before was received; 0 when there is none. */
  receivedMs: time,
  reachedMs: v.optional(time),
});
const schema = v.strictObject({ checkpoints: v.array(checkpointSchema) });
export type Checkpoint = Readonly<v.InferOutput<typeof checkpointSchema>>;

export interface CheckpointComponents {
  readonly store: Pick<PrimeStore, "appendFacts">;
  readonly clock: Clock;
  readonly copies: Pick<CopiesReport, "of">;
  readonly replication: Pick<Replication, "audit">;
  /** When the newest snapshot was received; 0 for none. */
  readonly receivedMs: () => number;
}

export class Checkpoints {
  readonly #components: CheckpointComponents;
  readonly #queue = new SerialQueue();
  #checkpoints: readonly Checkpoint[];

  private constructor(components: CheckpointComponents, checkpoints: readonly Checkpoint[]) {
    this.#components = components;
    this.#checkpoints = checkpoints;
  }

  static async open(
    components: Omit<CheckpointComponents, "store"> & { readonly store: Pick<PrimeStore, "appendFacts" | "fact"> },
  ): Promise<Checkpoints> {
    const value = await components.store.fact(FACT.kind, FACT.key);
    return new Checkpoints(components, value === undefined ? [] : readFactValue(value, schema, FACT.key).checkpoints);
  }

  /** The newest first. */
  list(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  /** Durable when it resolves. */
  make(): Promise<Checkpoint> {
    const { clock, receivedMs } = this.#components;
    const made: Checkpoint = { madeMs: clock.now(), receivedMs: receivedMs() };
    return this.#queue.run(async () => {
      await this.#keep([made, ...this.#checkpoints].slice(0, KEPT_COUNT));
      return made;
    });
  }

  /** Looks whether those that wait are reached by now. Throws what the ledger throws, and the signal's reason. */
  look(signal: AbortSignal): Promise<void> {
    return this.#queue.run(async () => {
      const { clock, copies } = this.#components;
      const isSafe = ({ receivedMs }: Checkpoint): boolean => receivedMs === 0 || copies.of(receivedMs).isSafe;
      const waiting = this.#checkpoints.filter((one) => one.reachedMs === undefined && isSafe(one));
      if (waiting.length === 0 || !(await this.#isProven(waiting, signal))) return;
      const reachedMs = clock.now();
      await this.#keep(this.#checkpoints.map((one) => (waiting.includes(one) ? { ...one, reachedMs } : one)));
    });
  }

  async #isProven(waiting: readonly Checkpoint[], signal: AbortSignal): Promise<boolean> {
    if (waiting.every(({ receivedMs }) => receivedMs === 0)) return true;
    const audits = await this.#components.replication.audit(signal);
    return audits.every(
      ({ isReached, counts }) =>
        isReached && counts !== undefined && counts.wrongCount === 0 && counts.silentCount === 0,
    );
  }

  async #keep(checkpoints: readonly Checkpoint[]): Promise<void> {
    await this.#components.store.appendFacts([{ ...FACT, value: encodeCbor({ checkpoints: [...checkpoints] }) }]);
    this.#checkpoints = checkpoints;
  }
}
