import type { SiteId } from "#protocol/ids.ts";

/** What is done to what is kept for an owner takes turns, so that nothing is dropped between a comparison and its receipt. */
export class OwnerTurns {
  readonly #queues = new Map<SiteId, TurnQueue>();

  /** Alone. */
  run<T>(owner: SiteId, work: () => Promise<T>): Promise<T> {
    return this.#queueOf(owner).run(work);
  }

  /** At once with others that share and came after the same work that runs alone. */
  share<T>(owner: SiteId, work: () => Promise<T>): Promise<T> {
    return this.#queueOf(owner).share(work);
  }

  #queueOf(owner: SiteId): TurnQueue {
    let queue = this.#queues.get(owner);
    if (queue === undefined) this.#queues.set(owner, (queue = new TurnQueue()));
    return queue;
  }
}

/** In the order in which they come. */
class TurnQueue {
  /** The end of what ran, or is to run, alone. */
  #alone: Promise<unknown> = Promise.resolve();
  /** The end of all that shares since then. */
  #shared: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = Promise.all([this.#alone, this.#shared]).then(work);
    this.#alone = result.catch(() => undefined);
    this.#shared = this.#alone;
    return result;
  }

  share<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#alone.then(work);
    this.#shared = Promise.all([this.#shared, result.catch(() => undefined)]);
    return result;
  }
}
