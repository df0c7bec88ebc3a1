/**
 * News among members, by gossipsub, on the federation's topic. Messages carry no signature of their own: what they hold is
 * signed, and the same bytes are the same message, whoever sends them.
 */
import { type GossipSub, gossipsub, type GossipSubComponents, StrictNoSign } from "@libp2p/gossipsub";
import type { Connection } from "@libp2p/interface";
import type { PeerLimits } from "./peer-limits.ts";

/** How the names of its protocols begin. */
export const gossipPrefix = "/meshsub/";

export const gossipService = (limits: PeerLimits): ((components: GossipSubComponents) => GossipSub) =>
  gossipsub({
    globalSignaturePolicy: StrictNoSign,
    emitSelf: false,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    awaitRpcHandler: true,
    awaitRpcMessageHandler: true,
    // What it would serve besides is not guarded as gossip is.
    fallbackToFloodsub: false,
    maxInboundDataLength: limits.gossipEnvelopeBytes,
    maxOutboundBufferSize: limits.gossipUnsentBytes,
    maxTopicBytesPerPeer: limits.gossipTopicsBytes,
    // Machines of one school share an address, and those behind a relay its.
    scoreParams: { IPColocationFactorWeight: 0 },
  });

export interface GossipComponents {
  readonly gossipsub: GossipSub;
  readonly onMessage: (message: Uint8Array) => void;
}

export class Gossip {
  private readonly components: GossipComponents;
  private readonly limits: PeerLimits;
  private topic: string | undefined;

  constructor(components: GossipComponents, init: { limits: PeerLimits }) {
    this.components = components;
    this.limits = init.limits;
    components.gossipsub.addEventListener("message", ({ detail }) => {
      if (detail.topic !== this.topic || detail.data.length > this.limits.gossipMessageBytes) return;
      this.components.onMessage(detail.data);
    });
  }

  /** Undefined for none. */
  setTopic(topic: string | undefined): void {
    if (topic === this.topic) return;
    if (this.topic !== undefined) this.components.gossipsub.unsubscribe(this.topic);
    this.topic = topic;
    if (topic !== undefined) this.components.gossipsub.subscribe(topic);
  }

  /** Best effort; lost without a topic. */
  async publish(message: Uint8Array): Promise<void> {
    if (this.topic !== undefined) await this.components.gossipsub.publish(this.topic, message);
  }
}

/** Ends what gossip runs on this connection; on both sides gossipsub then forgets the peer, and what it has subscribed to. */
export function endGossip(connection: Connection): void {
  for (const stream of connection.streams)
    if (stream.protocol.startsWith(gossipPrefix)) stream.abort(new Error("gossip begins again"));
}
