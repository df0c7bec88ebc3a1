/** Sites that this one lets in before a roster has them, and out again: by entries of its own, which nobody else has a say in. docs/specs/membership.md, Guests */
import type { Clock } from "#ledger/clock.ts";
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Newcomer } from "./invitations.ts";
import type { OwnEntries } from "./own-entries.ts";
import type { SiteProfiles } from "./site-profiles.ts";

export interface GuestComponents {
  readonly clock: Pick<Clock, "now">;
  readonly ledger: Pick<Ledger, "currentLog" | "logs" | "statement" | "statements">;
  readonly membership: Pick<Membership, "guestsOf" | "roleOf">;
  readonly entries: Pick<OwnEntries, "write" | "withdraw">;
  readonly profiles: Pick<SiteProfiles, "of">;
  /** What goes wrong is tried again within the hour. */
  readonly onFailure: (error: unknown) => void;
}

export class Guests {
  readonly #components: GuestComponents;
  readonly #self: SiteId;
  readonly #queue = new SerialQueue();

  constructor(components: GuestComponents, { self }: { self: SiteId }) {
    this.#components = components;
    this.#self = self;
  }

  /** What its inviter's people called a guest when they invited it. */
  invitedNameOf(site: SiteId): string | undefined {
    const { membership, ledger } = this.#components;
    const role = membership.roleOf(site);
    if (role.role !== "guest") return undefined;
    return ledger.statement(role.inviter, "guest", site)?.statement.name;
  }

  /** Sites that were guests and are not any more: members may admit them. */
  former(): SiteId[] {
    const { ledger, membership } = this.#components;
    const known = new Set(ledger.logs().map(({ log }) => log.certificate.siteId));
    return [...known].filter((site) => site !== this.#self && membership.roleOf(site).role === "none");
  }

  /** Throws `limit-exceeded` while the entry would not count, `bad-usage` where it never would, and what {@link OwnEntries.write} throws. */
  letIn({ site, name, certificate }: Newcomer): Promise<void> {
    return this.#queue.run(async () => {
      const { membership, entries } = this.#components;
      if (membership.roleOf(site).role === "expelled")
        throw new CostorError(
          "bad-usage",
          `${name} was a member before, and has to be one again to be let in: have it admitted (costor federation admit ${site.slice(0, 16)}); then its invitation lets it in`,
        );
      const others = membership.guestsOf(this.#self).filter(({ statement }) => statement.site !== site);
      if (others.length >= limits.guestsPerMemberCount)
        throw new CostorError(
          "limit-exceeded",
          `this site has ${others.length} guests, and may have no more: have one admitted (costor federation admit), or expel one (costor federation expel), and then confirm ${name} again`,
        );
      await entries.write({ kind: "guest", site, name, certificate: Buffer.from(certificate) });
    });
  }

  /** Lets a guest out at once. Throws `bad-usage` while another site lets it in, and what {@link OwnEntries.withdraw} throws. */
  letOut(site: SiteId): Promise<void> {
    return this.#queue.run(async () => {
      const { membership, entries } = this.#components;
      await entries.withdraw("guest", site);
      const role = membership.roleOf(site);
      if (role.role !== "guest") return;
      const [guest, inviter] = [this.#nameOf(site), this.#nameOf(role.inviter)];
      throw new CostorError(
        "bad-usage",
        `${guest} is a guest of ${inviter}, and no member: there its people expel it at once (costor federation expel ${site.slice(0, 16)}); elsewhere it has to be admitted before it can be expelled`,
        { details: { inviter: role.inviter } },
      );
    });
  }

  /** Lets out those of this site's own guests that have said to be ready. Safe to repeat. */
  soon(): void {
    const { ledger, entries, onFailure } = this.#components;
    const leave = async (): Promise<void> => {
      const sites = ledger.statements(this.#self, "guest").map(({ statement }) => statement.site);
      await entries.withdraw("guest", ...sites.filter((site) => this.#isReady(site)));
    };
    this.#queue.run(leave).catch(onFailure);
  }

  /** As a guest: asks its inviter to be let out now. Safe to repeat. */
  async askOut(): Promise<void> {
    const { ledger, entries, clock } = this.#components;
    const said = ledger.statement(this.#self, "leaving", "")?.statement;
    if (said?.isReady === true) return;
    await entries.write({ kind: "leaving", sinceMs: said?.sinceMs ?? clock.now(), isReady: true });
  }

  /** A former machine of the guest's has no say. */
  #isReady(site: SiteId): boolean {
    const { ledger, membership } = this.#components;
    const said = ledger.statement(site, "leaving", "");
    const isCurrent = said?.logId === ledger.currentLog(site)?.log.id;
    return membership.roleOf(site).role === "guest" && isCurrent && said?.statement.isReady === true;
  }

  #nameOf(site: SiteId): string {
    return this.#components.profiles.of(site)?.name || this.invitedNameOf(site) || site.slice(0, 16);
  }
}
