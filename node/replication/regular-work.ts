/** Work that is done again and again, from a start to an end: one turn at a time, and none after the end. */
import type { Clock } from "#ledger/clock.ts";

export interface RegularWorkInit {
  readonly everyMs: number;
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** What a turn throws, but for the end; the next turn comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

export class RegularWork implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #init: RegularWorkInit;
  readonly #end = new AbortController();
  #pause = new AbortController();
  #isAsked = false;
  #done: Promise<void> | undefined;

  constructor(components: { clock: Clock }, init: RegularWorkInit) {
    this.#clock = components.clock;
    this.#init = init;
  }

  /** Once. */
  start(signal: AbortSignal): void {
    this.#done = this.#loop(AbortSignal.any([signal, this.#end.signal]));
  }

  /** Another turn as soon as the one under way has ended. */
  soon(): void {
    this.#isAsked = true;
    this.#pause.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { everyMs, work, onFailure } = this.#init;
    while (!signal.aborted) {
      this.#isAsked = false;
      this.#pause = new AbortController();
      try {
        await work(signal);
      } catch (error) {
        if (!signal.aborted) onFailure(error);
      }
      if (!this.#isAsked)
        await this.#clock.sleep(everyMs, AbortSignal.any([signal, this.#pause.signal])).catch(() => undefined);
    }
  }
}
