/** Two ends of a channel in memory that breaks at a chosen frame, whichever way it goes. */
import type { Channel } from "#ledger/peers.ts";
import { CostorError } from "#protocol/errors.ts";

export interface FrameCounts {
  /** Frames that have gone either way. */
  frames: number;
}

/** `channel`, broken for good before the frame of that number; counted in `counts`. */
export function cutAt(channel: Channel, frameNumber: number, counts: FrameCounts): Channel {
  const pass = (): void => {
    if (counts.frames++ < frameNumber) return;
    channel.abort();
    throw new CostorError("peer-unreachable", "the line is cut");
  };
  return {
    peer: channel.peer,
    send: async (frame) => {
      pass();
      await channel.send(frame);
    },
    receive: async (signal) => {
      const frame = await channel.receive(signal);
      if (frame !== undefined) pass();
      return frame;
    },
    close: () => channel.close(),
    abort: () => channel.abort(),
  };
}
