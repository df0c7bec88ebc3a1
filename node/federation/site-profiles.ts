/** What sites say of themselves. */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import type { StatementOf } from "#ledger/statements.ts";
import type { PeerKey, SiteId } from "#protocol/ids.ts";

export interface SiteProfileComponents {
  readonly ledger: Pick<Ledger, "statement">;
  readonly membership: Pick<Membership, "siteOfPeer">;
}

export class SiteProfiles {
  readonly #components: SiteProfileComponents;
  /** Addresses as they were when it was asked last whether they are others. */
  readonly #addresses = new Map<SiteId, string>();

  constructor(components: SiteProfileComponents) {
    this.#components = components;
  }

  /** Undefined before it has said anything. */
  of(site: SiteId): StatementOf<"profile"> | undefined {
    return this.#components.ledger.statement(site, "profile", "")?.statement;
  }

  /** For people: the beginning of its id while it has said no name. */
  nameOf(site: SiteId): string {
    return this.of(site)?.name || site.slice(0, 16);
  }

  /** Whether a site's addresses are others than when this was asked last. */
  hasMoved(site: SiteId): boolean {
    const addresses = this.of(site)?.addresses.join("\n") ?? "";
    if (this.#addresses.get(site) === addresses) return false;
    this.#addresses.set(site, addresses);
    return true;
  }

  /** Multiaddr texts, of a member's or guest's machine. */
  addressesOf(peer: PeerKey): readonly string[] {
    const site = this.#components.membership.siteOfPeer(peer);
    return site === undefined ? [] : (this.of(site)?.addresses ?? []);
  }
}
