/** The protocols that this site answers: one handler for each channel, so many channels of a peer at once. */
import type { Connection, Stream } from "@libp2p/interface";
import { peerKeyOf } from "./peer-identity.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { PeersLog, RefusalLog } from "./refusal-log.ts";
import { StreamChannel } from "./stream-channel.ts";
import { assertInvariant, CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import type { Channel, Protocol } from "#ledger/peers.ts";

interface Served {
  readonly protocol: Protocol;
  readonly handler: (channel: Channel) => Promise<void>;
  readonly openCounts: Map<PeerKey, number>;
}

export class ServedProtocols {
  private readonly components: { readonly log: PeersLog; readonly refusals: RefusalLog };
  private readonly limits: PeerLimits;
  private readonly served: Served[] = [];
  /** Filled by {@link add}. */
  readonly names = new Set<string>();

  constructor(components: { log: PeersLog; refusals: RefusalLog }, init: { limits: PeerLimits }) {
    this.components = components;
    this.limits = init.limits;
  }

  add(protocol: Protocol, handler: (channel: Channel) => Promise<void>): void {
    assertInvariant(!this.names.has(protocol.name), "a protocol is served once", { name: protocol.name });
    this.names.add(protocol.name);
    this.served.push({ protocol, handler, openCounts: new Map() });
  }

  async register(
    handle: (name: string, onStream: (stream: Stream, connection: Connection) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    for (const served of this.served)
      await handle(served.protocol.name, (stream, connection) => this.onStream(served, stream, connection));
  }

  private async onStream(served: Served, stream: Stream, connection: Connection): Promise<void> {
    const { protocol, openCounts } = served;
    const peer = peerKeyOf(connection.remotePeer);
    assertInvariant(peer !== undefined, "an admitted peer has a key");
    const count = openCounts.get(peer) ?? 0;
    if (count >= protocol.maxChannelsPerPeerCount) {
      this.components.refusals.refused(`too many channels of ${protocol.name}`, peer);
      stream.abort(new Error("too many channels"));
      return;
    }
    if (stream.status !== "open") return;
    openCounts.set(peer, count + 1);
    stream.addEventListener(
      "close",
      () => {
        const left = openCounts.get(peer)! - 1;
        if (left > 0) openCounts.set(peer, left);
        else openCounts.delete(peer);
      },
      { once: true },
    );
    const channel = new StreamChannel(stream, { peer, protocol, limits: this.limits });
    try {
      await served.handler(channel);
      await channel.finish();
    } catch (error) {
      channel.abort();
      // A line that broke is nobody's fault.
      if (isCostorError(error, "peer-unreachable") && connection.status !== "open")
        this.components.log.info({ peer, protocol: protocol.name }, "a connection ended within a call");
      else this.logFailure(protocol, peer, error);
    }
  }

  private logFailure(protocol: Protocol, peer: PeerKey, error: unknown): void {
    if (error instanceof CostorError && error.code !== "internal")
      this.components.refusals.refused(`${protocol.name}: ${error.message}`, peer);
    else this.components.log.warn({ peer, protocol: protocol.name, err: error }, "a peer's call failed");
  }
}
