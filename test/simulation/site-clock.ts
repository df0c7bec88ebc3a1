/** The clock of one machine: wrong, jumping, fast or slow in what it says; its waiting is by true time. It ends with the machine. */
import type { Clock } from "#ledger/clock.ts";
import type { VirtualTime } from "./virtual-time.ts";

export class SiteClock implements Clock {
  readonly #time: VirtualTime;
  /** What it says is `#saidMs` plus `#rateRatio` times what has passed since `#sinceMs`. */
  #saidMs: number;
  #sinceMs: number;
  #rateRatio = 1;
  #hasEnded = false;

  constructor(components: { time: VirtualTime }) {
    this.#time = components.time;
    this.#saidMs = this.#time.clock.now();
    this.#sinceMs = this.#time.elapsedMs;
  }

  now(): number {
    return Math.max(0, Math.floor(this.#saidMs + (this.#time.elapsedMs - this.#sinceMs) * this.#rateRatio));
  }

  elapsedMs(): number {
    return this.#time.elapsedMs;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    // A machine that has crashed does nothing more.
    const end = (): Promise<void> | undefined => (this.#hasEnded ? new Promise(() => {}) : undefined);
    return end() ?? this.#time.sleep(durationMs, signal).then(end);
  }

  jump(byMs: number): void {
    this.#saidMs = this.now() + byMs;
    this.#sinceMs = this.#time.elapsedMs;
  }

  /** 1 is right, 0 is frozen. */
  setRate(rateRatio: number): void {
    this.jump(0);
    this.#rateRatio = rateRatio;
  }

  setRight(): void {
    this.setRate(1);
    this.jump(this.#time.clock.now() - this.now());
  }

  /** Whoever waits on it waits for ever; the copy goes on. */
  endAndCopy(): SiteClock {
    this.#hasEnded = true;
    const copy = new SiteClock({ time: this.#time });
    copy.#saidMs = this.#saidMs;
    copy.#sinceMs = this.#sinceMs;
    copy.#rateRatio = this.#rateRatio;
    return copy;
  }
}
