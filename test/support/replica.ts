import { randomBytes } from "node:crypto";
import type { LedgerEvent } from "#ledger/admission.ts";
import { Ledger } from "#ledger/ledger.ts";
import { type Wish, membershipSteps } from "#ledger/membership-steps.ts";
import { Membership } from "#ledger/membership.ts";
import { OwnLog } from "#ledger/own-log.ts";
import { encodeRoster, encodeRosterBody, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { type FederationId, type SiteId, parseFederationId } from "#protocol/ids.ts";
import { hasUsedItsRoom } from "#ledger/site-room.ts";
import { type PullReport, pullFrom } from "#ledger/sync-pull.ts";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";

/** One site of a federation in memory: its ledger, its membership, and its own log. */
export class Replica {
  readonly author: LedgerAuthor;
  readonly store: MemoryLedgerStore;
  readonly membership: Membership;
  readonly ledger: Ledger;
  readonly own: OwnLog;
  readonly events: LedgerEvent[];
  /** What this site's people want. */
  wishes: Wish[] = [];

  private constructor(init: Pick<Replica, "author" | "store" | "membership" | "ledger" | "own" | "events">) {
    this.author = init.author;
    this.store = init.store;
    this.membership = init.membership;
    this.ledger = init.ledger;
    this.own = init.own;
    this.events = init.events;
  }

  /** The same store is the same site after a restart. */
  static async open(name: string | LedgerAuthor, store = new MemoryLedgerStore()): Promise<Replica> {
    const author = typeof name === "string" ? new LedgerAuthor(name) : name;
    const events: LedgerEvent[] = [];
    const membership = await Membership.open({ store }, { siteId: author.siteId });
    const ledger = await Ledger.open({ store, speakers: membership, onEvent: (event) => void events.push(event) });
    await ledger.offer({ certificates: [author.log.bytes] });
    const clock = { now: () => 1_700_000_000_000 };
    const rng = { bytes: (count: number) => randomBytes(count) };
    const own = await OwnLog.open(
      { ledger, membership, store, clock, rng },
      { log: author.log, peerSeed: author.seed },
    );
    return new Replica({ author, store, membership, ledger, own, events });
  }

  /** One that has founded a federation. */
  static async found(name: string, salt = "salt"): Promise<Replica> {
    const replica = await Replica.open(name);
    const { bytes, federationId } = firstRoster(replica.author, salt);
    await replica.membership.enter([bytes], federationId);
    return replica;
  }

  get siteId(): SiteId {
    return this.author.siteId;
  }

  get memberIds(): SiteId[] {
    return this.membership.roster?.members.map(({ siteId }) => siteId) ?? [];
  }

  reopened(): Promise<Replica> {
    return Replica.open(this.author, this.store);
  }

  /** Lets another in as a guest, as joining does. */
  async letIn(guest: Replica): Promise<void> {
    const certificate = Buffer.from(guest.author.log.bytes);
    await this.own.write({ kind: "guest", site: guest.siteId, name: "guest", certificate });
    await guest.membership.enter(await Array.fromAsync(this.membership.rosters()), this.membership.federationId!);
    await guest.ledger.offer({ certificates: [this.author.log.bytes] });
  }

  wishRemoved(siteId: SiteId): void {
    this.wishes.push({ action: "remove", siteId, heads: this.ledger.headsOf(siteId) });
  }

  /** Does what a member does for its wishes, as often as something follows. */
  async step(): Promise<void> {
    for (;;) {
      const { ledger, membership, siteId } = this;
      const { roster } = membership;
      if (roster === undefined) return;
      const consents = roster.members.flatMap((member) => {
        const log = ledger.currentLog(member.siteId)?.log;
        const all = ledger.statements(member.siteId, "consent").filter(({ logId }) => logId === log?.id);
        return all.map((consent) => ({ log: log!, consent }));
      });
      const steps = membershipSteps({
        roster,
        siteId,
        wishes: this.wishes,
        consents,
        headsOf: (site) => ledger.headsOf(site),
        isFull: (site) => hasUsedItsRoom(ledger, site),
        hasRoster: (hash) => membership.hasRoster(hash),
        inviterOf: (site) => {
          const role = membership.roleOf(site);
          return role.role === "guest" ? role.inviter : null;
        },
      });
      this.wishes = this.wishes
        .filter((wish) => !steps.over.includes(wish))
        .map((wish) => (steps.fulfilled.includes(wish) ? { ...wish, in: roster.hash } : wish));
      // A suspect site says nothing.
      const sign = this.own.suspicion === undefined ? steps.sign : [];
      for (const body of sign) await this.own.write(consentTo(body, this.author));
      if (steps.withdraw.length > 0 && this.own.suspicion === undefined)
        await this.own.withdrawIdle({ also: steps.withdraw, leastCount: 1 });
      const changed = steps.roster !== undefined && (await membership.offer([steps.roster]));
      if (!changed && sign.length === 0) return;
    }
  }
}

export const consentTo = (body: Uint8Array, { seed }: LedgerAuthor) => ({
  kind: "consent" as const,
  roster: parseRosterBody(body).hash,
  body: Buffer.from(body),
  signature: signRosterBody(body, seed),
});

/** A roster with a body of any fields, signed by any. */
export function signedRoster(body: Uint8Array, authors: readonly LedgerAuthor[]): Buffer {
  const sorted = authors.toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1));
  return encodeRoster(
    body,
    sorted.map(({ log, seed }) => ({ certificate: log.bytes, signature: signRosterBody(body, seed) })),
  );
}

export function firstRoster(author: LedgerAuthor, salt = "salt"): { bytes: Buffer; federationId: FederationId } {
  const body = encodeRosterBody({
    name: "Schools",
    salt: Buffer.alloc(16, salt),
    number: 0,
    previous: null,
    members: [{ siteId: author.siteId, inviter: null }],
    expelled: [],
  });
  return { bytes: signedRoster(body, [author]), federationId: parseFederationId(parseRosterBody(body).hash) };
}

/** Both synchronise with each other, one after the other, as after a connection; what each has taken over. */
export async function exchange(one: Replica, other: Replica): Promise<PullReport[]> {
  const reports: PullReport[] = [];
  for (const [asker, answerer] of [
    [one, other],
    [other, one],
  ] as const)
    reports.push(await pull(asker, answerer));
  return reports;
}

/** `asker` takes over what `answerer` has. */
export async function pull(asker: Replica, answerer: Replica): Promise<PullReport> {
  const { channels } = channelPair(ledgerProtocol);
  const [report] = await Promise.all([pullFrom(channels[0], asker), answerSync(channels[1], answerer)]);
  asker.own.askedPeers(1);
  return report;
}
