/**
 * A channel in memory: two ends, each with the frames that are under way to it. What the network does to a frame on its way
 * (delay, loss) is decided by who made the channel.
 */
import type { Channel, Frame } from "#ledger/peers.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { wholeFrame } from "#test/support/whole-frame.ts";

/** Sent and not taken by the reader, of one direction, before its writer waits. */
const WINDOW_BYTES = 256 * 1024;

/** Undefined stands for the end of the frames. */
type Item = Uint8Array | undefined;

export interface ChannelInit {
  /** Who is at the other side of this end. */
  readonly peer: PeerKey;
  readonly maxFrameBytes: number;
  /** Has `arrive` called once for each call, later; or breaks the channel. */
  readonly carry: (bytesCount: number, arrive: () => void) => void;
  /** Called once, when this end neither sends nor receives any more. */
  readonly onEnded: () => void;
}

export class SimChannel implements Channel {
  readonly peer: PeerKey;
  readonly #init: ChannelInit;
  #other!: SimChannel;
  /** Under way to this end, in order. */
  readonly #coming: Item[] = [];
  readonly #arrived: Item[] = [];
  /** Of both. */
  #untakenBytes = 0;
  #reader: (() => void) | undefined;
  /** Whose abort wakes the reader. */
  #heeded: AbortSignal | undefined;
  /** Writers of the other end that wait for this one's reader. */
  #writers: (() => void)[] = [];
  /** Its connection is lost. */
  #isBroken = false;
  #isClosed = false;
  #isDeaf = false;
  /** Of a machine that has crashed: its code waits for ever. */
  #isDead = false;
  #hasEnded = false;

  private constructor(init: ChannelInit) {
    this.peer = init.peer;
    this.#init = init;
  }

  static pair(oneInit: ChannelInit, otherInit: ChannelInit): [SimChannel, SimChannel] {
    const [one, other] = [new SimChannel(oneInit), new SimChannel(otherInit)];
    one.#other = other;
    other.#other = one;
    return [one, other];
  }

  async send(sent: Frame): Promise<void> {
    if (this.#isDead) await never();
    // The caller may use its bytes again before the reader has them.
    const frame = wholeFrame(sent);
    if (frame.length > this.#init.maxFrameBytes)
      throw new CostorError("limit-exceeded", `a frame has at most ${this.#init.maxFrameBytes} bytes`);
    if (this.#isBroken) throw ended(this.peer);
    const other = this.#other;
    if (this.#isClosed || other.#isDeaf) throw ended(this.peer);
    this.#pass(frame);
    while (other.#untakenBytes > WINDOW_BYTES && !this.#isBroken) {
      const { promise, resolve } = Promise.withResolvers<void>();
      other.#writers.push(resolve);
      await promise;
    }
    if (this.#isDead) await never();
    if (this.#isBroken) throw ended(this.peer);
  }

  async receive(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted();
    while (this.#arrived.length === 0 && !this.#isBroken) await this.#arrival(signal);
    if (this.#isDead) await never();
    if (this.#isBroken) throw ended(this.peer);
    const item = this.#arrived[0];
    // The end stays the end, however often it is asked for.
    if (item === undefined) return undefined;
    this.#arrived.shift();
    this.#untakenBytes -= item.length;
    this.#wakeWriters();
    if (item.length <= this.#init.maxFrameBytes) return item;
    this.abort();
    throw new CostorError(
      "limit-exceeded",
      `a frame of ${item.length} bytes came; at most ${this.#init.maxFrameBytes}`,
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed || this.#isBroken) return;
    this.#isClosed = true;
    this.#pass(undefined);
    this.#endIfDone();
  }

  abort(): void {
    this.break();
    this.#other.break();
  }

  /** Sends what was sent, and takes nothing more. */
  finish(): void {
    void this.close();
    this.#isDeaf = true;
    this.#coming.length = 0;
    this.#arrived.length = 0;
    this.#untakenBytes = 0;
    // A writer that waits learns by its next frame.
    this.#wakeWriters();
    this.#endIfDone();
  }

  /** Ends both sides, and the code on this one. */
  die(): void {
    this.#isDead = true;
    this.abort();
  }

  /** Ends this side, as when the connection is lost. */
  break(): void {
    // Who had all there is to have, and said all, misses nothing.
    if (this.#isBroken || (this.#isClosed && this.#hasEnd)) return;
    this.#isBroken = true;
    this.#coming.length = 0;
    this.#arrived.length = 0;
    this.#untakenBytes = 0;
    this.#reader?.();
    this.#wakeWriters();
    this.#other.#wakeWriters();
    this.#end();
  }

  get #hasEnd(): boolean {
    return this.#isDeaf || (this.#arrived.length > 0 && this.#arrived.at(-1) === undefined);
  }

  #pass(item: Item): void {
    const other = this.#other;
    const bytesCount = item?.length ?? 0;
    if (!other.#isDeaf) {
      other.#coming.push(item);
      other.#untakenBytes += bytesCount;
    }
    this.#init.carry(bytesCount, () => other.#arrive());
  }

  #arrive(): void {
    if (this.#isBroken || this.#coming.length === 0) return;
    this.#arrived.push(this.#coming.shift());
    this.#reader?.();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if ((this.#isClosed || this.#other.#isDeaf) && this.#hasEnd) this.#end();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#listenTo(undefined);
    this.#init.onEnded();
  }

  async #arrival(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#reader = resolve;
    this.#listenTo(signal);
    await promise;
    this.#reader = undefined;
    signal?.throwIfAborted();
  }

  /** Mostly one signal is given again and again. */
  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#heeded) return;
    this.#heeded?.removeEventListener("abort", this.#onAbort);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#heeded = signal;
  }

  readonly #onAbort = (): void => this.#reader?.();

  #wakeWriters(): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const wake of writers) wake();
  }
}

const never = (): Promise<never> => new Promise(() => {});

const ended = (peer: PeerKey): CostorError => new CostorError("peer-unreachable", `the channel with ${peer} has ended`);
