/**
 * Lets requests that wait be committed together, one group at a time, in their order. What has to run alone takes its
 * turn in the same queue.
 */
export interface CommitQueueInit<Request> {
  /** Most bytes in one group; a single request may be larger. */
  readonly groupBytes: number;
  bytesOf(request: Request): number;
  /** Commits a group. One entry a request: undefined when it is durable, or its error. A rejection fails all of them. */
  commit(requests: readonly Request[]): Promise<readonly (Error | undefined)[]>;
}

interface Waiting<Request> {
  readonly request?: Request;
  readonly run?: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class CommitQueue<Request> {
  readonly #init: CommitQueueInit<Request>;
  #waiting: Waiting<Request>[] = [];
  #running: Promise<void> | undefined;

  constructor(init: CommitQueueInit<Request>) {
    this.#init = init;
  }

  commit(request: Request): Promise<void> {
    return new Promise((resolve, reject) => this.#add({ request, resolve, reject }));
  }

  /** Runs `action` while no group is being committed. It must not wait for the queue. */
  runAlone<T>(action: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#add({ run: async () => resolve(await action()), resolve: () => {}, reject });
    });
  }

  /** Resolves when nothing waits any more. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #add(waiting: Waiting<Request>): void {
    this.#waiting.push(waiting);
    this.#running ??= this.#work();
  }

  async #work(): Promise<void> {
    // Requests of the same turn of the event loop go together.
    await null;
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      if (first!.run !== undefined) {
        this.#waiting.shift();
        await first!.run().catch(first!.reject);
      } else await this.#commitGroup(this.#takeGroup());
    }
    this.#running = undefined;
  }

  #takeGroup(): Waiting<Request>[] {
    let bytes = 0;
    let end = 0;
    for (const { request, run } of this.#waiting) {
      if (run !== undefined) break;
      bytes += this.#init.bytesOf(request!);
      if (end > 0 && bytes > this.#init.groupBytes) break;
      end++;
    }
    return this.#waiting.splice(0, end);
  }

  async #commitGroup(group: readonly Waiting<Request>[]): Promise<void> {
    try {
      const errors = await this.#init.commit(group.map(({ request }) => request!));
      for (const [index, { resolve, reject }] of group.entries()) {
        if (errors[index] === undefined) resolve();
        else reject(errors[index]);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
