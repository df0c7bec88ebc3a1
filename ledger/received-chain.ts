/** Answers that carry a chain of rosters: all frames up to their end. */
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import type { Channel } from "./peers.ts";

/** At most `limits.joinAnswerBytes`. Throws `peer-misbehaved` for more, `peer-unreachable`, and the signal's reason. */
export async function receiveChain(channel: Channel, signal: AbortSignal | undefined): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  let answerBytes = 0;
  for (let frame = await channel.receive(signal); frame !== undefined; frame = await channel.receive(signal)) {
    answerBytes += frame.length;
    if (answerBytes > limits.joinAnswerBytes) throw new CostorError("peer-misbehaved", "a chain without end");
    frames.push(frame);
  }
  return frames;
}
