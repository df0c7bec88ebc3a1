/**
 * Gives a stream's window back in halves. js-libp2p's Yamux answers each frame of data with its own length: a frame that was
 * cut where a window ended stays cut for ever, and after a while everything travels in frames of a few bytes.
 *
 * This knows names inside `@libp2p/yamux` 8.0.3; `test/node/peers/window-batching.test.ts` fails when they change.
 */
import type { Stream, StreamMuxer } from "@libp2p/interface";

interface YamuxStream extends Stream {
  /** What the other side may send in all, and what of that it has not used. */
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
  readonly state: number;
  sendWindowUpdate(): void;
}

/** States in which an update also opens or accepts the stream: Init and SYNReceived. */
const openingStates: readonly number[] = [0, 2];

export function batchWindowUpdates(muxer: StreamMuxer): void {
  const inner = muxer as StreamMuxer & { onRemoteStream(stream: Stream): void };
  const onRemoteStream = inner.onRemoteStream.bind(inner);
  inner.onRemoteStream = (stream) => {
    batch(stream as YamuxStream);
    onRemoteStream(stream);
  };
  const createStream = inner.createStream.bind(inner);
  inner.createStream = async (options) => {
    const stream = await createStream(options);
    batch(stream as YamuxStream);
    return stream;
  };
}

function batch(stream: YamuxStream): void {
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
  stream.sendWindowUpdate = () => {
    if (stream.recvWindowCapacity <= stream.recvWindow / 2 || openingStates.includes(stream.state)) sendWindowUpdate();
  };
}
