/**
 * Counts the envelopes on a stream of gossip before gossipsub sees them: it deals with each at once, and with tens of
 * thousands of empty ones it holds up the whole process for seconds.
 */
import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { PeerLimits } from "./peer-limits.ts";

/** Follows envelopes, each after its length as an unsigned LEB128. */
export class EnvelopeCount {
  private bodyLeftBytes = 0;
  private length = 0;
  private shiftBits = 0;
  count = 0;

  pass(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const skippedBytes = Math.min(this.bodyLeftBytes, bytes.length - at);
      this.bodyLeftBytes -= skippedBytes;
      at += skippedBytes;
      if (at === bytes.length) return;
      const byte = bytes[at++]!;
      this.length += (byte & 0x7f) * 2 ** this.shiftBits;
      this.shiftBits += 7;
      if (byte >= 0x80) continue;
      this.bodyLeftBytes = this.length;
      this.length = 0;
      this.shiftBits = 0;
      this.count++;
    }
  }
}

/** Has to listen before gossipsub does. A stream with too many envelopes ends, and `onViolation` is told. */
export function guardGossip(stream: Stream, limits: PeerLimits, onViolation: () => void): void {
  const envelopes = new EnvelopeCount();
  let sinceMs = performance.now();
  stream.addEventListener("message", (event: StreamMessageEvent) => {
    if (event.data instanceof Uint8Array) envelopes.pass(event.data);
    else for (const piece of event.data) envelopes.pass(piece);
    if (envelopes.count <= limits.gossipEnvelopesCount) return;
    const nowMs = performance.now();
    if (nowMs - sinceMs >= limits.peerFrameWatchMs) {
      sinceMs = nowMs;
      envelopes.count = 0;
      return;
    }
    event.stopImmediatePropagation();
    if (stream.status !== "open") return;
    onViolation();
    stream.abort(new Error("too many envelopes of gossip"));
  });
}
