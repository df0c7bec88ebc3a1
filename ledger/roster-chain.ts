/**
 * Which roster may follow which, and which of two chains counts. docs/specs/membership.md
 *
 * Invariant: whoever was once a majority and is none now cannot make its own chain count at those who know a longer one.
 */
import { CostorError } from "#protocol/errors.ts";
import type { FederationId, SiteId } from "#protocol/ids.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import { type Log, openLog } from "./entry.ts";
import { isProven } from "./recovery-keys.ts";
import { type Head, type Roster, type RosterFields, encodeRosterBody, signersOf } from "./roster.ts";

/** The one thing in which a roster differs from the one before. */
export type RosterChange =
  | { readonly action: "admit"; readonly siteId: SiteId; readonly inviter: SiteId | null }
  | { readonly action: "remove"; readonly siteId: SiteId; readonly heads: readonly Head[] }
  /** The site's recovery key is the link's from then on. */
  | { readonly action: "rekey"; readonly siteId: SiteId; readonly link: RecoveryLink };

/** More than half of so many. */
export const majorityOf = (count: number): number => Math.floor(count / 2) + 1;

/** More than half of the members. */
const majorityCountOf = ({ members }: RosterFields): number => majorityOf(members.length);

/** Whether so many members are enough for the change: of a new key more than half of the others too. */
export function isEnough(previous: RosterFields, { action, siteId }: RosterChange, signers: Iterable<SiteId>): boolean {
  const all = [...signers];
  const others = all.filter((signer) => signer !== siteId);
  const hasOthers = action !== "rekey" || others.length >= majorityOf(previous.members.length - 1);
  return hasOthers && all.length >= majorityCountOf(previous);
}

const bySite = (one: { siteId: SiteId }, other: { siteId: SiteId }): number => (one.siteId < other.siteId ? -1 : 1);

/** The roster that follows by one change; undefined when it cannot be made. */
export function applyChange(
  previous: RosterFields & { readonly hash: NonNullable<RosterFields["previous"]> },
  change: RosterChange,
): RosterFields | undefined {
  const { name, salt, number, hash, members, expelled } = previous;
  const { siteId } = change;
  const isMember = members.some((member) => member.siteId === siteId);
  const others = expelled.filter((site) => site.siteId !== siteId);
  const next = { name, salt, number: number + 1, previous: hash };
  if (change.action === "admit") {
    const { inviter } = change;
    if (isMember || (inviter !== null && !members.some((member) => member.siteId === inviter))) return undefined;
    return { ...next, members: [...members, { siteId, inviter }].sort(bySite), expelled: others };
  }
  if (!isMember || members.length === 1) return undefined;
  if (change.action === "rekey") {
    const { link } = change;
    return link.siteId === siteId ? { ...next, members, expelled, rekey: link } : undefined;
  }
  const heads = change.heads.toSorted((one, other) => (one.logId < other.logId ? -1 : 1));
  return {
    ...next,
    members: members.filter((member) => member.siteId !== siteId),
    expelled: [...others, { siteId, heads }].sort(bySite),
  };
}

/** How `next` differs from `previous`; undefined unless it follows by exactly one change. */
export function changeOf(
  previous: Parameters<typeof applyChange>[0],
  next: RosterFields & { readonly body: Uint8Array },
): RosterChange | undefined {
  const change = findChange(previous, next);
  const expected = change && applyChange(previous, change);
  return expected && encodeRosterBody(expected).equals(next.body) ? change : undefined;
}

function findChange(previous: RosterFields, next: RosterFields): RosterChange | undefined {
  const { rekey: link } = next;
  if (link !== undefined) return { action: "rekey", siteId: link.siteId, link };
  const had = new Set(previous.members.map(({ siteId }) => siteId));
  const has = new Set(next.members.map(({ siteId }) => siteId));
  const added = next.members.find(({ siteId }) => !had.has(siteId));
  if (added !== undefined) return { action: "admit", ...added };
  const removed = previous.members.find(({ siteId }) => !has.has(siteId));
  const heads = next.expelled.find(({ siteId }) => siteId === removed?.siteId)?.heads;
  return removed && heads && { action: "remove", siteId: removed.siteId, heads };
}

