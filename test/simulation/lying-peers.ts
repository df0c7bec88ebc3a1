/** The network as a hostile machine uses it: what it sends is now and then altered, cut short, doubled, old, or nothing at all. */
import type { Channel, Protocol } from "#ledger/peers.ts";
import type { Transport } from "#node/federation/transport.ts";
import type { PeerKey } from "#protocol/ids.ts";
import type { SeededRng } from "./seeded-rng.ts";
import { wholeFrame } from "#test/support/whole-frame.ts";

const LIE_RATIO = 0.1;
/** Of primes that are sent or given back: there are few of them. */
const DATA_LIE_RATIO = 0.3;
/** docs/specs/replication.md, A run. */
const BATCH_BYTE = 0xff;
const REMEMBERED_COUNT = 50;

export class LyingPeers implements Transport {
  readonly #peers: Transport;
  readonly #rng: SeededRng;
  /** What this machine has sent or heard before. */
  readonly #remembered: Uint8Array[] = [];

  readonly #onLie: () => void;

  constructor(components: { peers: Transport; rng: SeededRng }, onLie: () => void) {
    this.#onLie = onLie;
    this.#peers = components.peers;
    this.#rng = components.rng;
  }

  get self(): PeerKey {
    return this.#peers.self;
  }

  start(): Promise<void> {
    return this.#peers.start();
  }

  setTopic(topic: string): void {
    this.#peers.setTopic(topic);
  }

  membershipChanged(): void {
    this.#peers.membershipChanged();
  }

  addresses(): readonly string[] {
    return this.#peers.addresses();
  }

  onAddressesChanged(listener: () => void): void {
    this.#peers.onAddressesChanged(listener);
  }

  async dialStranger(...parameters: Parameters<Transport["dialStranger"]>): Promise<Channel> {
    return this.#lying(await this.#peers.dialStranger(...parameters));
  }

  async open(peer: PeerKey, protocol: Protocol, signal?: AbortSignal): Promise<Channel> {
    return this.#lying(await this.#peers.open(peer, protocol, signal));
  }

  serve(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void {
    this.#peers.serve(protocol, (channel) => handler(this.#lying(channel)));
  }

  connected(): readonly PeerKey[] {
    return this.#peers.connected();
  }

  onConnected(listener: (peer: PeerKey) => void): void {
    this.#peers.onConnected(listener);
  }

  publish(message: Uint8Array): void {
    for (const lie of this.#lies(message)) this.#peers.publish(lie);
  }

  onPublished(listener: (message: Uint8Array) => void): void {
    this.#peers.onPublished((message) => {
      this.#remember(message);
      listener(message);
    });
  }

  #lying(channel: Channel): Channel {
    return {
      peer: channel.peer,
      send: async (frame) => {
        for (const lie of this.#lies(wholeFrame(frame))) await channel.send(lie);
      },
      receive: (signal) => channel.receive(signal),
      close: () => channel.close(),
      abort: () => channel.abort(),
    };
  }

  #lies(truth: Uint8Array): Uint8Array[] {
    const rng = this.#rng;
    this.#remember(truth);
    if (truth[0] === BATCH_BYTE && rng.happens(DATA_LIE_RATIO)) {
      this.#onLie();
      const wrong = Buffer.from(truth);
      wrong[wrong.length - 1]! ^= 1;
      return [wrong];
    }
    if (!rng.happens(LIE_RATIO)) return [truth];
    this.#onLie();
    const lie = Buffer.from(truth);
    switch (rng.below(6)) {
      case 0:
        if (lie.length > 0) lie[rng.below(lie.length)]! ^= 1 << rng.below(8);
        return [lie];
      case 1:
        return [lie.subarray(0, rng.below(lie.length + 1))];
      case 2:
        return [truth, truth];
      case 3:
        return [rng.pick(this.#remembered)];
      case 4:
        return [rng.bytes(rng.below(2000))];
      default:
        return [];
    }
  }

  #remember(message: Uint8Array): void {
    if (this.#remembered.length < REMEMBERED_COUNT) this.#remembered.push(message);
    else this.#remembered[this.#rng.below(REMEMBERED_COUNT)] = message;
  }
}
