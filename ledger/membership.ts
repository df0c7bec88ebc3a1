/**
 * Who is in the federation, and who may speak: by the chain of rosters, which it keeps, and by the guests that members have let
 * in by entries of the ledger. docs/specs/membership.md
 *
 * Calls may overlap: changes run one after the other, and the ledger has followed each when it resolves.
 */
import { CostorError, assertInvariant } from "#protocol/errors.ts";
import {
  type FederationId,
  type LogId,
  type PeerKey,
  type RosterHash,
  type SiteId,
  parseFederationId,
  parsePeerKey,
} from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import type { Log } from "./entry.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { Speakers } from "./admission.ts";
import type { Ledger } from "./ledger.ts";
import { isProven } from "./recovery-keys.ts";
import { checkBranch, checkFirst, checkSuccessor, isPreferred } from "./roster-chain.ts";
import { type Head, type Roster, parseRoster } from "./roster.ts";
import type { Stated } from "./site-state.ts";

export type Role =
  | { readonly role: "member"; readonly inviter: SiteId | null }
  | { readonly role: "guest"; readonly inviter: SiteId }
  | { readonly role: "expelled"; readonly heads: readonly Head[] }
  | { readonly role: "none" };

const PREFIX = "roster/";
const NUMBER_DIGITS = 16;
const rosterKey = (number: number): string => `${PREFIX}${String(number).padStart(NUMBER_DIGITS, "0")}`;
const NONE: Role = { role: "none" };

/** Who is there by a roster and what the ledger says of guests. */
interface View {
  readonly roster: Roster | undefined;
  readonly guestsState: object | undefined;
  /** Ascending. */
  readonly sites: readonly SiteId[];
  /** Of guests. */
  readonly inviters: ReadonlyMap<SiteId, SiteId>;
}

/** Who speaks for those in a view, by their logs. */
interface Machines {
  readonly view: View;
  readonly speakersState: object | undefined;
  /** Of current machines. */
  readonly sites: ReadonlyMap<PeerKey, SiteId>;
}

