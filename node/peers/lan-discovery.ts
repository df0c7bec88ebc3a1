/**
 * Finds members' machines on the same LAN by multicast DNS. What it finds is an address to try and nothing else: who
 * answers there proves its key like anybody. libp2p's own use of it would remember whatever a LAN makes up.
 */
import type { PeerInfo, Startable } from "@libp2p/interface";
import { mdns, type MulticastDNSComponents } from "@libp2p/mdns";

const serviceTag = "_costor._udp.local";

export function lanDiscovery(onFound: (found: PeerInfo) => void): (components: MulticastDNSComponents) => Startable {
  return (components) => {
    const discovery = mdns({ serviceTag })(components);
    discovery.addEventListener("peer", ({ detail }) => onFound(detail));
    const startable = discovery as typeof discovery & Startable;
    return { start: () => startable.start(), stop: () => startable.stop() };
  };
}
