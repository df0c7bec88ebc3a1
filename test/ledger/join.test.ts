/**
 * Goal: a newcomer that a member's people let in ends with the federation's chain and words that both sides compute alike; nobody
 * else gets in, or learns more than that a federation is there. Method: both sides over channels in memory; each rule broken.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type Invitation, formatInvitation, parseInvitation } from "#ledger/invitation.ts";
import { joinWords } from "#ledger/join-words.ts";
import {
  type InviterComponents,
  type JoinAnswer,
  type Joiner,
  answerJoin,
  askToJoin,
  joinProtocol,
} from "#ledger/join.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { Replica, exchange } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("joining");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);
const hashOf = (secret: Uint8Array): string => createHash("sha256").update(secret).digest("hex");

/** The inviter's memory of its invitations: one, which its first shower has. */
class OneInvitation {
  readonly secretHash: string;
  joiner: Joiner | undefined;
  state = "open";

  constructor(secret: Uint8Array) {
    this.secretHash = hashOf(secret);
  }

  isFlooded = false;

  listens(secret: Uint8Array): boolean {
    return !this.isFlooded || hashOf(secret) === this.secretHash;
  }

  async show(secret: Uint8Array, joiner: Joiner): Promise<{ state: string }> {
    if (hashOf(secret) !== this.secretHash || (this.joiner ?? joiner).site !== joiner.site)
      throw new CostorError("invitation-invalid", "unknown or used");
    this.joiner ??= joiner;
    return { state: this.state };
  }
}

async function invite() {
  const inviter = await Replica.found("inviter");
  const secret = randomBytes(16);
  const invitations = new OneInvitation(secret);
  const invitation: Invitation = {
    addresses: ["/ip4/192.0.2.1/tcp/4001"],
    expiresMs: 1,
    federationId: inviter.membership.federationId!,
    secret,
    peer: peerKeyOf(inviter.author.log),
  };
  const components = { membership: inviter.membership, log: inviter.author.log, invitations };
  return { inviter, invitations, invitation, components };
}

async function ask(joiner: Replica, invitation: Invitation, components: InviterComponents): Promise<JoinAnswer> {
  const { log } = joiner.author;
  const { channels } = channelPair(joinProtocol, { peers: [peerKeyOf(components.log), peerKeyOf(log)] });
  const [answer] = await Promise.all([
    askToJoin(channels[0], { invitation, log, name: "Sea School" }),
    answerJoin(channels[1], components),
  ]);
  return answer;
}

test("whoever is let in gets the chain, and both sides compute the same words", async () => {
  const { inviter, invitations, invitation, components } = await invite();
  const joiner = await Replica.open("joiner");
  const waiting = await ask(joiner, parseInvitation(formatInvitation(invitation)), components);
  assert.deepEqual([waiting.state, waiting.federationName, waiting.rosters], ["waiting", "Schools", []]);
  assert.equal(waiting.words.length, 8);
  assert.deepEqual(waiting.words, joinWords(inviter.membership.federationId!, inviter.author.log, joiner.author.log));
  assert.equal(invitations.joiner?.name, "Sea School");
  const { site, name, certificate } = invitations.joiner!;
  await inviter.own.write({ kind: "guest", site, name, certificate: Buffer.from(certificate) });
  const accepted = await ask(joiner, invitation, components);
  assert.equal(accepted.state, "accepted");
  await joiner.membership.enter(accepted.rosters, invitation.federationId);
  await joiner.ledger.offer({ certificates: [accepted.inviter.bytes] });
  await exchange(joiner, inviter);
  assert.equal(joiner.membership.roleOf(joiner.siteId).role, "guest");
  assert.equal(joiner.ledger.digest(), inviter.ledger.digest());
  // It asks once more, long after the invitation has ended.
  const again = await ask(joiner, { ...invitation, secret: randomBytes(16) }, components);
  assert.equal(again.state, "accepted");
});

test("a wrong secret, one that another has shown, and a refusal look alike", async () => {
  const { invitations, invitation, components } = await invite();
  const [first, second] = [await Replica.open("first"), await Replica.open("second")];
  const wrong = await ask(second, { ...invitation, secret: randomBytes(16) }, components);
  assert.equal((await ask(first, invitation, components)).state, "waiting");
  const used = await ask(second, invitation, components);
  assert.equal((await ask(first, invitation, components)).state, "waiting");
  invitations.state = "refused";
  const refused = await ask(first, invitation, components);
  for (const answer of [wrong, used, refused]) assert.deepEqual([answer.state, answer.rosters], ["refused", []]);
});

test("what is no request of the machine that sends it is left without an answer", async () => {
  const { invitations, invitation, components } = await invite();
  const [joiner, other] = [await Replica.open("joiner"), await Replica.open("other")];
  const good = { secret: invitation.secret, certificate: joiner.author.log.bytes, name: "Sea School" };
  const bad: Record<string, Uint8Array> = {
    "no message": Buffer.from("nothing"),
    "a secret of 15 bytes": encodeCbor({ ...good, secret: Buffer.alloc(15) }),
    "another machine's certificate": encodeCbor({ ...good, certificate: other.author.log.bytes }),
    "a name with a control character": encodeCbor({ ...good, name: "a\u0007" }),
    "a name that is too long": encodeCbor({ ...good, name: "n".repeat(limits.ledgerTextCharacters + 1) }),
    "a field too many": encodeCbor({ ...good, more: 1 }),
    "a frame that is too long": Buffer.concat([encodeCbor(good), Buffer.alloc(limits.joinRequestBytes)]),
  };
  for (const [what, frame] of Object.entries(bad)) {
    const { channels } = channelPair(joinProtocol, { peers: [invitation.peer, peerKeyOf(joiner.author.log)] });
    await channels[0].send(frame);
    await assert.rejects(answerJoin(channels[1], components), hasCode("peer-misbehaved"), what);
  }
  assert.equal(invitations.joiner, undefined);
});

