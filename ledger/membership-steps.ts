/**
 * What a member does for a change of the roster: which bodies it signs, which of its consents it withdraws, and which roster
 * can be put together. Pure: the same facts give the same steps. docs/specs/membership.md
 */
import type { RosterHash, SiteId } from "#protocol/ids.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import type { Log } from "./entry.ts";
import { type RosterChange, applyChange, changeOf, isEnough } from "./roster-chain.ts";
import {
  type Head,
  type Roster,
  type RosterBody,
  encodeRoster,
  encodeRosterBody,
  isRosterSignature,
  parseRosterBody,
} from "./roster.ts";
import type { Stated } from "./site-state.ts";

/** What people have decided at this site: kept until a roster has it, and another one follows that. */
export type Wish =
  | { readonly action: "admit"; readonly siteId: SiteId; readonly in?: RosterHash | undefined }
  /** With the heads that were known when it was decided. */
  | {
      readonly action: "remove";
      readonly siteId: SiteId;
      readonly heads: readonly Head[];
      /** The roster that has it. While that is the newest, another one may take its place, and it is a wish again. */
      readonly in?: RosterHash | undefined;
    }
  /** Not kept: it follows from what people have approved, as long as no roster has it. */
  | { readonly action: "rekey"; readonly siteId: SiteId; readonly link: RecoveryLink };

export interface StepFacts {
  readonly roster: Roster;
  /** This site's own. */
  readonly siteId: SiteId;
  readonly wishes: readonly Wish[];
  /** In force, of a member's current log. */
  readonly consents: readonly { readonly log: Log; readonly consent: Stated<"consent"> }[];
  /** What is known of a site's logs now. */
  readonly headsOf: (siteId: SiteId) => readonly Head[];
  /** Whether replicas need not know the same of a site: `hasUsedItsRoom`. */
  readonly isFull: (siteId: SiteId) => boolean;
  /** The member that has let a guest in. */
  readonly inviterOf: (siteId: SiteId) => SiteId | null;
  /** Whether this site's chain has it. */
  readonly hasRoster: (roster: RosterHash) => boolean;
}

export interface MembershipSteps {
  /** Bodies for which this site writes a consent. */
  readonly sign: readonly Uint8Array[];
  /** This site's consents that serve no wish any more. */
  readonly withdraw: readonly Stated<"consent">[];
  /** The roster that has been agreed. */
  readonly roster: Uint8Array | undefined;
  /** Wishes that the roster has: to be noted. */
  readonly fulfilled: readonly Wish[];
  /** Wishes that a former roster has: they need not be kept. */
  readonly over: readonly Wish[];
  /** Who signs what follows a roster that is not known here: two were put together at one moment, or this site is behind. */
  readonly elsewhere: readonly { readonly siteId: SiteId; readonly roster: RosterHash }[];
}

/** A next roster that somebody has signed. */
interface Proposal {
  readonly body: RosterBody;
  readonly change: RosterChange;
  readonly signatures: Map<SiteId, { readonly log: Log; readonly consent: Stated<"consent"> }>;
}

export function membershipSteps(facts: StepFacts): MembershipSteps {
  const { roster, siteId } = facts;
  const isMember = (site: SiteId): boolean => roster.members.some((member) => member.siteId === site);
  const noted = facts.wishes.filter((wish) => isNoted(wish, facts));
  const others = facts.wishes.filter((wish) => !noted.includes(wish));
  const open = others.filter((wish) => !isFulfilled(wish, roster));
  const proposals = proposalsOf(facts, isMember);
  // One that is out can say nothing more.
  const own = isMember(siteId) ? facts.consents.filter(({ log }) => log.certificate.siteId === siteId) : [];
  const leaving = newestOfLeaving(proposals.filter((proposal) => isLeaving(proposal, open, facts)));
  const bodies = [...leaving, ...open.flatMap((wish) => bodiesFor(wish, proposals, facts))];
  const chosen = isMember(siteId) ? mostSigned(bodies, own) : new Map<RosterHash, Uint8Array>();
  const isChosen = ({ statement: { roster: hash, body } }: Stated<"consent">): boolean =>
    Buffer.compare(chosen.get(hash) ?? Buffer.alloc(0), body) === 0;
  const consents = own.map(({ consent }) => consent);
  const signed = new Set(consents.filter(isChosen).map(({ statement }) => statement.roster));
  return {
    // Never again what is said already: each consent makes all look at once more.
    sign: [...chosen].flatMap(([hash, body]) => (signed.has(hash) ? [] : [body])),
    withdraw: consents.filter((consent) => !isChosen(consent)),
    roster: agreedRoster(roster, proposals),
    fulfilled: others.filter((wish) => isFulfilled(wish, roster)),
    over: noted.filter((wish) => wish.action !== "rekey" && wish.in !== roster.hash),
    elsewhere: elsewhereOf(facts),
  };
}

