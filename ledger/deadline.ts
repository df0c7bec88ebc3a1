/** A time by which work has to end: what waits for others takes its signal. */
import type { Clock } from "./clock.ts";

export interface DeadlineInit {
  readonly afterMs: number;
  /** Ends the work too. */
  readonly signal?: AbortSignal | undefined;
  /** What the work is told when the time is over. */
  readonly reason: () => Error;
}

/** No error is made for work that ends in time: most does. */
const IN_TIME = Symbol("the work has ended");

/** To be disposed of when the work has ended. */
export class Deadline implements Disposable {
  readonly #ending = new AbortController();
  readonly #outer: AbortSignal | undefined;
  #isOver = false;

  constructor({ clock }: { clock: Clock }, { afterMs, signal, reason }: DeadlineInit) {
    this.#outer = signal;
    if (signal?.aborted) this.#ending.abort(signal.reason);
    signal?.addEventListener("abort", this.#onOuter, { once: true });
    clock.sleep(afterMs, this.#ending.signal).then(
      () => {
        this.#isOver = true;
        this.#ending.abort(reason());
      },
      () => undefined,
    );
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Whether the time was over before the work. */
  get isOver(): boolean {
    return this.#isOver;
  }

  readonly #onOuter = (): void => this.#ending.abort(this.#outer!.reason);

  [Symbol.dispose](): void {
    this.#outer?.removeEventListener("abort", this.#onOuter);
    this.#ending.abort(IN_TIME);
  }
}
