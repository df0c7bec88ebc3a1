/** Connections to members, by the addresses of their profiles and of the LAN, else through members that both know. */
import type { Connection, PeerId } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import type { Libp2pNode } from "./libp2p-node.ts";
import { peerIdOf } from "./peer-identity.ts";
import type { PeerLimits } from "./peer-limits.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";

export interface PeerDiallerComponents {
  readonly node: Libp2pNode;
  addressesOf(peer: PeerKey): readonly string[];
  isMember(peerId: PeerId): boolean;
}

export class PeerDialler {
  private readonly components: PeerDiallerComponents;
  private readonly limits: PeerLimits;
  private readonly leaving = new WeakSet<Connection>();

  constructor(components: PeerDiallerComponents, init: { limits: PeerLimits }) {
    this.components = components;
    this.limits = init.limits;
  }

  /** A live connection, rather a direct one. */
  existing(peerId: PeerId): Connection | undefined {
    const all = this.components.node.getConnections(peerId);
    const open = all.filter((connection) => connection.status === "open" && !this.leaving.has(connection));
    return open.find(({ direct }) => direct) ?? open[0];
  }

  /** Throws `peer-unreachable`, and the signal's reason. */
  async connect(peer: PeerKey, signal?: AbortSignal): Promise<Connection> {
    return this.existing(peerIdOf(peer)) ?? this.connectAnew(peer, signal);
  }

  /** A direct connection if there can be one, though there is one through a relay. Throws `peer-unreachable`. */
  async connectDirectly(peer: PeerKey): Promise<void> {
    const peerId = peerIdOf(peer);
    const existing = this.existing(peerId);
    if (existing === undefined) await this.connectAnew(peer);
    else if (!existing.direct) await this.dialAll(peer, [(await this.knownAddresses(peer, peerId)).direct]);
  }

  private async connectAnew(peer: PeerKey, signal?: AbortSignal): Promise<Connection> {
    const peerId = peerIdOf(peer);
    const { direct, relayed } = await this.knownAddresses(peer, peerId);
    return this.dialAll(peer, [direct, this.sharedRelays(peerId), relayed], signal);
  }

  private async dialAll(peer: PeerKey, groups: readonly Multiaddr[][], signal?: AbortSignal): Promise<Connection> {
    const failures: unknown[] = [];
    for (const addresses of groups) {
      if (addresses.length === 0) continue;
      try {
        return await this.dial(addresses, signal);
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(error);
      }
    }
    const cause = failures.length > 1 ? new AggregateError(failures) : failures[0];
    throw unreachable(peer, failures.length === 0 ? "no address is known" : "no address answers as this peer", cause);
  }

  /** By these addresses only. Throws as {@link connect} does. */
  async connectAt(peer: PeerKey, addresses: readonly string[], signal?: AbortSignal): Promise<Connection> {
    const peerId = peerIdOf(peer);
    try {
      return this.existing(peerId) ?? (await this.dial(this.parse(addresses, peerId), signal));
    } catch (cause) {
      signal?.throwIfAborted();
      throw unreachable(peer, "no address answers as this peer", cause);
    }
  }

  /** Closes it when what was sent is out; nobody gets it any more. */
  leave(connection: Connection): void {
    this.leaving.add(connection);
    connection.close().catch((error: Error) => connection.abort(error));
  }

  private dial(addresses: Multiaddr[], signal?: AbortSignal): Promise<Connection> {
    const late = AbortSignal.timeout(this.limits.peerDialMs);
    return this.components.node.dial(addresses, {
      // Those that exist were looked at.
      force: true,
      signal: signal === undefined ? late : AbortSignal.any([signal, late]),
    });
  }

  /** Of its profile, and of the LAN. */
  private async knownAddresses(peer: PeerKey, peerId: PeerId): Promise<{ direct: Multiaddr[]; relayed: Multiaddr[] }> {
    const { node, addressesOf } = this.components;
    const texts = new Set(addressesOf(peer));
    if (await node.peerStore.has(peerId)) {
      for (const { multiaddr: address } of (await node.peerStore.get(peerId)).addresses) texts.add(address.toString());
    }
    const isRelayed = (text: string): boolean => text.includes("/p2p-circuit");
    return {
      direct: this.parse(
        [...texts].filter((text) => !isRelayed(text)),
        peerId,
      ),
      relayed: this.parse([...texts].filter(isRelayed), peerId),
    };
  }

  /** Through members that are connected here, which may be connected to it. */
  private sharedRelays(peerId: PeerId): Multiaddr[] {
    const { node, isMember } = this.components;
    return node
      .getConnections()
      .filter(({ status, direct, remotePeer }) => status === "open" && direct && isMember(remotePeer))
      .slice(0, this.limits.peerAddressesCount)
      .map(({ remoteAddr }) => remoteAddr.encapsulate(`/p2p-circuit/p2p/${peerId.toString()}`));
  }

  /** What is no multiaddr, or another peer's, is passed over: profiles are written by others. */
  private parse(texts: readonly string[], peerId: PeerId): Multiaddr[] {
    const suffix = `/p2p/${peerId.toString()}`;
    const addresses: Multiaddr[] = [];
    for (const text of texts) {
      if (addresses.length === this.limits.peerAddressesCount) break;
      try {
        const address = multiaddr(text);
        const last = address.getComponents().at(-1);
        if (last?.name !== "p2p") addresses.push(address.encapsulate(suffix));
        else if (text.endsWith(suffix)) addresses.push(address);
      } catch {
        // Not an address.
      }
    }
    return addresses;
  }
}

export const unreachable = (peer: PeerKey, message: string, cause?: unknown): CostorError =>
  new CostorError("peer-unreachable", message, { cause, details: { peer } });
