import { SerialQueue } from "#node/site/serial-queue.ts";
import type { SiteId } from "#protocol/ids.ts";

/** One thing at a time is done to what is kept for an owner: nothing is dropped between a comparison and its receipt. */
export class OwnerTurns {
  readonly #queues = new Map<SiteId, SerialQueue>();

  run<T>(owner: SiteId, work: () => Promise<T>): Promise<T> {
    let queue = this.#queues.get(owner);
    if (queue === undefined) this.#queues.set(owner, (queue = new SerialQueue()));
    return queue.run(work);
  }
}
