/** Time that passes only when it is waited for, or when a test says so. */
import type { Clock } from "#agent/schedule/clock.ts";

export class VirtualClock implements Clock {
  private timeMs: number;
  /** Every wait that was asked for, in order. */
  readonly sleptMs: number[] = [];
  /** Called at the end of a wait, before it resolves: what happens at that time. */
  onWake: (nowMs: number) => void = () => undefined;

  constructor(startMs: number) {
    this.timeMs = startMs;
  }

  nowMs(): number {
    return this.timeMs;
  }

  /** Sets the clock, or lets the machine sleep: no timer runs meanwhile. */
  jumpBy(ms: number): void {
    this.timeMs += ms;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleptMs.push(ms);
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    this.timeMs += ms;
    this.onWake(this.timeMs);
    signal?.throwIfAborted();
  }
}
