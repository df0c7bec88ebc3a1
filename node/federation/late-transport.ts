/**
 * A transport that is made when it is started. A site that is in no federation, as most are at first, loads nothing of it, and
 * one that could not be started is made anew.
 */
import type { Channel, Protocol } from "#ledger/peers.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PeerKey, parsePeerKey } from "#protocol/ids.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import type { Transport } from "./transport.ts";

export interface LateTransportComponents {
  /** With the peer seed of the init. */
  readonly make: () => Promise<Transport & AsyncDisposable>;
}

export class LateTransport implements Transport, AsyncDisposable {
  readonly self: PeerKey;
  readonly #components: LateTransportComponents;
  /** What each transport is told before its start. */
  readonly #told: ((transport: Transport) => void)[] = [];
  #topic: string | undefined;
  #transport: (Transport & AsyncDisposable) | undefined;
  #starting: Promise<void> | undefined;

  constructor(components: LateTransportComponents, init: { readonly peerSeed: Uint8Array }) {
    this.#components = components;
    this.self = parsePeerKey(publicKeyOf("ed25519", init.peerSeed).toString("hex"));
  }

  start(): Promise<void> {
    return (this.#starting = this.#start());
  }

  async #start(): Promise<void> {
    const transport = await this.#components.make();
    for (const tell of this.#told) tell(transport);
    if (this.#topic !== undefined) transport.setTopic(this.#topic);
    this.#transport = transport;
    try {
      await transport.start();
    } catch (error) {
      this.#transport = undefined;
      await transport[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#starting?.catch(() => {});
    await this.#transport?.[Symbol.asyncDispose]();
  }

  async open(peer: PeerKey, protocol: Protocol, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted();
    return this.#require(peer).open(peer, protocol, signal);
  }

  async dialStranger(
    peer: PeerKey,
    addresses: readonly string[],
    protocol: Protocol,
    signal?: AbortSignal,
  ): Promise<Channel> {
    signal?.throwIfAborted();
    return this.#require(peer).dialStranger(peer, addresses, protocol, signal);
  }

  #require(peer: PeerKey): Transport {
    if (this.#transport === undefined)
      throw new CostorError("peer-unreachable", `site ${peer}: this site does not connect to others yet`);
    return this.#transport;
  }

  serve(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void {
    this.#told.push((transport) => transport.serve(protocol, handler));
  }

  onConnected(listener: (peer: PeerKey) => void): void {
    this.#told.push((transport) => transport.onConnected(listener));
  }

  onPublished(listener: (message: Uint8Array) => void): void {
    this.#told.push((transport) => transport.onPublished(listener));
  }

  onAddressesChanged(listener: () => void): void {
    this.#told.push((transport) => transport.onAddressesChanged(listener));
  }

  setTopic(topic: string): void {
    this.#topic = topic;
    this.#transport?.setTopic(topic);
  }

  connected(): readonly PeerKey[] {
    return this.#transport?.connected() ?? [];
  }

  publish(message: Uint8Array): void {
    this.#transport?.publish(message);
  }

  membershipChanged(): void {
    this.#transport?.membershipChanged();
  }

  addresses(): readonly string[] {
    return this.#transport?.addresses() ?? [];
  }
}
