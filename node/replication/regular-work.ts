/** Work that is done again and again, from a start to an end: one turn at a time, and none after the end. */
import type { Clock } from "#ledger/clock.ts";

export interface RegularWorkInit {
  readonly everyMs: number;
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** What a turn throws, but for the end; the next turn comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

/** What ends a pause. */
const ASKED = Symbol("another turn, or the end");

export class RegularWork implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #init: RegularWorkInit;
  readonly #end = new AbortController();
  /** Of the sleep between two turns. */
  #pause = new AbortController();
  #isAsked = false;
  #done: Promise<void> | undefined;

  constructor(components: { clock: Clock }, init: RegularWorkInit) {
    this.#clock = components.clock;
    this.#init = init;
  }

  /** Once. */
  start(signal: AbortSignal): void {
    if (signal.aborted) this.#end.abort(signal.reason);
    signal.addEventListener("abort", () => this.#end.abort(signal.reason), { once: true });
    this.#end.signal.addEventListener("abort", () => this.#pause.abort(ASKED), { once: true });
    this.#done = this.#loop();
  }

  /** Another turn as soon as the one under way has ended. */
  soon(): void {
    this.#isAsked = true;
    this.#pause.abort(ASKED);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #loop(): Promise<void> {
    const { everyMs, work, onFailure } = this.#init;
    const { signal } = this.#end;
    while (!signal.aborted) {
      this.#isAsked = false;
      if (this.#pause.signal.aborted) this.#pause = new AbortController();
      try {
        await work(signal);
      } catch (error) {
        if (!signal.aborted) onFailure(error);
      }
      if (!this.#isAsked && !signal.aborted)
        await this.#clock.sleep(everyMs, this.#pause.signal).catch(() => undefined);
    }
  }
}
