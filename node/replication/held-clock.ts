/**
 * The holder's own clock, by which locks are counted. It counts the time that the site has run, and up to a day of each time
 * that it was off: it never goes back, and no setting of the machine's clock moves it further. docs/specs/replication.md, Dropping.
 *
 * The machine's clock is under suspicion when it moved by more than a day otherwise than time passed, or lies before what was
 * noted at the last run; until a person says that it is right. After days off it is unproven: it may have been set ahead meanwhile.
 */
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { HolderClock } from "#ledger/drop-plan.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";

const KIND = "clock";
const KEY = "held";
const DAY_MS = 24 * 3_600_000;

const schema = v.strictObject({
  heldMs: v.pipe(v.number(), v.safeInteger()),
  /** By the machine's clock, when this was noted. */
  wallMs: v.pipe(v.number(), v.safeInteger()),
  isSuspect: v.boolean(),
  /** Until the holder's clock shows that; not there when the machine's is proven. */
  unprovenUntilMs: v.optional(v.pipe(v.number(), v.safeInteger())),
});
type Noted = v.InferOutput<typeof schema>;

interface HeldClockComponents {
  readonly clock: Clock;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
}

export class HeldClock {
  readonly #components: HeldClockComponents;
  /** What it showed, and what the machine's clocks showed then. */
  #baseMs: number;
  readonly #openedElapsedMs: number;
  #expectedOffsetMs: number;
  #isSuspect: boolean;
  #unprovenUntilMs: number | undefined;

  private constructor(components: HeldClockComponents, noted: Noted | undefined) {
    const { clock } = components;
    this.#components = components;
    this.#openedElapsedMs = clock.elapsedMs();
    this.#expectedOffsetMs = clock.now() - this.#openedElapsedMs;
    const offMs = noted === undefined ? 0 : clock.now() - noted.wallMs;
    this.#baseMs = (noted?.heldMs ?? 0) + Math.min(Math.max(0, offMs), DAY_MS);
    this.#isSuspect = (noted?.isSuspect ?? false) || offMs < -DAY_MS;
    this.#unprovenUntilMs =
      offMs > limits.clockUnprovenOffMs ? this.#baseMs + limits.clockProvenRunMs : noted?.unprovenUntilMs;
  }

  static async open(components: HeldClockComponents): Promise<HeldClock> {
    const value = await components.store.fact(KIND, KEY);
    return new HeldClock(components, value && readFactValue(value, schema, KIND));
  }

  /** Milliseconds; what they are counted from means nothing. */
  nowMs(): number {
    return Math.floor(this.#baseMs + this.#components.clock.elapsedMs() - this.#openedElapsedMs);
  }

  get state(): HolderClock {
    this.#look();
    return { nowMs: this.nowMs(), isSuspect: this.#isSuspect };
  }

  /** Whether it may have been set ahead while the site was off. */
  get isUnproven(): boolean {
    return this.#unprovenUntilMs !== undefined && this.nowMs() < this.#unprovenUntilMs;
  }

  /** Others' clocks show the same: it was not set ahead. */
  async prove(): Promise<void> {
    this.#unprovenUntilMs = undefined;
    await this.keep();
  }

  /** The time, and the fact that makes it last; store it with what is noted at that time. */
  note(): { nowMs: number; fact: SiteFact } {
    const { nowMs, isSuspect } = this.state;
    const unprovenUntilMs = this.isUnproven ? this.#unprovenUntilMs : undefined;
    const noted = {
      ...{ heldMs: nowMs, wallMs: Math.floor(this.#components.clock.now()), isSuspect },
      ...(unprovenUntilMs !== undefined && { unprovenUntilMs }),
    };
    return { nowMs, fact: { kind: KIND, key: KEY, value: encodeCbor(noted) } };
  }

  /** Makes the time last that has passed: call it now and then. */
  async keep(): Promise<void> {
    await this.#components.store.appendFacts([this.note().fact]);
  }

  /** A person says that the machine's clock is right as it is. */
  async confirm(): Promise<void> {
    this.#isSuspect = false;
    this.#expectedOffsetMs = this.#offsetMs();
    await this.prove();
  }

  #look(): void {
    if (Math.abs(this.#offsetMs() - this.#expectedOffsetMs) > DAY_MS) this.#isSuspect = true;
  }

  #offsetMs(): number {
    return this.#components.clock.now() - this.#components.clock.elapsedMs();
  }
}