export class Membership implements Speakers {
  readonly #store: LedgerStore;
  readonly siteId: SiteId;
  readonly #listeners: ((rosters: readonly Roster[]) => void)[] = [];
  #ledger: Ledger | undefined;
  /** Hashes of the whole chain, by number. */
  #hashes: RosterHash[] = [];
  #roster: Roster | undefined;
  /** New recovery keys that rosters of the chain have, with their numbers. */
  #rekeys: { readonly number: number; readonly link: RecoveryLink }[] = [];
  /** Roles that the roster states. */
  #stated = new Map<SiteId, Role>();
  #seen: View | undefined;
  #machines: Machines | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor({ store }: { store: LedgerStore }, { siteId }: { siteId: SiteId }) {
    this.#store = store;
    this.siteId = siteId;
  }

  /** `siteId` is this site's own. Then the ledger is opened with it. */
  static async open(components: { store: LedgerStore }, init: { siteId: SiteId }): Promise<Membership> {
    const membership = new Membership(components, init);
    // One that a crash has left behind a newer one of another branch ends the chain: peers have what follows.
    for (let number = 0; ; number++) {
      const bytes = await components.store.get(rosterKey(number));
      const roster = bytes && parseRoster(bytes);
      if (roster === undefined || roster.previous !== (membership.#roster?.hash ?? null)) break;
      membership.#add(roster);
    }
    return membership;
  }

  follow(ledger: Ledger): void {
    this.#ledger = ledger;
  }

  /** The newest; undefined while the site is in no federation. */
  get roster(): Roster | undefined {
    return this.#roster;
  }

  get federationId(): FederationId | undefined {
    return this.#hashes[0] && parseFederationId(this.#hashes[0]);
  }

  /** The hash of the chain's roster of that number. */
  hashAt(number: number): RosterHash | undefined {
    return this.#hashes[number];
  }

  hasRoster(roster: RosterHash): boolean {
    return this.#hashes.includes(roster);
  }

  /** The chain from `number` on. */
  async *rosters(number = 0): AsyncGenerator<Uint8Array> {
    for (let at = number; at < this.#hashes.length; at++) {
      const bytes = await this.#store.get(rosterKey(at));
      assertInvariant(bytes !== undefined, "a roster of the chain is in the store", { at });
      yield bytes;
    }
  }

  /** Called after each change of the chain, with those that were taken over. */
  onChanged(listener: (rosters: readonly Roster[]) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Enters a federation by its whole chain, from number 0: one's own first roster, or what the inviter has sent. Throws
   * `federation-exists`, `roster-invalid`, and what {@link parseRoster} throws.
   */
  enter(chain: readonly Uint8Array[], federationId: FederationId): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#roster !== undefined)
        throw new CostorError("federation-exists", "this site is in a federation already");
      await this.#adopt(0, checkedChain(chain, federationId));
    });
  }

  /**
   * Offers rosters that follow each other, whoever sent them; the first follows one of this site's chain. Whether the chain
   * has changed: not by what {@link checkBranch} keeps for later. Throws `roster-invalid`, `signature-invalid`, and what {@link parseRoster} throws.
   */
  offer(offered: readonly Uint8Array[]): Promise<boolean> {
    return this.#inTurn(async () => {
      if (offered.length > limits.rosterBranchCount)
        throw new CostorError("limit-exceeded", `at most ${limits.rosterBranchCount} rosters are looked at at once`);
      const rosters = offered.map(parseRoster).filter(({ number, hash }) => this.#hashes[number] !== hash);
      const [first] = rosters;
      const current = this.#roster;
      if (first === undefined || current === undefined) return false;
      const previous = await this.#rosterAt(first.number - 1);
      if (previous === undefined || previous.hash !== first.previous)
        throw new CostorError("roster-invalid", `roster ${first.number} follows none of this site's chain`);
      const branch = checkBranch(previous, rosters, { counts: this.#counts, wasGood: this.#wasGood });
      if (branch.rosters.length === 0) return false;
      if (first.number <= current.number && !isPreferred(current, branch)) return false;
      await this.#adopt(first.number, branch.rosters);
      return true;
    });
  }

  readonly #counts = (log: Log, agreed: readonly RecoveryLink[]): boolean =>
    this.#ledger?.recoveryKeys.counts(log, agreed) ?? isProven(log.certificate.chain, agreed);

  readonly #wasGood = ({ certificate: { siteId, chain } }: Log, agreed: readonly RecoveryLink[]): boolean =>
    isProven(chain, [...(this.#ledger?.recoveryKeys.chainOf(siteId) ?? []), ...this.agreedLinks(siteId), ...agreed]);

  roleOf(siteId: SiteId): Role {
    const stated = this.#stated.get(siteId);
    if (stated !== undefined) return stated;
    const inviter = this.#view().inviters.get(siteId);
    return inviter === undefined ? NONE : { role: "guest", inviter };
  }

  /** Those that count of the entries by which a member has let guests in: the oldest first. */
  guestsOf(member: SiteId): Stated<"guest">[] {
    if (this.#stated.get(member)?.role !== "member" || this.#ledger === undefined) return [];
    const logs = this.#ledger.logsOf(member);
    const ageOf = ({ logId }: Stated<"guest">): number => logs.findIndex(({ log }) => log.id === logId);
    const guests = this.#ledger
      .statements(member, "guest")
      .filter(({ statement }) => !this.#stated.has(statement.site));
    guests.sort((one, other) => ageOf(other) - ageOf(one) || one.seq - other.seq);
    return guests.slice(0, limits.guestsPerMemberCount);
  }

  /** Members and guests, ascending. */
  sites(): readonly SiteId[] {
    return this.#view().sites;
  }

  /** What is asked for all the time, computed once after each change. */
  #view(): View {
    const [roster, guestsState] = [this.#roster, this.#ledger?.states.guestsState];
    const seen = this.#seen;
    if (seen !== undefined && seen.roster === roster && seen.guestsState === guestsState) return seen;
    const members = roster?.members.map(({ siteId }) => siteId) ?? [];
    const inviters = new Map<SiteId, SiteId>();
    // Of several inviters it is the one with the lowest id.
    for (const member of members)
      for (const { statement } of this.guestsOf(member))
        if (!inviters.has(statement.site)) inviters.set(statement.site, member);
    const sites = [...members, ...inviters.keys()].sort();
    return (this.#seen = { roster, guestsState, sites, inviters });
  }

  #machinesNow(): Machines {
    const [view, speakersState] = [this.#view(), this.#ledger?.states.speakersState];
    const known = this.#machines;
    if (known !== undefined && known.view === view && known.speakersState === speakersState) return known;
    const sites = new Map<PeerKey, SiteId>();
    for (const site of [
      ...view.sites.filter((each) => !this.#hasEntry(each)).toReversed(),
      ...view.sites.filter((each) => this.#hasEntry(each)).toReversed(),
    ]) {
      const peer = this.peerOf(site);
      if (peer !== undefined) sites.set(peer, site);
    }
    return (this.#machines = { view, speakersState, sites });
  }

  lastAllowedSeq(siteId: SiteId, logId: LogId): number {
    const role = this.roleOf(siteId);
    if (role.role === "expelled") return role.heads.find((head) => head.logId === logId)?.seq ?? -1;
    // A site speaks in its own ledger before it is in a federation, and before the entry that lets it in has come.
    return role.role === "none" && siteId !== this.siteId ? -1 : Infinity;
  }

  /**
   * The member or guest whose current machine has this key. A site may name another's machine in its certificate, but not write
   * as that machine: of several sites it is the one whose log has an entry.
   */
  siteOfPeer(peer: PeerKey): SiteId | undefined {
    return this.#machinesNow().sites.get(peer);
  }

  /** Only the machine that the certificate names can have written it. */
  #hasEntry(siteId: SiteId): boolean {
    return this.#ledger?.currentLog(siteId)?.lastSeq !== undefined;
  }

  /** The key of a site's current machine, as far as its certificate is known. */
  peerOf(siteId: SiteId): PeerKey | undefined {
    const log = this.#ledger?.currentLog(siteId)?.log;
    return log && peerKeyOf(log);
  }

  peerMayConnect(peer: PeerKey): boolean {
    return this.siteOfPeer(peer) !== undefined;
  }

  /** What may fail together: the place that a member names, or itself; of a guest that of its inviter. */
  failureDomainOf(siteId: SiteId): string {
    const role = this.roleOf(siteId);
    if (role.role === "guest") return this.failureDomainOf(role.inviter);
    return this.#ledger?.statement(siteId, "profile", "")?.statement.domain || `site:${siteId}`;
  }

  /** As `Speakers`. */
  readonly agreedLinks = (siteId: SiteId): readonly RecoveryLink[] =>
    this.#rekeys.map(({ link }) => link).filter((link) => link.siteId === siteId);

  async #rosterAt(number: number): Promise<Roster | undefined> {
    if (number < 0 || number >= this.#hashes.length) return undefined;
    const bytes = await this.#store.get(rosterKey(number));
    return bytes && parseRoster(bytes);
  }

  async #adopt(first: number, rosters: readonly Roster[]): Promise<void> {
    const changes = rosters.map(({ number, bytes }) => ({ key: rosterKey(number), value: bytes }));
    for (let at = 0; at < changes.length; at += limits.rosterBranchCount)
      await this.#store.write(changes.slice(at, at + limits.rosterBranchCount));
    this.#hashes.length = first;
    this.#rekeys = this.#rekeys.filter(({ number }) => number < first);
    for (const roster of rosters) this.#add(roster);
    await this.#ledger?.membershipChanged(rosters.flatMap(({ rekey }) => rekey?.siteId ?? []));
    for (const listener of this.#listeners) listener(rosters);
  }

  #add(roster: Roster): void {
    this.#hashes.push(roster.hash);
    this.#roster = roster;
    if (roster.rekey !== undefined) this.#rekeys.push({ number: roster.number, link: roster.rekey });
    this.#stated = new Map<SiteId, Role>([
      ...roster.expelled.map(({ siteId, heads }) => [siteId, { role: "expelled", heads }] as const),
      ...roster.members.map(({ siteId, inviter }) => [siteId, { role: "member", inviter }] as const),
    ]);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** The chain of a federation, each roster checked. Throws `roster-invalid` and what {@link parseRoster} throws. */
export function checkedChain(chain: readonly Uint8Array[], federationId: FederationId): Roster[] {
  if (chain.length === 0 || chain.length > limits.rosterChainCount)
    throw new CostorError("roster-invalid", `a federation has 1 to ${limits.rosterChainCount} rosters`);
  const rosters: Roster[] = [];
  const agreed: RecoveryLink[] = [];
  const counts = ({ certificate }: Log): boolean => isProven(certificate.chain, agreed);
  for (const bytes of chain) {
    const roster = parseRoster(bytes);
    const previous = rosters.at(-1);
    if (previous === undefined) checkFirst(roster, federationId);
    else checkSuccessor(previous, roster, counts);
    if (roster.rekey !== undefined) agreed.push(roster.rekey);
    rosters.push(roster);
  }
  return rosters;
}

const peerKeys = new WeakMap<Log, PeerKey>();

export function peerKeyOf(log: Log): PeerKey {
  let peer = peerKeys.get(log);
  if (peer === undefined) {
    peer = parsePeerKey(Buffer.from(log.certificate.peerPublicKey).toString("hex"));
    peerKeys.set(log, peer);
  }
  return peer;
}
