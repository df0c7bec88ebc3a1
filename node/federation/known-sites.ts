/** Members and guests as replication and people see them. */
import type { HoldingSite } from "#ledger/failure-domain.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";

export interface KnownSitesComponents {
  readonly ledger: Ledger;
  readonly membership: Membership;
}

export class KnownSites {
  readonly self: SiteId;
  readonly #components: KnownSitesComponents;

  constructor(components: KnownSitesComponents, { self }: { self: SiteId }) {
    this.#components = components;
    this.self = self;
  }

  others(): HoldingSite[] {
    const { membership } = this.#components;
    return membership
      .sites()
      .filter((siteId) => siteId !== this.self)
      .map((siteId) => {
        const role = membership.roleOf(siteId);
        const inviter = role.role === "guest" ? role.inviter : undefined;
        return { siteId, isGuest: inviter !== undefined, domain: this.#placeOf(inviter ?? siteId), inviter };
      });
  }

  siteOf(peer: PeerKey): SiteId | undefined {
    return this.#components.membership.siteOfPeer(peer);
  }

  peerOf(site: SiteId): PeerKey | undefined {
    return this.#components.membership.peerOf(site);
  }

  /** Those of the profile; none before there is one. */
  addressesOf(peer: PeerKey): readonly string[] {
    const site = this.siteOf(peer);
    return site === undefined ? [] : (this.#profileOf(site)?.addresses ?? []);
  }

  nameOf(site: SiteId): string {
    return this.#profileOf(site)?.name ?? "";
  }

  #placeOf(site: SiteId): string {
    return this.#profileOf(site)?.domain ?? "";
  }

  #profileOf(site: SiteId) {
    return this.#components.ledger.statement(site, "profile", "")?.statement;
  }
}