/** Throws `roster-invalid` unless it is the federation's first, and `signature-invalid`. */
export function checkFirst(roster: Roster, federationId: FederationId): void {
  const [founder] = roster.members;
  const isFirst =
    (roster.hash as string) === federationId &&
    roster.number === 0 &&
    roster.previous === null &&
    roster.members.length === 1 &&
    founder!.inviter === null &&
    roster.expelled.length === 0 &&
    roster.rekey === undefined;
  if (!isFirst || signersOf(roster, ({ certificate }) => isProven(certificate.chain, [])).join() !== founder!.siteId)
    throw invalid(roster, "it is not the federation's first");
}

/** How it differs. Throws `roster-invalid` unless it may follow, and `signature-invalid` unless all have signed it by logs that count. */
export function checkSuccessor(previous: Roster, next: Roster, counts: (log: Log) => boolean): RosterChange {
  const change = changeOf(previous, next);
  if (change === undefined) throw invalid(next, "it does not follow from the one before by one change");
  const members = new Set(previous.members.map(({ siteId }) => siteId));
  const signers = signersOf(next, counts);
  if (signers.some((siteId) => !members.has(siteId)) || !isEnough(previous, change, signers))
    throw invalid(next, "it is not signed by more than half of the members before it");
  return change;
}

/** What follows a roster of one's own chain. */
export interface Branch {
  /** Those after it, each checked. */
  readonly rosters: readonly Roster[];
  /** Whoever has signed any of them, by logs that count. */
  readonly signers: ReadonlySet<SiteId>;
}

/** Of a log; `agreed`: the links on which members have agreed by the rosters before. */
type LogRule = (log: Log, agreed: readonly RecoveryLink[]) => boolean;

/**
 * As much of the rosters as may be kept. What a log has signed that counted once, and does not any more since its site has another recovery key, is
 * not enough here for more than half, and may have been elsewhere: such a roster is kept with later ones, once more than half of the members before
 * it have signed it or any of those, of a new key more than half of the others too. A key on which members agree by what is in doubt speaks for
 * nothing of it. `wasGood`: of such logs too. Throws what {@link checkSuccessor} throws.
 */
export function checkBranch(
  start: Roster,
  offered: readonly Roster[],
  { counts, wasGood }: { readonly counts: LogRule; readonly wasGood: LogRule },
): Branch {
  const agreed: RecoveryLink[] = [];
  const signersOfEach: SiteId[][] = [];
  let previous = start;
  let sure = start;
  let keptCount = 0;
  let sureLinks: readonly RecoveryLink[] = [];
  let doubted: RosterChange[] = [];
  /** Of the last roster of which it is doubtful whether it was enough, and of those after it. */
  const endorsers = new Set<SiteId>();
  for (const [at, roster] of offered.entries()) {
    const change = checkSuccessor(previous, roster, (log) => wasGood(log, agreed));
    const logs = roster.signatures.map(({ certificate }) => openLog(certificate));
    const signersBy = (links: readonly RecoveryLink[]): SiteId[] =>
      logs.filter((log) => counts(log, links)).map(({ certificate }) => certificate.siteId);
    const signers = signersBy(agreed);
    signersOfEach.push(signers);
    if (!isEnough(previous, change, signers)) {
      doubted.push(change);
      endorsers.clear();
    }
    for (const siteId of signersBy(sureLinks)) endorsers.add(siteId);
    if (roster.rekey !== undefined) agreed.push(roster.rekey);
    previous = roster;
    const voices = sure.members.flatMap(({ siteId }) => (endorsers.has(siteId) ? siteId : []));
    if (!doubted.every((doubt) => isEnough(sure, doubt, voices))) continue;
    doubted = [];
    sure = roster;
    sureLinks = [...agreed];
    keptCount = at + 1;
  }
  return { rosters: offered.slice(0, keptCount), signers: new Set(signersOfEach.slice(0, keptCount).flat()) };
}

const areMost = (roster: Roster, sites: ReadonlySet<SiteId>): boolean =>
  roster.members.filter(({ siteId }) => sites.has(siteId)).length >= majorityCountOf(roster);

/**
 * Whether the branch counts more than the chain that ends with `current`. It must be longer, or as long with a lower last
 * hash; and it must either contest nothing but the newest roster, or be signed by more than half of its members.
 */
export function isPreferred(current: Roster, { rosters, signers }: Branch): boolean {
  const last = rosters.at(-1)!;
  if (last.number < current.number || (last.number === current.number && last.hash >= current.hash)) return false;
  return rosters[0]!.number === current.number || areMost(current, signers);
}

const invalid = ({ number }: RosterFields, reason: string): CostorError =>
  new CostorError("roster-invalid", `roster ${number} cannot be kept: ${reason}`);
