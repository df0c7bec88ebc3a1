/** Slows down a stream whose reader takes all that comes: no more bytes a second than this, on the average of one second. */
import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { PausableStream } from "./stream-source.ts";

export function paceStream(stream: Stream, bytesPerSecond: number): void {
  const paced = stream as PausableStream;
  let receivedBytes = 0;
  let sinceMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  stream.addEventListener("message", ({ data }: StreamMessageEvent) => {
    const nowMs = performance.now();
    const allowedBytes = ((nowMs - sinceMs) / 1000) * bytesPerSecond;
    receivedBytes = Math.max(0, receivedBytes - allowedBytes) + data.byteLength;
    sinceMs = nowMs;
    if (receivedBytes <= bytesPerSecond || timer !== undefined) return;
    paced.sendPause();
    timer = setTimeout(
      () => {
        timer = undefined;
        if (stream.status === "open") paced.sendResume();
      },
      (1000 * receivedBytes) / bytesPerSecond,
    );
    timer.unref();
  });
  stream.addEventListener("close", () => clearTimeout(timer), { once: true });
}
