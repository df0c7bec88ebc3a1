/** Whole sites on a network in memory, in virtual time. */
import { SimNetwork } from "#test/simulation/sim-network.ts";
import type { SimIdentity } from "#test/simulation/sim-identity.ts";
import type { SimPeers } from "#test/simulation/sim-peers.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { SiteClock } from "#test/simulation/site-clock.ts";
import { VirtualTime } from "#test/simulation/virtual-time.ts";
import type { MemoryStore } from "#test/support/memory-store.ts";
import { FederationSite, membersOf } from "./federation-site.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export class FederationWorld {
  readonly time = new VirtualTime();
  readonly network = new SimNetwork({ clock: this.time.clock, rng: new SeededRng("network") });
  readonly members: readonly SimIdentity[];
  readonly #machines = new Map<FederationSite, { clock: SiteClock; peers: SimPeers }>();

  private constructor(members: readonly SimIdentity[]) {
    this.members = members;
  }

  /** All of them run. */
  static async of(count: number): Promise<FederationWorld & { readonly sites: readonly FederationSite[] }> {
    const world = new FederationWorld(membersOf(count));
    const sites: FederationSite[] = [];
    for (const identity of world.members) sites.push(await world.start(identity));
    return Object.assign(world, { sites });
  }

  /** The same store is the same disk. */
  async start(identity: SimIdentity, store?: MemoryStore): Promise<FederationSite> {
    const clock = new SiteClock({ time: this.time });
    let peers: SimPeers | undefined;
    const site = await FederationSite.open({
      ...{ identity, members: this.members, clock, ...(store && { store }) },
      makeTransport: async (doorkeeper) => (peers = this.network.join(identity.peerKey, doorkeeper)),
    });
    await site.start();
    this.#machines.set(site, { clock, peers: peers! });
    return site;
  }

  /** As by a power cut. */
  crash(site: FederationSite): void {
    const { clock, peers } = this.#machines.get(site)!;
    peers.crash();
    clock.endAndCopy();
  }

  run(durationMs: number): Promise<void> {
    return this.time.run(this.time.elapsedMs + durationMs);
  }
}
