/** Reports how the federation is, as this site sees it: what commands and the API show. */
import type { Site } from "#node/site/site.ts";
import type { FederationStatus } from "./federation-status.ts";
import type { Federation } from "./federation.ts";

export async function reportStatus({
  federation,
}: {
  readonly federation: Federation;
  readonly site: Site;
}): Promise<FederationStatus> {
  const { membership, transport } = federation.parts;
  const sites = membership.sites();
  const roster = membership.roster!;
  const { offeredBytes } = await federation.room();
  return {
    federationId: membership.federationId!,
    name: roster.name,
    site: federation.siteId,
    siteName: federation.siteName,
    role: membership.roleOf(federation.siteId).role,
    membersCount: roster.members.length,
    guestsCount: sites.length - roster.members.length,
    connectedCount: transport.connected().length,
    snapshots: { storedCount: 0, safeCount: 0, onceCount: 0 },
    slices: [],
    sending: [],
    behindBytes: 0,
    kept: [],
    offeredBytes,
    alarms: [],
  };
}
