/**
 * The port to other sites' machines. The site's is libp2p (node/peers/); the simulator's is a network in memory.
 * Contract tests: `test/conformance/peers.ts`.
 *
 * A peer is who its key says: the transport has verified it before anything here is called.
 */
import type { PeerKey } from "#protocol/ids.ts";

/** In one piece, or in several that belong end to end. */
export type Frame = Uint8Array | readonly Uint8Array[];

/** Frames both ways, in order, whole or not at all. One protocol's conversation with one peer. */
export interface Channel {
  readonly peer: PeerKey;
  /**
   * Resolves when the channel takes more: a slow reader slows its writer. The bytes are not the caller's to change until then.
   * Throws `peer-unreachable` once the channel has ended, `limit-exceeded` for a frame above the protocol's limit.
   */
  send(frame: Frame): Promise<void>;
  /**
   * The next frame; undefined when the other side has closed and all its frames were taken. One call at a time.
   * Throws `peer-unreachable` when the channel broke, and `limit-exceeded` (and ends the channel) when a larger frame comes
   * than the protocol allows.
   */
  receive(signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** No more frames from here; those that were sent are still delivered. Idempotent. */
  close(): Promise<void>;
  /** Ends both directions at once. Idempotent. */
  abort(): void;
}

export interface Protocol {
  /** Such as `/costor/ledger/1`; another version is another protocol. */
  readonly name: string;
  readonly maxFrameBytes: number;
  /** Channels of it that one peer may have open here. */
  readonly maxChannelsPerPeerCount: number;
}

export interface Peers {
  readonly self: PeerKey;
  /** Dials the peer if it must. Throws `peer-unreachable`, and the signal's reason. */
  open(peer: PeerKey, protocol: Protocol, signal?: AbortSignal): Promise<Channel>;
  /**
   * Calls `handler` for each channel that a peer opens, at most `maxChannelsPerPeerCount` at once; the channel ends when the
   * handler settles. What it throws is logged and ends that channel only. Before the transport is started.
   */
  serve(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void;
  /** Those with a live connection. */
  connected(): readonly PeerKey[];
  onConnected(listener: (peer: PeerKey) => void): void;
  /** Spreads a message to all members, best effort: it may be lost, doubled, late. */
  publish(message: Uint8Array): void;
  /** Messages of others, from whoever passed them on. */
  onPublished(listener: (message: Uint8Array) => void): void;
}
