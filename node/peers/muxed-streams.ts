/**
 * The streams of a multiplexer, both sides', as they come; and what carries each one.
 *
 * This knows names inside `@libp2p/yamux` 8.0.3; `test/node/peers/muxed-streams.test.ts` fails when they change.
 */
import type { MessageStream, Stream, StreamMuxer } from "@libp2p/interface";

const carriers = new WeakMap<Stream, MessageStream>();

/** Calls `onStream` for each stream before anything happens on it. `carrier` has what they send, still to be encrypted. */
export function watchStreams(muxer: StreamMuxer, carrier: MessageStream, onStream: (stream: Stream) => void): void {
  const note = (stream: Stream): void => {
    carriers.set(stream, carrier);
    onStream(stream);
  };
  const inner = muxer as StreamMuxer & { onRemoteStream(stream: Stream): void };
  const onRemoteStream = inner.onRemoteStream.bind(inner);
  inner.onRemoteStream = (stream) => {
    note(stream);
    onRemoteStream(stream);
  };
  const createStream = inner.createStream.bind(inner);
  inner.createStream = async (options) => {
    const stream = await createStream(options);
    note(stream);
    return stream;
  };
}

/** Whether nothing knows the memory any more of what the stream was given to send: all of it is encrypted, in memory of its own. */
export function isTaken(stream: Stream): boolean {
  return stream.writeBufferLength === 0 && carriers.get(stream)?.writeBufferLength === 0;
}
