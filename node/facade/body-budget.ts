/**
 * How many bytes of bodies may be in memory at once: of requests, or of answers. Those that find no room wait in order,
 * unread. No owner holds more than half, so that one agent that sends slowly over many connections leaves room for the others.
 */
import { limits } from "#protocol/limits.ts";

interface Waiting {
  readonly owner: string;
  readonly bytes: number;
  readonly enter: () => void;
}

export class BodyBudget {
  private freeBytes: number;
  private readonly shareBytes: number;
  private readonly heldBytes = new Map<string, number>();
  private readonly waiting: Waiting[] = [];

  constructor(totalBytes: number = limits.bodiesInMemoryBytes) {
    this.freeBytes = totalBytes;
    this.shareBytes = totalBytes / 2;
  }

  /** Room for `bytes`, until it is disposed. Throws the signal's reason when the client goes away while it waits. */
  async take(owner: string, bytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const wantedBytes = Math.min(bytes, this.shareBytes);
    const { promise, resolve: enter, reject } = Promise.withResolvers<void>();
    const entry: Waiting = { owner, bytes: wantedBytes, enter };
    const leave = (): void => {
      this.waiting.splice(this.waiting.indexOf(entry), 1);
      reject(signal.reason);
      this.admit();
    };
    this.waiting.push(entry);
    signal.addEventListener("abort", leave, { once: true });
    this.admit();
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.give(owner, wantedBytes);
        isHeld = false;
      },
    };
  }

  private give(owner: string, bytes: number): void {
    this.freeBytes += bytes;
    const left = this.heldBytes.get(owner)! - bytes;
    if (left > 0) this.heldBytes.set(owner, left);
    else this.heldBytes.delete(owner);
    this.admit();
  }

  /** Lets in whom there is room for. Who waits for their own share is passed by; who waits for room for all is not. */
  private admit(): void {
    for (let index = 0; index < this.waiting.length;) {
      const { owner, bytes, enter } = this.waiting[index]!;
      const heldBytes = this.heldBytes.get(owner) ?? 0;
      if (heldBytes + bytes > this.shareBytes) {
        index++;
        continue;
      }
      if (bytes > this.freeBytes) return;
      this.waiting.splice(index, 1);
      this.heldBytes.set(owner, heldBytes + bytes);
      this.freeBytes -= bytes;
      enter();
    }
  }
}
