/**
 * How a newcomer asks a member to let it in, over a channel of `/costor/join/1`: one question, one answer. It asks again until
 * people have decided. docs/specs/membership.md, "Joining"
 *
 * The inviter gives away nothing but its certificate and the rosters, and those after the first only when it has accepted; the
 * joiner believes nothing that does not follow from its invitation.
 */
import * as v from "valibot";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type Log, openLog } from "./entry.ts";
import type { Invitation } from "./invitation.ts";
import { joinWords } from "./join-words.ts";
import { type Membership, checkedChain, peerKeyOf } from "./membership.ts";
import type { Channel, Protocol } from "./peers.ts";
import { bytes, bytesOf, readMessage } from "./message-schema.ts";
import { receiveChain } from "./received-chain.ts";
import { isProven } from "./recovery-keys.ts";

export const joinProtocol: Protocol = {
  name: "/costor/join/1",
  maxFrameBytes: limits.rosterBytes + 8 * 1024,
  maxChannelsPerPeerCount: 1,
};

/** Who asks to be let in. */
export interface Joiner {
  readonly site: SiteId;
  /** What it calls itself. */
  readonly name: string;
  readonly certificate: Uint8Array;
}

export interface InviterComponents {
  readonly membership: Pick<Membership, "rosters" | "roleOf" | "agreedLinks">;
  /** This site's own. */
  readonly log: Log;
  readonly invitations: {
    /**
     * Somebody shows a secret: the invitation is the joiner's from then on. Durable before it resolves. Throws
     * `invitation-invalid` for one that is unknown, expired, or another site's.
     */
    show(secret: Uint8Array, joiner: Joiner): Promise<{ readonly state: string }>;
    /** Asked before anything that costs more: false for a guess after too many of them. */
    listens(secret: Uint8Array): boolean;
  };
}

export type JoinState = "waiting" | "accepted" | "refused";

export interface JoinAnswer {
  readonly state: JoinState;
  /** Of the inviter. */
  readonly inviter: Log;
  readonly federationName: string;
  readonly words: readonly string[];
  /** The whole chain, checked, once it is accepted: for {@link Membership.enter}. */
  readonly rosters: readonly Uint8Array[];
}

const requestSchema = v.strictObject({
  secret: bytesOf(16),
  certificate: bytes,
  name: v.pipe(v.string(), v.maxLength(limits.ledgerTextCharacters), v.regex(/^\P{Cc}*$/u)),
});
const answerSchema = v.strictObject({
  state: v.picklist(["waiting", "accepted", "refused"]),
  certificate: bytes,
  roster: bytes,
});

/**
 * The inviter's side: answers one question. A secret that is not good is refused like one that people have refused. Throws
 * `peer-misbehaved`, `peer-unreachable`, `too-many-requests`.
 */
export async function answerJoin(channel: Channel, components: InviterComponents): Promise<void> {
  const frame = await channel.receive();
  if (frame === undefined) return channel.close();
  const { secret, joiner } = readRequest(frame, channel, components);
  const state = await stateOf(secret, joiner, components);
  const chain = components.membership.rosters();
  const first = await chain.next();
  if (first.done === true) throw new CostorError("not-in-federation", "nobody can join what is not there");
  await channel.send(encodeCbor({ state, certificate: components.log.bytes, roster: first.value }));
  if (state === "accepted") for await (const roster of chain) await channel.send(roster);
  await channel.close();
}

function readRequest(
  frame: Uint8Array,
  { peer }: Channel,
  { membership, invitations }: InviterComponents,
): { secret: Uint8Array; joiner: Joiner } {
  try {
    if (frame.length > limits.joinRequestBytes)
      throw new CostorError("limit-exceeded", `a joiner sends at most ${limits.joinRequestBytes} bytes`);
    const { secret, certificate, name } = readMessage(requestSchema, frame, "a message of joining");
    if (!invitations.listens(secret)) throw new CostorError("too-many-requests", "too many guess at an invitation");
    const log = openLog(certificate);
    if (peerKeyOf(log) !== peer) throw new CostorError("signature-invalid", "the certificate is another machine's");
    const { siteId, chain } = log.certificate;
    if (!isProven(chain, membership.agreedLinks(siteId)))
      throw new CostorError("signature-invalid", "members of this federation have not agreed on the recovery key");
    return { secret, joiner: { site: log.certificate.siteId, name, certificate } };
  } catch (cause) {
    if (isCostorError(cause, "too-many-requests")) throw cause;
    throw new CostorError("peer-misbehaved", "a peer asks to join with what is no request", { cause });
  }
}

async function stateOf(
  secret: Uint8Array,
  joiner: Joiner,
  { membership, invitations }: InviterComponents,
): Promise<JoinState> {
  const { role } = membership.roleOf(joiner.site);
  // One that was let in may ask again for what it has missed, also when the invitation is over.
  if (role === "member" || role === "guest") return "accepted";
  try {
    const { state } = await invitations.show(secret, joiner);
    return state === "refused" ? "refused" : "waiting";
  } catch (error) {
    if (isCostorError(error, "invitation-invalid")) return "refused";
    throw error;
  }
}

export interface JoinInit {
  readonly invitation: Invitation;
  /** This site's own. */
  readonly log: Log;
  readonly name: string;
  readonly signal?: AbortSignal;
}

/**
 * The joiner's side: asks once. Throws `peer-misbehaved` for an answer that is not of the inviter or its federation,
 * `peer-unreachable`, and the signal's reason.
 */
export async function askToJoin(channel: Channel, init: JoinInit): Promise<JoinAnswer> {
  const { invitation, log, name, signal } = init;
  try {
    await channel.send(encodeCbor({ secret: invitation.secret, certificate: log.bytes, name }));
    const answer = readAnswer(await receiveChain(channel, signal), channel, init);
    await channel.close();
    return answer;
  } catch (error) {
    channel.abort();
    throw error;
  }
}

function readAnswer([first, ...later]: readonly Uint8Array[], { peer }: Channel, init: JoinInit): JoinAnswer {
  const { federationId, peer: invitingPeer } = init.invitation;
  try {
    if (first === undefined) throw new CostorError("bad-encoding", "no answer");
    const { state, certificate, roster } = readMessage(answerSchema, first, "a message of joining");
    const inviter = openLog(certificate);
    if (peer !== invitingPeer || peerKeyOf(inviter) !== invitingPeer)
      throw new CostorError("signature-invalid", "the certificate is not that of the inviter");
    const rosters = [roster, ...later];
    const chain = checkedChain(rosters, federationId);
    const isMember = chain.at(-1)!.members.some(({ siteId }) => siteId === inviter.certificate.siteId);
    if (state === "accepted" && !isMember)
      throw new CostorError("roster-invalid", "the inviter is no member of its federation");
    return {
      state,
      inviter,
      federationName: chain[0]!.name,
      words: joinWords(federationId, inviter, init.log),
      rosters: state === "accepted" ? rosters : [],
    };
  } catch (cause) {
    throw new CostorError("peer-misbehaved", "the answer is not that of the inviter", { cause });
  }
}
