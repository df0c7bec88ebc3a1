/** Work that hundreds of other sites give reason for: done at once when nobody has asked for a while, and otherwise once for all that ask meanwhile. */
import type { Clock } from "#ledger/clock.ts";

export interface SparinglyComponents {
  readonly clock: Pick<Clock, "sleep">;
  readonly work: () => void;
}

export class Sparingly {
  readonly #components: SparinglyComponents;
  readonly #everyMs: number;
  #isResting = false;
  #isAsked = false;

  /** `everyMs` lies between two times at least. */
  constructor(components: SparinglyComponents, { everyMs }: { readonly everyMs: number }) {
    this.#components = components;
    this.#everyMs = everyMs;
  }

  /** What is still to be done when the signal comes is not done. */
  ask(signal: AbortSignal | undefined): void {
    if (this.#isResting) {
      this.#isAsked = true;
      return;
    }
    this.#components.work();
    this.#isResting = true;
    this.#components.clock.sleep(this.#everyMs, signal).then(
      () => this.#goOn(signal),
      () => undefined,
    );
  }

  #goOn(signal: AbortSignal | undefined): void {
    this.#isResting = false;
    if (!this.#isAsked) return;
    this.#isAsked = false;
    this.ask(signal);
  }
}
