/** What a federation needs of the way to other sites beyond {@link Peers}: node/peers/libp2p-peers.ts, and the simulator's. */
import type { Channel, Peers, Protocol } from "#ledger/peers.ts";
import type { PeerKey } from "#protocol/ids.ts";

export interface Transport extends Peers {
  /** Until then nobody is dialled or listened to. Once; again only when it has thrown `listen-failed`. */
  start(): Promise<void>;
  /** Joins those who spread each other's messages. */
  setTopic(topic: string): void;
  /** Others may connect than before. */
  membershipChanged(): void;
  /** By which others may reach this site now, as multiaddr texts. */
  addresses(): readonly string[];
  onAddressesChanged(listener: () => void): void;
  /** A channel to a machine that is no member's here yet. Throws `peer-unreachable`, and the signal's reason. */
  dialStranger(peer: PeerKey, addresses: readonly string[], protocol: Protocol, signal?: AbortSignal): Promise<Channel>;
}

/** What the transport asks of the federation. */
export interface Doorkeeper {
  /** Members and guests. */
  mayConnect(peer: PeerKey): boolean;
  members(): readonly PeerKey[];
  /** Names of the protocols that unknown peers may open now. */
  strangerProtocols(): readonly string[];
  addressesOf(peer: PeerKey): readonly string[];
  /** Those that people have told, instead of all others; none: those that the transport finds out. */
  announcedAddresses(): readonly string[];
}