/** Whether a roster of the chain is noted to have it. */
export const isNoted = (wish: Wish, { hasRoster }: Pick<StepFacts, "hasRoster">): boolean =>
  wish.action !== "rekey" && wish.in !== undefined && hasRoster(wish.in);

/** A new recovery key is wished as long as no roster has it. */
export const isFulfilled = ({ action, siteId }: Wish, { members }: Roster): boolean =>
  action !== "rekey" && members.some((member) => member.siteId === siteId) === (action === "admit");

/** A body that grants a wish, and whoever has signed it. */
interface Candidate {
  readonly body: Pick<RosterBody, "hash" | "body">;
  readonly signatures: { has(site: SiteId): boolean; readonly size: number };
}

/** Of bodies that nobody else has signed: so what others wish too has room at a site that wishes much, and none gives up what another takes up. */
const ALONE_COUNT = limits.consentsPerSiteCount / 2;

/**
 * No more than count of one site: of those that others have signed, and then of the rest, those that most have signed, and of these the ones with
 * the lowest hashes, so that sites that wish the same sign the same.
 */
function mostSigned(candidates: readonly Candidate[], own: StepFacts["consents"]): Map<RosterHash, Uint8Array> {
  const counts = new Map<RosterHash, number>();
  const shared = new Set<RosterHash>();
  for (const { body, signatures } of candidates) {
    const said = own.find(({ consent }) => consent.statement.roster === body.hash);
    const isCounted = said !== undefined && signatures.has(said.log.certificate.siteId);
    counts.set(body.hash, signatures.size + (said === undefined || isCounted ? 0 : 1));
    if (signatures.size > (isCounted ? 1 : 0)) shared.add(body.hash);
  }
  const ranked = candidates.toSorted(
    ({ body: one }, { body: other }) =>
      counts.get(other.hash)! - counts.get(one.hash)! || (one.hash < other.hash ? -1 : 1),
  );
  const all = ranked.map(({ body }) => [body.hash, body.body] as const);
  const alone = all.filter(([hash]) => !shared.has(hash)).slice(0, ALONE_COUNT);
  return new Map([...all.filter(([hash]) => shared.has(hash)), ...alone].slice(0, limits.consentsPerSiteCount));
}

/** Of each member that leaves the body that it has signed last. */
function newestOfLeaving(leaving: readonly Proposal[]): Proposal[] {
  const seqOf = ({ change, signatures }: Proposal): number => signatures.get(change.siteId)!.consent.seq;
  const newest = new Map<SiteId, Proposal>();
  for (const proposal of leaving.toSorted((one, other) => seqOf(one) - seqOf(other)))
    newest.set(proposal.change.siteId, proposal);
  return [...newest.values()];
}

function elsewhereOf({ roster, consents, hasRoster }: StepFacts): MembershipSteps["elsewhere"] {
  return newestOfEach(consents).flatMap(({ log, consent }) => {
    const previous = readIn(roster, consent.statement.body)?.body.previous;
    if (previous === undefined || previous === null || previous === roster.hash || hasRoster(previous)) return [];
    return [{ siteId: log.certificate.siteId, roster: previous }];
  });
}

const isWished = (wish: Wish, change: RosterChange): boolean =>
  wish.action === change.action &&
  wish.siteId === change.siteId &&
  (wish.action !== "rekey" || change.action !== "rekey" || wish.link.hash === change.link.hash);

/**
 * Whether another member has signed its own removal: who wants to leave needs nobody's decision. Where people here have decided about that
 * member too, their wish counts, with its heads.
 */
function isLeaving({ change, signatures }: Proposal, open: readonly Wish[], facts: StepFacts): boolean {
  const { siteId, headsOf, isFull } = facts;
  if (change.action !== "remove" || change.siteId === siteId || !signatures.has(change.siteId)) return false;
  const hasDecided = open.some((wish) => wish.siteId === change.siteId && wish.action !== "rekey");
  return !hasDecided && (isFull(change.siteId) || areKnown(change.heads, headsOf(change.siteId)));
}

/** The bodies that follow the roster, by ascending hash, with the members that have signed them. */
function proposalsOf({ roster, consents }: StepFacts, isMember: (siteId: SiteId) => boolean): Proposal[] {
  const proposals = new Map<RosterHash, Proposal>();
  for (const { log, consent } of newestOfEach(consents)) {
    const { roster: hash, body, signature } = consent.statement;
    const { siteId } = log.certificate;
    if (!isMember(siteId)) continue;
    const proposal = proposals.get(hash) ?? proposalIn(roster, hash, body);
    if (proposal === undefined || !isRosterSignature(proposal.body.body, signature, log)) continue;
    proposals.set(hash, proposal);
    proposal.signatures.set(siteId, { log, consent });
  }
  return [...proposals.values()].sort((one, other) => (one.body.hash < other.body.hash ? -1 : 1));
}

