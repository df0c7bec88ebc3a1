/** Work that is done when it is asked for, from a start to an end: one turn at a time, and another one when it is asked for meanwhile. */
export interface AskedWorkInit {
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** What a turn throws, but for the end. */
  readonly onFailure: (error: unknown) => void;
}

export class AskedWork implements AsyncDisposable {
  readonly #init: AskedWorkInit;
  readonly #end = new AbortController();
  #isStarted = false;
  #isAsked = false;
  #running: Promise<void> | undefined;

  constructor(init: AskedWorkInit) {
    this.#init = init;
  }

  /** Once. What was asked for before is done then. */
  start(signal: AbortSignal): void {
    if (signal.aborted) this.#end.abort(signal.reason);
    signal.addEventListener("abort", () => this.#end.abort(signal.reason), { once: true });
    this.#isStarted = true;
    if (this.#isAsked) this.soon();
  }

  /** A turn, as soon as the one under way has ended. */
  soon(): void {
    this.#isAsked = true;
    if (this.#isStarted) this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { work, onFailure } = this.#init;
    const { signal } = this.#end;
    // Who asks does not wait for the beginning of a turn either.
    await undefined;
    while (this.#isAsked && !signal.aborted) {
      this.#isAsked = false;
      try {
        await work(signal);
      } catch (error) {
        if (!signal.aborted) onFailure(error);
      }
    }
  }
}
