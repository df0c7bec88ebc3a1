/**
 * When the site received something: never earlier than what it received before, whatever the machine's clock does. The
 * floor is stored with each snapshot, so it lasts over restarts.
 */
import * as v from "valibot";
import { type SiteFact, readFactValue } from "./site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

const KIND = "clock";
const KEY = "received";
const schema = v.strictObject({ floorMs: v.pipe(v.number(), v.safeInteger()) });

export interface Received {
  readonly receivedMs: number;
  readonly wallMs?: number;
}

export class ReceivedClock {
  private readonly now: () => number;
  /** What was given last; 0 before the first. */
  floorMs: number;

  private constructor(now: () => number, floorMs: number) {
    this.now = now;
    this.floorMs = floorMs;
  }

  static async open(store: Pick<PrimeStore, "fact">, now: () => number): Promise<ReceivedClock> {
    const value = await store.fact(KIND, KEY);
    return new ReceivedClock(now, value === undefined ? 0 : readFactValue(value, schema, KIND).floorMs);
  }

  /** Something was received then, by another machine of this site; the fact makes it last. Throws `store-damaged` for a time that no clock can have shown. */
  wasReceived(receivedMs: number): SiteFact {
    if (receivedMs > this.now() + limits.receivedAheadMs)
      throw new CostorError("store-damaged", `received ${receivedMs} ms after 1970: no clock can be set so far ahead`);
    this.floorMs = Math.max(this.floorMs, receivedMs);
    return this.#fact();
  }

  #fact(): SiteFact {
    return { kind: KIND, key: KEY, value: encodeCbor({ floorMs: this.floorMs }) };
  }

  /**
   * Later than every time given before, and the fact that makes this last; store it with what was received. `wallMs` is what the machine's
   * clock showed, when that was less: of the two one may be far off, and only people know which.
   */
  receive(): Received & { readonly fact: SiteFact } {
    const wallMs = this.now();
    this.floorMs = Math.max(wallMs, this.floorMs + 1);
    return { receivedMs: this.floorMs, ...(wallMs < this.floorMs && { wallMs }), fact: this.#fact() };
  }
}
