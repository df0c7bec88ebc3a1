/**
 * A channel of frames on a libp2p stream. Bytes that are received lie in a {@link StreamSource} until somebody waits for a
 * frame; a frame is put together in its final memory. One timer a channel sees whether things move.
 */
import type { Stream } from "@libp2p/interface";
import { encodeFrameHeader, FrameHeader } from "./frame-header.ts";
import { isTaken } from "./muxed-streams.ts";
import type { PeerLimits } from "./peer-limits.ts";
import { type Filling, StreamSource } from "./stream-source.ts";
import { assertInvariant, CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { isBlock, takeBlock } from "#protocol/spare-blocks.ts";
import { noteDropped } from "#protocol/young-garbage.ts";
import type { Channel, Frame, Protocol } from "#ledger/peers.ts";

/**
 * A frame goes out in copies of so much of it: it is its owner's again as soon as it is sent, and libp2p may have bytes of it for longer. With Yamux's header before it a part fills four messages of Noise.
 */
const partBytes = 4 * 65_519 - 12;
/** A frame from here on lies in a block that may be used again (protocol/spare-blocks.ts). */
const leastBlockBytes = 1024 * 1024;
/** So much may still wait for the window when the next frame is taken, so that there is always something to send. */
const waitingBytes = 512 * 1024;

export interface StreamChannelInit {
  readonly peer: PeerKey;
  readonly protocol: Protocol;
  readonly limits: PeerLimits;
}

export class StreamChannel implements Channel {
  readonly peer: PeerKey;
  private readonly stream: Stream;
  private readonly protocol: Protocol;
  private readonly limits: PeerLimits;
  private readonly source: StreamSource;
  private readonly header: FrameHeader;
  private readonly watch: NodeJS.Timeout;
  private frame: Buffer | undefined;
  private filledBytes = 0;
  /** Of a frame whose length is known. */
  private readonly filling: Filling = {
    fill: (piece) => {
      const frame = this.frame!;
      const takenBytes = Math.min(piece.length, frame.length - this.filledBytes);
      frame.set(takenBytes < piece.length ? piece.subarray(0, takenBytes) : piece, this.filledBytes);
      this.filledBytes += takenBytes;
      return takenBytes;
    },
    isFull: () => this.filledBytes === this.frame?.length,
  };
  /** Of the frame that was given out last, when it is no block: whoever asks for the next is done with it. */
  private givenBytes = 0;
  private receiving = false;
  /** The last whole part that was sent. */
  private part: Buffer | undefined;
  private sending: Promise<void> = Promise.resolve();
  private sentBytes = 0;
  private failure: CostorError | undefined;
  private closing: Promise<void> | undefined;
  private seen = { receivedBytes: 0, takenBytes: 0, sinceMs: performance.now(), frameBegun: false };

  constructor(stream: Stream, init: StreamChannelInit) {
    this.stream = stream;
    this.peer = init.peer;
    this.protocol = init.protocol;
    this.limits = init.limits;
    this.source = new StreamSource(stream, { unreadLimitBytes: init.limits.peerUnreadBytes });
    this.header = new FrameHeader({ maxFrameBytes: init.protocol.maxFrameBytes });
    this.watch = setInterval(() => this.onWatch(), init.limits.peerFrameWatchMs);
    this.watch.unref();
    stream.addEventListener("close", () => clearInterval(this.watch), { once: true });
    if (stream.status !== "open") clearInterval(this.watch);
  }

  async send(frame: Frame): Promise<void> {
    const pieces = frame instanceof Uint8Array ? [frame] : frame;
    const header = encodeFrameHeader(bytesOf(pieces), this.protocol.maxFrameBytes);
    // One after the other, so that no frame comes between the parts of another.
    const sent = this.sending.then(() => this.write([header, ...pieces]));
    this.sending = sent.catch(() => {});
    await sent;
  }

  async receive(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    assertInvariant(!this.receiving, "one receive at a time");
    this.receiving = true;
    this.noteDropped();
    try {
      for (;;) {
        if (this.failure !== undefined) throw this.failure;
        const frame = this.takeFrame();
        if (frame !== undefined) {
          this.givenBytes = isBlock(frame) ? 0 : frame.length;
          return frame;
        }
        const { broken, ended } = this.source;
        if (broken !== undefined) throw this.fail("the channel broke", broken);
        if (ended) {
          if (this.frame === undefined && !this.header.begun) return undefined;
          throw this.fail("the channel ended within a frame");
        }
        await this.source.changed(signal, this.frame === undefined ? undefined : this.filling);
      }
    } catch (error) {
      if (isCostorError(error, "limit-exceeded") && this.failure === undefined) {
        this.failure = error;
        this.abort();
      }
      throw error;
    } finally {
      this.receiving = false;
    }
  }

  close(): Promise<void> {
    this.closing ??= this.sending.then(async () => {
      if (this.stream.status !== "open") return;
      try {
        await this.stream.close();
      } catch {
        // It broke before the last frames were out; whoever receives is told.
      }
    });
    return this.closing;
  }

  abort(): void {
    clearInterval(this.watch);
    this.noteDropped();
    this.failure ??= new CostorError("peer-unreachable", "the channel was ended here");
    this.stream.abort(new Error("channel aborted"));
  }

  /** Ends what its handler is done with: sent frames are still delivered, received ones are not. */
  async finish(): Promise<void> {
    this.source.discard();
    this.noteDropped();
    const late = setTimeout(() => this.abort(), this.limits.peerChannelClosingMs);
    late.unref();
    this.stream.addEventListener("close", () => clearTimeout(late), { once: true });
    await this.close();
    if (this.stream.status !== "open") clearTimeout(late);
  }

  private noteDropped(): void {
    noteDropped(this.givenBytes);
    this.givenBytes = 0;
  }

  private async write(pieces: readonly Uint8Array[]): Promise<void> {
    if (this.closing !== undefined) throw this.fail("the channel was closed here");
    const { stream } = this;
    try {
      for (const stretch of stretchesOf(pieces, partBytes)) {
        const part = this.copyOf(stretch);
        stream.send(part);
        this.sentBytes += part.length;
        // What was encrypted of it is dropped when it is out.
        noteDropped(part.length);
        while (isFull(stream)) await movement(stream);
      }
    } catch (cause) {
      throw this.fail("the channel broke", cause);
    }
  }

  /** In the memory of the last one, when that is free. */
  private copyOf(stretch: readonly Uint8Array[]): Uint8Array {
    const lengthBytes = bytesOf(stretch);
    let part = this.part !== undefined && isTaken(this.stream) ? this.part : undefined;
    if (part === undefined || part.length < lengthBytes) part = Buffer.allocUnsafeSlow(lengthBytes);
    if (lengthBytes === partBytes) this.part = part;
    let at = 0;
    for (const piece of stretch) {
      part.set(piece, at);
      at += piece.length;
    }
    return part.subarray(0, lengthBytes);
  }

  /** Throws `limit-exceeded`. */
  private takeFrame(): Uint8Array | undefined {
    for (;;) {
      if (this.frame !== undefined && this.filledBytes === this.frame.length) {
        const frame = this.frame;
        this.frame = undefined;
        this.filledBytes = 0;
        return frame;
      }
      const piece = this.source.take();
      if (piece === undefined) return undefined;
      const usedBytes = this.use(piece);
      if (usedBytes < piece.length) this.source.putBack(piece.length - usedBytes);
    }
  }

  private use(piece: Uint8Array): number {
    let at = 0;
    while (this.frame === undefined && at < piece.length) {
      const lengthBytes = this.header.add(piece[at++]!);
      if (lengthBytes !== undefined)
        this.frame = lengthBytes < leastBlockBytes ? Buffer.allocUnsafe(lengthBytes) : takeBlock(lengthBytes);
    }
    return this.frame === undefined ? at : at + this.filling.fill(piece.subarray(at));
  }

  private onWatch(): void {
    const { source, seen, limits } = this;
    const nowMs = performance.now();
    const receivedBytes = source.receivedBytes - seen.receivedBytes;
    const takenBytes = this.sentBytes - this.stream.writeBufferLength - seen.takenBytes;
    const frameBegun = this.receiving && (this.frame !== undefined || this.header.begun);
    const minBytes = (limits.peerFrameMinBytesPerSecond * limits.peerFrameWatchMs) / 1000;
    if (frameBegun && seen.frameBegun && receivedBytes < minBytes) return this.end("the peer sends too slowly");
    const moved = receivedBytes > 0 || takenBytes !== 0;
    if (!moved && nowMs - seen.sinceMs >= limits.peerChannelIdleMs) return this.end("nothing has moved for too long");
    this.seen = {
      receivedBytes: source.receivedBytes,
      takenBytes: this.sentBytes - this.stream.writeBufferLength,
      sinceMs: moved ? nowMs : seen.sinceMs,
      frameBegun,
    };
  }

  private end(message: string): void {
    this.failure ??= new CostorError("peer-unreachable", message, { details: { peer: this.peer } });
    this.stream.abort(this.failure);
  }

  private fail(message: string, cause?: unknown): CostorError {
    return this.failure ?? new CostorError("peer-unreachable", message, { cause, details: { peer: this.peer } });
  }
}

const bytesOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

/** Stretches of at most `bytes`, of one piece or of several end to end. */
function* stretchesOf(pieces: readonly Uint8Array[], bytes: number): Generator<Uint8Array[]> {
  let stretch: Uint8Array[] = [];
  let leftBytes = bytes;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + leftBytes);
      stretch.push(part);
      at += part.length;
      leftBytes -= part.length;
      if (leftBytes > 0) continue;
      yield stretch;
      stretch = [];
      leftBytes = bytes;
    }
  }
  if (stretch.length > 0) yield stretch;
}

/** Whether bytes wait here for the window, or all are out and wait for the socket. */
function isFull({ writeBufferLength, writableNeedsDrain }: Stream): boolean {
  return writeBufferLength > waitingBytes || (writeBufferLength === 0 && writableNeedsDrain);
}

/**
 * Resolves when the stream took bytes or may take some; rejects when it ended. `onDrain` would not do: once it has
 * resolved it always does.
 */
function movement(stream: Stream): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(new Error("the stream has ended"));
  const settle = (): void => {
    stream.removeEventListener("drain", settle);
    stream.removeEventListener("idle", settle);
    stream.removeEventListener("close", onClose);
    resolve();
  };
  if (stream.status !== "open") reject(new Error("the stream has ended"));
  stream.addEventListener("drain", settle);
  stream.addEventListener("idle", settle);
  stream.addEventListener("close", onClose, { once: true });
  promise.catch(() => {
    stream.removeEventListener("drain", settle);
    stream.removeEventListener("idle", settle);
  });
  return promise;
}
