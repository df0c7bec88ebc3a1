/**
 * Holds back whoever sends faster through this site than the other side takes: js-libp2p's relay joins two streams by a
 * queue without a bound. The stream from the one who asked (hop) is known to the one that is opened to the other (stop)
 * by the context in which it is opened.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { RELAY_V2_STOP_CODEC } from "@libp2p/circuit-relay-v2";
import type { Connection, Stream, StreamMessageEvent } from "@libp2p/interface";
import type { PausableStream } from "./stream-source.ts";

const currentHop = new AsyncLocalStorage<Stream>();

/** Runs the relay's handler for the stream of one who asks to be relayed. */
export const withHop = (hop: Stream, handle: () => Promise<void>): Promise<void> => currentHop.run(hop, handle);

/** Has the streams that the relay opens on this connection joined to theirs, with at most so many bytes between. */
export function boundRelaying(connection: Connection, betweenLimitBytes: number): void {
  const newStream = connection.newStream.bind(connection);
  connection.newStream = async (protocols, options) => {
    const stream = await newStream(protocols, options);
    const hop = currentHop.getStore();
    if (hop !== undefined && stream.protocol === RELAY_V2_STOP_CODEC) {
      boundFlow(hop, stream, betweenLimitBytes);
      boundFlow(stream, hop, betweenLimitBytes);
    }
    return stream;
  };
}

/** Counts what came from the one and has not been handed to the other. */
function boundFlow(from: Stream, to: Stream, betweenLimitBytes: number): void {
  const source = from as PausableStream;
  let betweenBytes = 0;
  let paused = false;
  from.addEventListener("message", ({ data }: StreamMessageEvent) => {
    betweenBytes += data.byteLength;
    if (paused || betweenBytes < betweenLimitBytes) return;
    paused = true;
    source.sendPause();
  });
  const send = to.send.bind(to);
  to.send = (data) => {
    betweenBytes -= data.byteLength;
    if (paused && betweenBytes <= betweenLimitBytes / 2) {
      paused = false;
      if (from.status === "open") source.sendResume();
    }
    return send(data);
  };
}