test("the joiner believes nobody but the inviter of its invitation, and no chain but its federation's", async () => {
  const { inviter, invitation, components } = await invite();
  const [joiner, thief] = [await Replica.open("joiner"), await Replica.found("thief", "other")];
  const { log } = joiner.author;
  const [real] = await Array.fromAsync(inviter.membership.rosters());
  const [forged] = await Array.fromAsync(thief.membership.rosters());
  const certificate = inviter.author.log.bytes;
  const good = { state: "accepted", certificate, roster: real! };
  const answers: Record<string, Uint8Array[]> = {
    "no answer": [],
    "another certificate": [encodeCbor({ ...good, certificate: thief.author.log.bytes })],
    "another federation": [encodeCbor({ ...good, roster: forged! })],
    "a chain that does not follow": [encodeCbor(good), forged!],
    "an unknown state": [encodeCbor({ ...good, state: "king" })],
    "too long a chain": [encodeCbor(good), ...Array.from({ length: 300 }, () => Buffer.alloc(limits.rosterBytes))],
  };
  for (const [what, frames] of Object.entries(answers)) {
    const { channels } = channelPair(joinProtocol, {
      peers: [invitation.peer, peerKeyOf(log)],
      mostWaitingCount: 1000,
    });
    for (const frame of frames) await channels[1].send(frame);
    await channels[1].close();
    await assert.rejects(askToJoin(channels[0], { invitation, log, name: "" }), hasCode("peer-misbehaved"), what);
    await assert.rejects(
      channels[1].send(Buffer.alloc(1)),
      hasCode("peer-unreachable"),
      `${what}: the channel has ended`,
    );
  }
  // One between passes the inviter's answer on.
  const between = channelPair(joinProtocol, { peers: [peerKeyOf(thief.author.log), peerKeyOf(log)] }).channels;
  await between[1].send(encodeCbor(good));
  await between[1].close();
  await assert.rejects(askToJoin(between[0], { invitation, log, name: "" }), hasCode("peer-misbehaved"));
  // The inviter is none of its federation.
  const other = {
    ...components,
    membership: {
      rosters: () => inviter.membership.rosters(),
      agreedLinks: () => [],
      roleOf: () => ({ role: "member", inviter: null }) as const,
    },
  };
  const stranger = await Replica.open("stranger");
  const asStranger = { ...invitation, peer: peerKeyOf(stranger.author.log) };
  await assert.rejects(ask(joiner, asStranger, { ...other, log: stranger.author.log }), hasCode("peer-misbehaved"));
});

test("an invitation survives upper case and white space, and no change of a character", async () => {
  const { invitation } = await invite();
  const text = formatInvitation(invitation);
  for (const form of [text, ` ${text}\n`, text.toUpperCase()])
    assert.deepEqual(plain(parseInvitation(form)), plain(invitation));
  for (let at = 0; at < text.length; at++) {
    const changed = text.slice(0, at) + (text[at] === "a" ? "b" : "a") + text.slice(at + 1);
    assert.throws(() => parseInvitation(changed), hasCode("invitation-invalid"), `character ${at}`);
    assert.throws(() => parseInvitation(text.slice(0, at)), hasCode("invitation-invalid"), `cut at ${at}`);
  }
  assert.throws(
    () => parseInvitation(`costor-join1-${"a".repeat(limits.invitationCharacters)}`),
    hasCode("invitation-invalid"),
  );
  const addresses = Array.from({ length: limits.ledgerAddressesCount }, () =>
    "/".padEnd(limits.ledgerTextCharacters, "a"),
  );
  assert.ok(formatInvitation({ ...invitation, addresses }).length <= limits.invitationCharacters);
  for (const bad of [[], [...addresses, "/"], [""], ["/ip4 "], ["/".padEnd(limits.ledgerTextCharacters + 1, "a")]])
    assert.throws(() => formatInvitation({ ...invitation, addresses: bad }), hasCode("invitation-invalid"));
});
const plain = (invitation: Invitation) => ({ ...invitation, secret: Buffer.from(invitation.secret) });

test("after too many guesses only who has a secret is listened to", async () => {
  const { invitation, invitations, components } = await invite();
  invitations.isFlooded = true;
  const joiner = await Replica.open("joiner");
  assert.equal((await ask(joiner, invitation, components)).state, "waiting");
  const guess = { ...invitation, secret: randomBytes(16) };
  const { channels } = channelPair(joinProtocol, {
    peers: [peerKeyOf(components.log), peerKeyOf(joiner.author.log)],
  });
  const asked = askToJoin(channels[0], { invitation: guess, log: joiner.author.log, name: "Sea School" });
  asked.catch(() => undefined);
  await assert.rejects(answerJoin(channels[1], components), hasCode("too-many-requests"));
  channels[1].abort();
  await assert.rejects(asked);
});

test.run();
