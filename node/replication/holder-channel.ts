/** An owner's, or a steward's, questions to a holder over one channel. docs/specs/replication.md, A run. */
import type { Channel } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { decodeMessage, encodeMessage } from "./frame-codec.ts";
import { type ReplicateAnswer, refusalError, replicateAnswer } from "./replicate-messages.ts";
import { compareSlice } from "./slice-comparison.ts";

const KEY_BYTES = 32;

export class HolderChannel {
  readonly #channel: Channel;
  readonly #signal: AbortSignal | undefined;
  readonly #key: Buffer;

  constructor({ channel, rng }: { channel: Channel; rng: Rng }, { signal }: { signal?: AbortSignal | undefined }) {
    this.#channel = channel;
    this.#signal = signal;
    this.#key = rng.bytes(KEY_BYTES);
  }

  async ask(message: Parameters<typeof encodeMessage>[0]): Promise<ReplicateAnswer> {
    await this.#channel.send(encodeMessage(message));
    return this.receive();
  }

  async receive(): Promise<ReplicateAnswer> {
    const frame = await this.#channel.receive(this.#signal);
    if (frame === undefined) throw new CostorError("peer-unreachable", "the holder ended the run");
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
