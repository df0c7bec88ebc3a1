/**
 * What js-libp2p's Yamux does not bound by itself: it gathers a frame whole before it looks at its length, it makes objects
 * for each frame however small, and it goes on writing answers that nobody reads. This watches a connection's frames
 * beside it, by their headers (https://github.com/hashicorp/yamux/blob/master/spec.md), and ends the connection.
 */
import type { StreamMessageEvent, StreamMuxerFactory } from "@libp2p/interface";
import { watchStreams } from "./muxed-streams.ts";
import type { PeerLimits } from "./peer-limits.ts";
import { batchWindowUpdates } from "./window-batching.ts";

const headerBytes = 12;
const dataType = 0;
const windowUpdateType = 1;
const openFlag = 1;

/** Why a connection was ended: the message is for the log. */
export class PeerViolation extends Error {}

/** Reads past the bytes of a connection, and throws for a frame that is too large or one small frame too many. */
export class MuxerFrames {
  private readonly limits: PeerLimits;
  private readonly elapsedMs: () => number;
  private readonly header = Buffer.alloc(headerBytes);
  private headerFilledBytes = 0;
  private bodyLeftBytes = 0;
  private smallCount = 0;
  private windowStartMs: number;

  constructor(components: { elapsedMs: () => number }, init: { limits: PeerLimits }) {
    this.elapsedMs = components.elapsedMs;
    this.limits = init.limits;
    this.windowStartMs = this.elapsedMs();
  }

  /** Throws {@link PeerViolation}. */
  pass(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.bodyLeftBytes > 0) {
        const skippedBytes = Math.min(this.bodyLeftBytes, bytes.length - at);
        this.bodyLeftBytes -= skippedBytes;
        at += skippedBytes;
        continue;
      }
      const takenBytes = Math.min(headerBytes - this.headerFilledBytes, bytes.length - at);
      this.header.set(bytes.subarray(at, at + takenBytes), this.headerFilledBytes);
      this.headerFilledBytes += takenBytes;
      at += takenBytes;
      if (this.headerFilledBytes === headerBytes) this.onHeader();
    }
  }

  private onHeader(): void {
    this.headerFilledBytes = 0;
    const type = this.header[1];
    const isData = type === dataType;
    const lengthBytes = this.header.readUInt32BE(8);
    if (isData && lengthBytes > this.limits.peerStreamWindowBytes)
      throw new PeerViolation("a frame larger than any window");
    this.bodyLeftBytes = isData ? lengthBytes : 0;
    const isOpening = (this.header.readUInt16BE(2) & openFlag) !== 0;
    // An update of a window leaves nothing behind, and there is one for each frame of data.
    const isFree = type === windowUpdateType && !isOpening;
    if (!isFree && (!isData || lengthBytes < this.limits.peerSmallFrameBytes)) this.countSmall();
  }

  private countSmall(): void {
    if (++this.smallCount <= this.limits.peerSmallFramesCount) return;
    const nowMs = this.elapsedMs();
    if (nowMs - this.windowStartMs < this.limits.peerFrameWatchMs) throw new PeerViolation("too many small frames");
    this.windowStartMs = nowMs;
    this.smallCount = 1;
  }
}

/** The factory with this watch; a connection that is ended by it closes with a {@link PeerViolation}. */
export function guardMuxer(factory: StreamMuxerFactory, init: { limits: PeerLimits }): StreamMuxerFactory {
  return {
    protocol: factory.protocol,
    createStreamMuxer(stream) {
      const frames = new MuxerFrames({ elapsedMs: () => performance.now() }, init);
      stream.maxWriteBufferLength = init.limits.peerUnsentBytes;
      // Before the muxer, which listens for the same bytes.
      stream.addEventListener("message", ({ data }: StreamMessageEvent) => {
        if (stream.status !== "open") return;
        try {
          if (data instanceof Uint8Array) frames.pass(data);
          else for (const piece of data) frames.pass(piece);
        } catch (error) {
          stream.abort(error as PeerViolation);
        }
      });
      const muxer = factory.createStreamMuxer(stream);
      watchStreams(muxer, stream, batchWindowUpdates);
      return muxer;
    },
  };
}
