/**
 * What a stream has received and nobody has taken yet. Its bytes are bounded: from the bound on the multiplexer gives the
 * other side no more window. Small pieces are copied together, so that memory follows the bytes and not their number.
 *
 * `sendPause` and `sendResume` are those of js-libp2p's streams, without `pause`: that keeps what comes piece by piece,
 * and cannot be called again while it delivers.
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import type { AbstractStream } from "@libp2p/utils";

const smallPieceBytes = 4096;
const blockBytes = 16 * 1024;

export type PausableStream = Stream & Pick<AbstractStream, "sendPause" | "sendResume">;

export class StreamSource {
  private readonly stream: PausableStream;
  private readonly unreadLimitBytes: number;
  private pieces: Uint8Array[] = [];
  private unreadBytes = 0;
  /** Where small pieces are copied to; after `pieces` in order. */
  private block: Buffer | undefined;
  private blockTakenBytes = 0;
  private blockUsedBytes = 0;
  private paused = false;
  private discarding = false;
  private wake: (() => void) | undefined;
  /** All that has ever come. */
  receivedBytes = 0;
  /** The other side has said that it sends no more. */
  private finished: boolean;
  /** The stream is gone, before its end. */
  broken: Error | undefined;

  constructor(stream: Stream, init: { unreadLimitBytes: number }) {
    this.stream = stream as PausableStream;
    this.unreadLimitBytes = init.unreadLimitBytes;
    stream.addEventListener("message", (event: StreamMessageEvent) => this.onMessage(event));
    this.finished = stream.remoteWriteStatus === "closed";
    stream.addEventListener("remoteCloseWrite", () => {
      this.finished = true;
      this.wake?.();
    });
    stream.addEventListener("close", (event: StreamCloseEvent) => {
      if (event.error !== undefined) this.broken = event.error;
      else if (!this.finished) this.broken = new Error("the connection has ended");
      if (this.broken !== undefined) this.drop();
      this.wake?.();
    });
  }

  /** The other side sends no more, and all that it sent has been taken or can be. */
  get ended(): boolean {
    return this.finished && this.stream.readBufferLength === 0;
  }

  /** The next bytes, in order, if there are any. */
  take(): Uint8Array | undefined {
    let piece = this.pieces.shift();
    if (piece === undefined && this.block !== undefined && this.blockUsedBytes > this.blockTakenBytes) {
      piece = this.block.subarray(this.blockTakenBytes, this.blockUsedBytes);
      this.blockTakenBytes = this.blockUsedBytes;
    }
    if (piece === undefined) return undefined;
    this.unreadBytes -= piece.length;
    if (this.paused && this.unreadBytes <= this.unreadLimitBytes / 2 && !this.discarding) this.resume();
    return piece;
  }

  /** Puts back what was not used of the last piece. */
  putBack(rest: Uint8Array): void {
    this.pieces.unshift(rest);
    this.unreadBytes += rest.length;
  }

  /** Resolves when something has changed: bytes, the end, a break. Throws the signal's reason. */
  async changed(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.wake = resolve;
    const onAbort = (): void => reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.wake = undefined;
    }
  }

  /** Nobody will take any more: gives the memory back, and lets the other side wait. */
  discard(): void {
    this.discarding = true;
    this.drop();
    this.pause();
  }

  private onMessage({ data }: StreamMessageEvent): void {
    this.receivedBytes += data.byteLength;
    if (this.discarding) return;
    if (data instanceof Uint8Array) this.append(data);
    else for (const piece of data) this.append(piece);
    this.unreadBytes += data.byteLength;
    if (this.unreadBytes >= this.unreadLimitBytes) this.pause();
    this.wake?.();
  }

  private append(piece: Uint8Array): void {
    if (piece.length >= smallPieceBytes) {
      this.closeBlock();
      this.pieces.push(piece);
      return;
    }
    if (this.block !== undefined && this.block.length - this.blockUsedBytes < piece.length) this.closeBlock();
    this.block ??= Buffer.allocUnsafeSlow(blockBytes);
    this.block.set(piece, this.blockUsedBytes);
    this.blockUsedBytes += piece.length;
  }

  private closeBlock(): void {
    if (this.block === undefined) return;
    if (this.blockUsedBytes > this.blockTakenBytes)
      this.pieces.push(this.block.subarray(this.blockTakenBytes, this.blockUsedBytes));
    this.block = undefined;
    this.blockTakenBytes = 0;
    this.blockUsedBytes = 0;
  }

  private drop(): void {
    this.pieces = [];
    this.block = undefined;
    this.blockTakenBytes = 0;
    this.blockUsedBytes = 0;
    this.unreadBytes = 0;
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.stream.sendPause();
  }

  private resume(): void {
    this.paused = false;
    if (this.stream.status !== "open") return;
    try {
      this.stream.sendResume();
    } catch {
      // The connection ends at this moment; its event follows.
    }
  }
}