/** Of each site no more than so many: what a hostile one writes costs the others little. */
function newestOfEach(consents: StepFacts["consents"]): StepFacts["consents"] {
  const counts = new Map<SiteId, number>();
  const newestFirst = consents.toSorted((one, other) => other.consent.seq - one.consent.seq);
  return newestFirst.filter(({ log }) => {
    const count = (counts.get(log.certificate.siteId) ?? 0) + 1;
    counts.set(log.certificate.siteId, count);
    return count <= limits.consentsPerSiteCount;
  });
}

/** With no change where it does not follow the roster. */
interface ReadProposal {
  readonly body: RosterBody;
  readonly change: RosterChange | undefined;
}

/** What was read of a consent's bytes last: it is asked for with each entry that comes, and reading costs far more than all else. */
const readLast = new WeakMap<Uint8Array, { readonly roster: RosterHash; readonly read: ReadProposal | undefined }>();

function proposalIn(roster: Roster, hash: RosterHash, bytes: Uint8Array): Proposal | undefined {
  const { body, change } = readIn(roster, bytes) ?? {};
  return body?.hash === hash && change !== undefined ? { body, change, signatures: new Map() } : undefined;
}

function readIn(roster: Roster, bytes: Uint8Array): ReadProposal | undefined {
  let last = readLast.get(bytes);
  if (last?.roster !== roster.hash) {
    last = { roster: roster.hash, read: readProposal(roster, bytes) };
    readLast.set(bytes, last);
  }
  return last.read;
}

function readProposal(roster: Roster, bytes: Uint8Array): ReadProposal | undefined {
  try {
    const body = parseRosterBody(bytes);
    return { body, change: changeOf(roster, body) };
  } catch (error) {
    if (isCostorError(error)) return undefined;
    throw error;
  }
}

/** Every body of others that grants the wish, or one of its own while there is none. */
function bodiesFor(wish: Wish, proposals: readonly Proposal[], facts: StepFacts): Candidate[] {
  const acceptable = proposals.filter(({ change }) => isWished(wish, change) && isAcceptable(wish, change, facts));
  if (acceptable.length > 0) return acceptable;
  const next = applyChange(facts.roster, ownChange(wish, facts));
  if (next === undefined) return [];
  try {
    return [{ body: parseRosterBody(encodeRosterBody(next)), signatures: new Map() }];
  } catch (error) {
    // The federation is as large as it may be.
    if (isCostorError(error, "limit-exceeded")) return [];
    throw error;
  }
}

function ownChange(wish: Wish, facts: StepFacts): RosterChange {
  const { inviterOf, roster } = facts;
  if (wish.action === "admit") return { ...wish, inviter: memberOrNull(roster, inviterOf(wish.siteId)) };
  return wish.action === "remove" ? { ...wish, heads: decidedHeads(wish, facts) } : wish;
}

/** As they were when it was decided, but for logs that do not count any more, since the site has another recovery key. */
function decidedHeads({ siteId, heads }: Extract<Wish, { action: "remove" }>, { headsOf }: StepFacts): readonly Head[] {
  const known = headsOf(siteId);
  return heads.filter(({ logId }) => known.some((head) => head.logId === logId));
}

const memberOrNull = ({ members }: Roster, siteId: SiteId | null): SiteId | null =>
  members.some((member) => member.siteId === siteId) ? siteId : null;

/**
 * Of a guest, that the right member stands for it. Of a removal, that it hides nothing that was known when it was decided,
 * and lets in nothing that is not known now; but a site that has used its room, so that not all know the same of it, is not kept in by that.
 */
function isAcceptable(wish: Wish, change: RosterChange, facts: StepFacts): boolean {
  const { roster, inviterOf, headsOf } = facts;
  if (change.action === "admit") return change.inviter === memberOrNull(roster, inviterOf(change.siteId));
  if (change.action === "rekey") return true;
  if (wish.action !== "remove") return false;
  if (facts.isFull(change.siteId)) return true;
  return areKnown(decidedHeads(wish, facts), change.heads) && areKnown(change.heads, headsOf(change.siteId));
}

/** Whether none of the heads is above what is known of its log. */
const areKnown = (heads: readonly Head[], known: readonly Head[]): boolean =>
  heads.every(({ logId, seq }) => seq <= (known.find((head) => head.logId === logId)?.seq ?? -1));

/** Of several, the one whose hash is lower. */
function agreedRoster(roster: Roster, proposals: readonly Proposal[]): Uint8Array | undefined {
  const agreed = proposals.find(({ change, signatures }) => isEnough(roster, change, signatures.keys()));
  if (agreed === undefined) return undefined;
  const signers = [...agreed.signatures.entries()].sort(([one], [other]) => (one < other ? -1 : 1));
  return encodeRoster(
    agreed.body.body,
    signers.map(([, { log, consent }]) => ({ certificate: log.bytes, signature: consent.statement.signature })),
  );
}
