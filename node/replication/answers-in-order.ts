/** Answers that are ready at their own times, sent in the order of what they answer. docs/specs/replication.md, Under way. */
import type { Channel } from "#ledger/peers.ts";
import { limits } from "#protocol/limits.ts";

export interface AnswersInit {
  /** Told when an answer fails, or cannot be sent: nothing behind it is sent. */
  readonly onFailure: (error: unknown) => void;
}

export class AnswersInOrder {
  readonly #channel: Pick<Channel, "send">;
  readonly #onFailure: AnswersInit["onFailure"];
  /** The ends of the sending of each, the last of the latest. */
  readonly #unsent: Promise<void>[] = [];

  constructor({ channel }: { channel: Pick<Channel, "send"> }, init: AnswersInit) {
    this.#channel = channel;
    this.#onFailure = init.onFailure;
  }

  /** Resolves when another one may be added. */
  async add(answer: Promise<Uint8Array>): Promise<void> {
    answer.catch(this.#onFailure);
    const sent = this.#send(answer, this.#unsent.at(-1));
    sent.catch(this.#onFailure);
    this.#unsent.push(sent);
    if (this.#unsent.length >= limits.replicateUnansweredCount) await this.#unsent.shift();
  }

  /** Resolves when all are sent. Throws what the first that failed did. */
  async sent(): Promise<void> {
    await this.#unsent.at(-1);
  }

  async #send(answer: Promise<Uint8Array>, before: Promise<void> | undefined): Promise<void> {
    await before;
    await this.#channel.send(await answer);
  }
}
