/**
 * Stands before every protocol handler that js-libp2p and its services register: who may not speak the protocol does not
 * reach it, and libp2p's own protocols get bytes at a bounded rate, since they keep what they have not dealt with.
 * (`libp2p.use` would be the place, but in this version its middleware grows with each stream.)
 */
import { RELAY_V2_HOP_CODEC, RELAY_V2_STOP_CODEC } from "@libp2p/circuit-relay-v2";
import type { Connection, Stream, StreamHandler, StreamHandlerOptions } from "@libp2p/interface";
import type { Admission } from "./admission.ts";
import { gossipPrefix } from "./gossip.ts";
import { guardGossip } from "./gossip-guard.ts";
import { paceStream } from "./paced-stream.ts";
import { peerKeyOf } from "./peer-identity.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { RefusalLog } from "./refusal-log.ts";
import { withHop } from "./relay-flow.ts";

/** What of js-libp2p's components is used. */
export interface GatedComponents {
  readonly registrar: {
    handle(protocol: string, handler: StreamHandler, options?: StreamHandlerOptions): Promise<void>;
  };
}

/** A service of libp2p that does nothing but this; it has to be made before any other is started. */
export function protocolGate(
  components: { admission: Admission; refusals: RefusalLog },
  init: { limits: PeerLimits; ownProtocols: ReadonlySet<string> },
): (libp2pComponents: GatedComponents) => object {
  const { admission, refusals } = components;
  return ({ registrar }) => {
    const handle = registrar.handle.bind(registrar);
    registrar.handle = (protocol, handler, options) => {
      const serve = async (stream: Stream, connection: Connection): Promise<void> => {
        const { remotePeer } = connection;
        const refuse = (reason: string): void =>
          refusals.refused(reason, peerKeyOf(remotePeer) ?? remotePeer.toString());
        if (!admission.allows(remotePeer, protocol)) {
          refuse(`may not speak ${protocol}`);
          stream.abort(new Error("not allowed"));
          return;
        }
        if (protocol === RELAY_V2_HOP_CODEC) return withHop(stream, async () => handler(stream, connection));
        if (!init.ownProtocols.has(protocol) && protocol !== RELAY_V2_STOP_CODEC)
          paceStream(stream, init.limits.peerServiceBytesPerSecond);
        if (protocol.startsWith(gossipPrefix)) guardGossip(stream, init.limits, () => refuse("too much gossip"));
        await handler(stream, connection);
      };
      return handle(protocol, serve, options);
    };
    return {};
  };
}
