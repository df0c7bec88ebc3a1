/** What was spread and waits to be written. What comes while others are being written waits, and is written together with more. */
import { limits } from "#protocol/limits.ts";

/** In a federation of hundreds many come at one moment. */
const AT_ONCE_COUNT = 64;

export interface HeardMessagesComponents {
  /** Writes them all. When one of them is wrong, it may throw for all: then they are given again in halves, and alone at the end. */
  readonly admit: (messages: readonly Uint8Array[]) => Promise<void>;
  /** One that is wrong alone, and why. */
  readonly onWrong: (error: unknown) => void;
}

export class HeardMessages {
  readonly #components: HeardMessagesComponents;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isWriting = false;

  constructor(components: HeardMessagesComponents) {
    this.#components = components;
  }

  /** Whether there was room for it: a disk may be slower than what comes. */
  add(message: Uint8Array, signal: AbortSignal): boolean {
    if (this.#waitingBytes + message.length > limits.gossipWaitingBytes) return false;
    this.#waiting.push(message);
    this.#waitingBytes += message.length;
    if (!this.#isWriting) void this.#write(signal);
    return true;
  }

  async #write(signal: AbortSignal): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0 && !signal.aborted) {
      const messages = this.#waiting.splice(0, AT_ONCE_COUNT);
      await this.#admit(messages, signal);
      this.#waitingBytes -= messages.reduce((sum, { length }) => sum + length, 0);
    }
    this.#isWriting = false;
  }

  async #admit(messages: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      await this.#components.admit(messages);
    } catch (error) {
      if (messages.length === 1) return this.#components.onWrong(error);
      const half = Math.floor(messages.length / 2);
      await this.#admit(messages.slice(0, half), signal);
      await this.#admit(messages.slice(half), signal);
    }
  }
}
