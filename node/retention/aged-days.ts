/**
 * Which snapshots are young, by time that has really passed: once in a while it is noted up to when snapshots had been received by then,
 * on the clock that never goes back. What no note of thirty days ago has is young, whatever the machine's clock says.
 */
import * as v from "valibot";
import { LEAST_KEPT_MS } from "#ledger/plan-retention.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";

const FACT = { kind: "retention", key: "days" } as const;
/** Between two notes: snapshots are kept by so much longer than they had to be. */
const NOTE_EVERY_MS = 12 * 3_600_000;
/** A day, less what a turn may come early. */
const DUE_EVERY_MS = 22 * 3_600_000;

const time = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({
  /** When the daily work was done last. */
  doneHeldMs: v.nullable(time),
  /** Ascending: what the clock showed, and the received time of the newest snapshot then. */
  days: v.array(v.strictObject({ heldMs: time, receivedMs: time })),
});
type Noted = v.InferOutput<typeof schema>;
type Day = Noted["days"][number];
const NOTHING: Noted = { doneHeldMs: null, days: [] };

export class AgedDays {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #noted: Noted;

  private constructor(store: Pick<PrimeStore, "appendFacts">, noted: Noted) {
    this.#store = store;
    this.#noted = noted;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "fact">): Promise<AgedDays> {
    const value = await store.fact(FACT.kind, FACT.key);
    return new AgedDays(store, value === undefined ? NOTHING : readFactValue(value, schema, "retention"));
  }

  /** Snapshots that were received after that are young. */
  youngAfterMs(heldMs: number): number {
    return this.#aged(heldMs).at(-1)?.receivedMs ?? Number.NEGATIVE_INFINITY;
  }

  #aged(heldMs: number): Day[] {
    return this.#noted.days.filter((day) => heldMs - day.heldMs >= LEAST_KEPT_MS);
  }

  /** To be called now and then, at least once a day. */
  async note(heldMs: number, receivedMs: number): Promise<void> {
    const { days, doneHeldMs } = this.#noted;
    const last = days.at(-1);
    if (last !== undefined && heldMs - last.heldMs < NOTE_EVERY_MS) return;
    // Of those of thirty days ago the newest says all.
    const idle = new Set(this.#aged(heldMs).slice(0, -1));
    await this.#keep({ doneHeldMs, days: [...days.filter((day) => !idle.has(day)), { heldMs, receivedMs }] });
  }

  /** Whether the daily work is to be done. */
  isDue(heldMs: number): boolean {
    const { doneHeldMs } = this.#noted;
    return doneHeldMs === null || heldMs - doneHeldMs >= DUE_EVERY_MS;
  }

  async done(heldMs: number): Promise<void> {
    await this.#keep({ ...this.#noted, doneHeldMs: heldMs });
  }

  async #keep(noted: Noted): Promise<void> {
    await this.#store.appendFacts([{ ...FACT, value: encodeCbor(noted) }]);
    this.#noted = noted;
  }
}
