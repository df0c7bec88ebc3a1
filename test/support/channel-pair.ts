import type { Channel, Protocol } from "#ledger/peers.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PeerKey, parsePeerKey } from "#protocol/ids.ts";
import { wholeFrame } from "#test/support/whole-frame.ts";

export interface ChannelPairInit {
  /** Whoever is at the other end of the first channel, and of the second. */
  readonly peers?: readonly [PeerKey, PeerKey];
  /** Frames that wait to be received before a sender waits. */
  readonly mostWaitingCount?: number;
}

/** What went one way. */
export interface Traffic {
  framesCount: number;
  bytes: number;
  /** Of frames that had not been received yet, at most. */
  waitingBytes: number;
}

interface Direction {
  readonly frames: Uint8Array[];
  readonly traffic: Traffic;
  state: "open" | "closed" | "aborted";
  /** Called at each change; it is asked again what holds then. */
  wake: Set<() => void>;
}

const anyPeer = parsePeerKey("00".repeat(32));

/** Two channels in memory, each the other's end, as ledger/peers.ts says. */
export function channelPair(
  protocol: Protocol,
  { peers = [anyPeer, anyPeer], mostWaitingCount = 4 }: ChannelPairInit = {},
): { readonly channels: [Channel, Channel]; readonly traffic: [Traffic, Traffic] } {
  const makeDirection = (): Direction => ({
    frames: [],
    traffic: { framesCount: 0, bytes: 0, waitingBytes: 0 },
    state: "open",
    wake: new Set(),
  });
  const [there, back] = [makeDirection(), makeDirection()];
  const wake = (direction: Direction): void => {
    for (const each of [...direction.wake]) each();
  };
  const change = async (direction: Direction, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal!.reason as Error);
    direction.wake.add(resolve);
    signal?.addEventListener("abort", onAbort);
    try {
      await promise;
    } finally {
      direction.wake.delete(resolve);
      signal?.removeEventListener("abort", onAbort);
    }
  };
  const broken = (): CostorError => new CostorError("peer-unreachable", "the channel has ended");
  const abort = (): void => {
    for (const direction of [there, back]) {
      direction.state = "aborted";
      direction.frames.length = 0;
      wake(direction);
    }
  };
  const channel = (out: Direction, into: Direction, peer: PeerKey): Channel => ({
    peer,
    async send(sent) {
      const frame = wholeFrame(sent);
      if (frame.length > protocol.maxFrameBytes) throw new CostorError("limit-exceeded", "too long a frame");
      while (out.state === "open" && out.frames.length >= mostWaitingCount) await change(out);
      if (out.state !== "open") throw broken();
      out.frames.push(frame);
      out.traffic.framesCount++;
      out.traffic.bytes += frame.length;
      const waitingBytes = out.frames.reduce((sum, { length }) => sum + length, 0);
      out.traffic.waitingBytes = Math.max(out.traffic.waitingBytes, waitingBytes);
      wake(out);
    },
    async receive(signal) {
      for (;;) {
        const frame = into.frames.shift();
        if (frame !== undefined) {
          wake(into);
          return frame;
        }
        if (into.state === "aborted") throw broken();
        if (into.state === "closed") return undefined;
        await change(into, signal);
      }
    },
    async close() {
      if (out.state === "open") out.state = "closed";
      wake(out);
    },
    abort,
  });
  return {
    channels: [channel(there, back, peers[0]), channel(back, there, peers[1])],
    traffic: [there.traffic, back.traffic],
  };
}
