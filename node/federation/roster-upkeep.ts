/**
 * Brings about what people wish of the roster: signs, withdraws and puts rosters together as `ledger/membership-steps.ts` says,
 * whenever something that matters has changed. What it does is safe to repeat.
 */
import type { Ledger } from "#ledger/ledger.ts";
import type { Membership } from "#ledger/membership.ts";
import { type StepFacts, isFulfilled, isNoted, membershipSteps } from "#ledger/membership-steps.ts";
import { type Head, type Roster, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { hasUsedItsRoom } from "#ledger/site-room.ts";
import { SerialQueue } from "#node/site/serial-queue.ts";
import type { RosterHash, SiteId } from "#protocol/ids.ts";
import type { KitRequests } from "./kit-requests.ts";
import type { OwnEntries } from "./own-entries.ts";
import type { Wishes } from "./wishes.ts";

export interface RosterUpkeepComponents {
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly entries: OwnEntries;
  readonly wishes: Wishes;
  readonly kitRequests: Pick<KitRequests, "wishes">;
  /** The site has a roster that this one does not know. */
  readonly onElsewhere: (siteId: SiteId) => void;
  /** What goes wrong is tried again with the next change. */
  readonly onFailure: (error: unknown) => void;
}

export interface RosterUpkeepInit {
  readonly siteId: SiteId;
  readonly peerSeed: Uint8Array;
}

export class RosterUpkeep {
  readonly #components: RosterUpkeepComponents;
  readonly #init: RosterUpkeepInit;
  readonly #queue = new SerialQueue();
  #isAsked = false;
  #hasConsents = false;
  /** Rosters that are not known here and were asked for, since this site's own has changed. */
  readonly #askedFor = new Set<RosterHash>();
  #newest: Roster | undefined;
  /** Rosters that have come one after the other, and each one's former: what people wished, some may have that have followers already. */
  #passed: (readonly [former: Roster, next: Roster])[] = [];

  constructor(components: RosterUpkeepComponents, init: RosterUpkeepInit) {
    this.#components = components;
    this.#init = init;
    const { ledger, membership } = components;
    ledger.onAdmitted(({ kind }) => {
      // A removal may wait for what is not known yet of a log.
      if (kind === "consent" || kind === "guest" || kind === "retire" || this.#hasConsents) this.look();
    });
    this.#newest = membership.roster;
    membership.onChanged((rosters) => {
      this.#askedFor.clear();
      for (const next of rosters) {
        if (this.#newest !== undefined && next.previous === this.#newest.hash) this.#passed.push([this.#newest, next]);
        this.#newest = next;
      }
      this.look();
    });
  }

  /** Soon, and once for all who ask meanwhile. */
  look(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#queue
      .run(async () => {
        this.#isAsked = false;
        await this.#step();
      })
      .catch(this.#components.onFailure);
  }

  /** The last seqs that are known of a site's logs. */
  headsOf(siteId: SiteId): Head[] {
    return this.#components.ledger
      .logsOf(siteId)
      .flatMap(({ log, known }) => (known.last === undefined ? [] : [{ logId: log.id, seq: known.last }]));
  }

  async #step(): Promise<void> {
    const { membership, entries, wishes } = this.#components;
    if (membership.roster === undefined) return;
    await this.#noteFulfilled();
    const facts = this.#facts(membership.roster);
    this.#hasConsents = facts.consents.length > 0;
    const { sign, withdraw, roster, fulfilled, over, elsewhere } = membershipSteps(facts);
    for (const wish of fulfilled) await wishes.note(wish, facts.roster.hash);
    await wishes.forget(over.filter((wish) => wishes.of(wish.siteId) === wish).map(({ siteId }) => siteId));
    for (const body of sign) {
      const { hash } = parseRosterBody(body);
      const signature = signRosterBody(body, this.#init.peerSeed);
      await entries.write({ kind: "consent", roster: hash, body: Buffer.from(body), signature });
    }
    for (const { statement } of withdraw) await entries.withdraw("consent", statement.roster);
    if (roster !== undefined) await membership.offer([roster]);
    for (const { siteId, roster: unknown } of elsewhere) {
      if (this.#askedFor.has(unknown) || membership.hasRoster(unknown)) continue;
      this.#askedFor.add(unknown);
      this.#components.onElsewhere(siteId);
    }
  }

  async #noteFulfilled(): Promise<void> {
    const { membership, wishes } = this.#components;
    const passed = this.#passed.splice(0);
    for (const wish of wishes.list()) {
      if (isNoted(wish, { hasRoster: (hash) => membership.hasRoster(hash) })) continue;
      const has = passed.find(([former, next]) => !isFulfilled(wish, former) && isFulfilled(wish, next));
      if (has !== undefined) await wishes.note(wish, has[1].hash);
    }
  }

  #facts(roster: NonNullable<Membership["roster"]>): StepFacts {
    const { ledger, membership, wishes, kitRequests } = this.#components;
    const consents = roster.members.flatMap(({ siteId }) => {
      const log = ledger.currentLog(siteId)?.log;
      if (log === undefined) return [];
      return ledger
        .statements(siteId, "consent")
        .filter(({ logId }) => logId === log.id)
        .map((consent) => ({ log, consent }));
    });
    return {
      roster,
      siteId: this.#init.siteId,
      wishes: [...wishes.list(), ...kitRequests.wishes()],
      consents,
      headsOf: (siteId) => this.headsOf(siteId),
      isFull: (site) => hasUsedItsRoom(ledger, site),
      hasRoster: (hash) => membership.hasRoster(hash),
      inviterOf: (siteId) => {
        const role = membership.roleOf(siteId);
        return role.role === "guest" ? role.inviter : null;
      },
    };
  }
}
