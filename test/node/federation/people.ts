/** What the people of a whole site in memory tell it. */
import { FederationService } from "#node/federation/federation-service.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import type { FederationSite } from "./federation-site.ts";
import type { FederationWorld } from "./federation-world.ts";

const failing = (): Promise<never> => Promise.reject(new Error("not asked for"));

export const peopleOf = ({ federation, identity }: FederationSite, world: FederationWorld): FederationService =>
  new FederationService(
    {
      ...{ federation, clock: world.time.clock, rng: new SeededRng("people") },
      ...{ status: failing, requestedKit: { read: failing, remove: failing } },
    },
    { siteName: identity.siteId.slice(0, 8), peerSeed: identity.peerSeed },
  );
