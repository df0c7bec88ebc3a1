/**
 * Gives a stream's window back in halves. js-libp2p's Yamux answers each frame of data with its own length: a frame that was
 * cut where a window ended stays cut for ever, and after a while everything travels in frames of a few bytes.
 *
 * This knows names inside `@libp2p/yamux` 8.0.3; `test/node/peers/window-batching.test.ts` fails when they change.
 */
import type { Stream } from "@libp2p/interface";

interface YamuxStream extends Stream {
  /** What the other side may send in all, and what of that it has not used. */
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
  readonly state: number;
  sendWindowUpdate(): void;
}

/** States in which an update also opens or accepts the stream: Init and SYNReceived. */
const openingStates: readonly number[] = [0, 2];

export function batchWindowUpdates(muxed: Stream): void {
  const stream = muxed as YamuxStream;
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
  stream.sendWindowUpdate = () => {
    if (stream.recvWindowCapacity <= stream.recvWindow / 2 || openingStates.includes(stream.state)) sendWindowUpdate();
  };
}
