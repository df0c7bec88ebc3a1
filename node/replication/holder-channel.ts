/** An owner's, or a steward's, questions to a holder over one channel. docs/specs/replication.md, A run. */
import type { Clock } from "#ledger/clock.ts";
import type { Channel, Frame } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { decodeMessage, encodeMessage } from "./frame-codec.ts";
import { type ReplicateAnswer, refusalError, replicateAnswer } from "./replicate-messages.ts";
import { compareSlice } from "./slice-comparison.ts";

const KEY_BYTES = 32;
/** A channel on which nothing comes or goes for so long is given up: the slowest rate sends a prime in half of it. */
const STALLED_MS = 30 * 60_000;

/** No error is made for a run that has come to its end. */
const ENDED = Symbol("the run has ended");

export interface HolderChannelComponents {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** Whoever takes the questions and never answers must not keep an owner from its other holders: so it is watched until it is disposed. */
export class HolderChannel implements Disposable {
  readonly #channel: Channel;
  readonly #signal: AbortSignal | undefined;
  readonly #key: Buffer;
  readonly #done = new AbortController();
  /** Of both directions. */
  #framesCount = 0;

  constructor({ channel, clock, rng }: HolderChannelComponents, { signal }: { signal?: AbortSignal | undefined }) {
    this.#channel = channel;
    this.#signal = signal;
    this.#key = rng.bytes(KEY_BYTES);
    void this.#watch(clock);
  }

  [Symbol.dispose](): void {
    this.#done.abort(ENDED);
  }

  async #watch(clock: Clock): Promise<void> {
    try {
      for (let before = -1; before !== this.#framesCount;) {
        before = this.#framesCount;
        await clock.sleep(STALLED_MS, this.#done.signal);
      }
      this.#channel.abort();
    } catch {
      // It is not watched any more.
    }
  }

  async send(frame: Frame): Promise<void> {
    await this.#channel.send(frame);
    this.#framesCount++;
  }

  async ask(message: Parameters<typeof encodeMessage>[0]): Promise<ReplicateAnswer> {
    await this.send(encodeMessage(message));
    return this.receive();
  }

  async receive(): Promise<ReplicateAnswer> {
    const frame = await this.#channel.receive(this.#signal);
    if (frame === undefined) throw new CostorError("peer-unreachable", "the holder ended the run");
    this.#framesCount++;
    return decodeMessage(frame, replicateAnswer);
  }

  /** What the holder lacks of these ids, and what only it has. Throws like ledger/reconcile.ts. */
  async compare(slice: number, ids: readonly PrimeId[]): Promise<{ missing: PrimeId[]; extras: PrimeId[] }> {
    const missing: PrimeId[] = [];
    const extras: PrimeId[] = [];
    const key = this.#key;
    const ask = async (question: Uint8Array): Promise<Uint8Array> =>
      expectAnswer(await this.ask({ kind: "compare", key, question }), "compared").answer;
    for await (const difference of compareSlice({ key, slice, ids, ask, signal: this.#signal })) {
      if ("missing" in difference) for (const id of difference.missing) missing.push(id);
      else for (const id of difference.extra) extras.push(id);
    }
    return { missing, extras };
  }
}

/** Throws the other side's refusal, or `peer-misbehaved` for another answer. */
export function expectAnswer<Kind extends ReplicateAnswer["kind"]>(
  answer: ReplicateAnswer,
  kind: Kind,
): Extract<ReplicateAnswer, { kind: Kind }> {
  if (answer.kind === "refused") throw refusalError(answer);
  if (answer.kind !== kind) throw new CostorError("peer-misbehaved", `it answers ${answer.kind} where ${kind} is due`);
  return answer as Extract<ReplicateAnswer, { kind: Kind }>;
}
