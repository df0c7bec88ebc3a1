/**
 * What a stream has received and nobody has taken yet. Its bytes are bounded: from the bound on the multiplexer gives the
 * other side no more window. They are copied into blocks, which are used again and again: what libp2p delivers would outlive a few
 * collections while it waits here, and then be memory that nobody uses for long.
 *
 * `sendPause` and `sendResume` are those of js-libp2p's streams, without `pause`: that keeps what comes piece by piece,
 * and cannot be called again while it delivers.
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import type { AbstractStream } from "@libp2p/utils";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import { noteDropped } from "#protocol/young-garbage.ts";

const blockBytes = 32 * 1024;
/** Blocks that are kept for what comes next. */
const spareBlocksCount = 32;

/** Bytes in order, from `takenBytes` to `filledBytes`. */
interface Block {
  readonly bytes: Buffer;
  takenBytes: number;
  filledBytes: number;
}

/** What somebody who waits has room for: bytes that come go there at once. */
export interface Filling {
  /** Copies as many of the bytes as it has room for, and returns their number. */
  fill(piece: Uint8Array): number;
  isFull(): boolean;
}

export type PausableStream = Stream & Pick<AbstractStream, "sendPause" | "sendResume">;

export class StreamSource {
  private readonly stream: PausableStream;
  private readonly unreadLimitBytes: number;
  private blocks: Block[] = [];
  private spare: Block[] = [];
  private unreadBytes = 0;
  private paused = false;
  private discarding = false;
  private wake: (() => void) | undefined;
  private filling: Filling | undefined;
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

  /** The next bytes, in order, if there are any: until the next call. */
  take(): Uint8Array | undefined {
    this.leaveEmptyBlock();
    const [block] = this.blocks;
    if (block === undefined) return undefined;
    const piece = block.bytes.subarray(block.takenBytes, block.filledBytes);
    block.takenBytes = block.filledBytes;
    this.unreadBytes -= piece.length;
    if (this.paused && this.unreadBytes <= this.unreadLimitBytes / 2 && !this.discarding) this.resume();
    return piece;
  }

  /** Of the bytes that were taken last, the last `count` were not used. */
  putBack(count: number): void {
    this.blocks[0]!.takenBytes -= count;
    this.unreadBytes += count;
  }

  /** Resolves when something has changed: bytes, the end, a break; with `filling`, when it is full or any of these. Throws the signal's reason. */
  async changed(signal?: AbortSignal, filling?: Filling): Promise<void> {
    signal?.throwIfAborted();
    this.filling = filling;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.wake = resolve;
    const onAbort = (): void => reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.wake = undefined;
      this.filling = undefined;
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
    if (data instanceof Uint8Array) this.add(data);
    else for (const piece of data) this.add(piece);
    // What was read from the socket, and what was made of it.
    noteDropped(2 * data.byteLength);
    if (this.unreadBytes >= this.unreadLimitBytes) this.pause();
    if (this.filling === undefined || this.unreadBytes > 0 || this.filling.isFull()) this.wake?.();
  }

  private add(piece: Uint8Array): void {
    // Nothing passes what waits already.
    const filledBytes = this.unreadBytes > 0 ? 0 : (this.filling?.fill(piece) ?? 0);
    if (filledBytes === piece.length) return;
    this.append(filledBytes === 0 ? piece : piece.subarray(filledBytes));
    this.unreadBytes += piece.length - filledBytes;
  }

  private append(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      let block = this.blocks.at(-1);
      if (block === undefined || block.filledBytes === blockBytes) {
        block = this.spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(blockBytes), takenBytes: 0, filledBytes: 0 };
        this.blocks.push(block);
      }
      const takenBytes = Math.min(piece.length - at, blockBytes - block.filledBytes);
      block.bytes.set(piece.subarray(at, at + takenBytes), block.filledBytes);
      block.filledBytes += takenBytes;
      at += takenBytes;
    }
  }

  private leaveEmptyBlock(): void {
    const [block] = this.blocks;
    if (block === undefined || block.takenBytes < block.filledBytes) return;
    this.blocks.shift();
    block.takenBytes = 0;
    block.filledBytes = 0;
    if (this.spare.length < spareBlocksCount) this.spare.push(block);
    else freeBuffer(block.bytes);
  }

  private drop(): void {
    this.blocks = [];
    this.spare = [];
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
