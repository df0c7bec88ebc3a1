/**
 * Time that passes only from event to event: the next event is resolved, everything that follows from it without waiting is
 * done, then comes the next one. Events of one time come in the order in which they were asked for.
 */
import type { Clock } from "#ledger/clock.ts";

/** 1 January 2026. */
const START_MS = Date.UTC(2026, 0, 1);
/** Taken before a run forbids it to what is simulated. */
const realImmediate = setImmediate;
/**
 * So many events in a turn of the event loop, each by an immediate of its own: before the next immediate all that follows from one is
 * done, and a turn costs as much as a small event.
 */
const A_TURN_COUNT = 64;

interface Event {
  readonly atMs: number;
  readonly order: number;
  /** So many events one after the other, which nothing can come between. */
  readonly count: number;
  doneCount: number;
  /** Given the number of the event among them. Undefined once it is of no interest any more. */
  action: ((at: number) => void) | undefined;
}

export class VirtualTime {
  /** A heap by time, then order. */
  readonly #events: Event[] = [];
  readonly #sleepers = new WeakMap<AbortSignal, Set<() => void>>();
  #elapsedMs = 0;
  #order = 0;

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** True time. */
  readonly clock: Clock = {
    now: () => START_MS + this.#elapsedMs,
    elapsedMs: () => this.#elapsedMs,
    sleep: (durationMs, signal) => this.sleep(durationMs, signal),
  };

  /** Does `action` after so long, in whole milliseconds; what is returned takes it back. */
  after(durationMs: number, action: () => void): () => void {
    const event = this.#eventAfter(durationMs, 1, action);
    return () => void (event.action = undefined);
  }

  /** Does `action` with each of `items` after so long, as events of their own, in hardly more memory than one takes. */
  afterEach<Item>(durationMs: number, items: readonly Item[], action: (item: Item) => void): void {
    this.#eventAfter(durationMs, items.length, (at) => action(items[at]!));
  }

  #eventAfter(durationMs: number, count: number, action: (at: number) => void): Event {
    const atMs = this.#elapsedMs + Math.ceil(Math.max(0, durationMs));
    const event: Event = { atMs, order: this.#order++, count, doneCount: 0, action };
    this.#push(event);
    return event;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (!signal) this.after(durationMs, resolve);
    else {
      const sleepers = this.#sleepersOf(signal);
      const wake = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.after(durationMs, () => {
        sleepers.delete(wake);
        resolve();
      });
      sleepers.add(wake);
    }
    return promise;
  }

  /** Who sleeps until a signal, in order: most signals end many sleeps, and a listener for each costs more than the sleep. */
  #sleepersOf(signal: AbortSignal): Set<() => void> {
    let sleepers = this.#sleepers.get(signal);
    if (sleepers === undefined) {
      const fresh = (sleepers = new Set());
      this.#sleepers.set(signal, fresh);
      signal.addEventListener("abort", () => fresh.forEach((wake) => wake()), { once: true });
    }
    return sleepers;
  }

  /**
   * Lets time pass until `untilMs` of elapsed time. After each event, when nothing goes on any more, `afterEvent` may look at
   * the world; it ends the run by throwing.
   */
  run(untilMs: number, afterEvent: () => void = () => {}): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let [hasDone, isOver] = [false, false];
    const step = (): void => {
      if (isOver) return;
      try {
        if (hasDone) afterEvent();
        hasDone = this.#doNext(untilMs);
        if (hasDone) return;
        this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
        isOver = true;
        resolve();
      } catch (error) {
        isOver = true;
        reject(error as Error);
      }
    };
    const turn = (): void => {
      step();
      if (isOver) return;
      for (let count = 2; count < A_TURN_COUNT; count++) realImmediate(step);
      realImmediate(turn);
    };
    realImmediate(turn);
    return promise;
  }

  /** Begins the next event, if it comes by then; whether there was one. */
  #doNext(untilMs: number): boolean {
    for (;;) {
      const event = this.#events[0];
      if (!event || event.atMs > untilMs) return false;
      const { action } = event;
      const at = event.doneCount++;
      if (event.doneCount === event.count) this.#shift();
      if (!action) continue;
      this.#elapsedMs = event.atMs;
      action(at);
      return true;
    }
  }

  #push(event: Event): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (isBefore(events[parent]!, event)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  #shift(): void {
    const events = this.#events;
    const last = events.pop()!;
    if (events.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (isBefore(last, events[child]!)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
  }
}

const isBefore = (one: Event, other: Event): boolean =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
