/**
 * Goal: an invitation lets in the one for whom people confirm it, and tells strangers nothing. Method: strangers that ask to join by hand a
 * real site that has an invitation open: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { joinProtocol } from "#ledger/join.ts";
import { FederationService } from "#node/federation/federation-service.ts";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import { HostileMember } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { count } from "#test/support/level.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile joining", { timeoutMs: 60_000 });
/** So short that nothing else comes due. */
const LIFE_MS = 1000;
const NEWCOMER = /shows an invitation/;
const UNKNOWN = /unknown, used or expired/;

const request = ({ author }: HostileMember, secret: Uint8Array, changes: CborMap = {}): Buffer =>
  encodeCbor({ secret, certificate: author.log.bytes, name: "a school", ...changes });

/** The state that comes back, or "ended"; nothing but the first roster is told. */
async function ask(stranger: HostileMember, frame: Uint8Array): Promise<string> {
  const channel = await stranger.open(joinProtocol);
  const answer = await stranger.ask(channel, frame);
  if (answer === undefined) return "ended";
  assert.equal(await channel.receive(), undefined, "rosters are for those who are accepted");
  await channel.close();
  return (decodeCbor(answer) as { state: string }).state;
}

let strangersCount = 0;
/** With an invitation open, attacks as somebody who is no member. */
const joining = (
  title: string,
  told: RegExp,
  attack: (stranger: HostileMember, secret: Buffer, siege: Siege) => Promise<void>,
): HostileCase => ({
  title,
  told,
  attack: async (siege) => {
    const { invitations, membership } = siege.victim.parts;
    const { secret } = await invitations.issue("a school", LIFE_MS);
    const stranger = await HostileMember.start(`stranger ${++strangersCount}`, siege.target, { isStranger: true });
    try {
      await attack(stranger, secret, siege);
      assert.equal(membership.roleOf(stranger.siteId).role, "none");
    } finally {
      await stranger[Symbol.asyncDispose]();
      // What is open lets strangers in, who would be told of.
      siege.victim.clock.pass(LIFE_MS);
    }
  },
});
const wrongRequest = (title: string, changes: (stranger: HostileMember, siege: Siege) => CborMap) =>
  joining(`${title} ends the channel`, /no request/, async (stranger, secret, siege) => {
    assert.equal(await ask(stranger, request(stranger, secret, changes(stranger, siege))), "ended");
  });

const cases: HostileCase[] = [
  joining("a guessed secret is refused", UNKNOWN, async (stranger) => {
    assert.equal(await ask(stranger, request(stranger, randomBytes(16))), "refused");
  }),
  joining("a flood of guesses is refused, and told once", UNKNOWN, async (stranger) => {
    for (let at = 0; at < count(50, limits.strangersPerMinuteCount); at++)
      assert.equal(await ask(stranger, request(stranger, randomBytes(16))), "refused");
  }),
  joining("an invitation whose time is over is refused", UNKNOWN, async (stranger, secret, siege) => {
    siege.victim.clock.pass(LIFE_MS);
    await siege.victim.parts.invitations.issue("another school");
    assert.equal(await ask(stranger, request(stranger, secret)), "refused");
  }),
  joining("another site with the same secret is refused", UNKNOWN, async (stranger, secret, siege) => {
    const invited = new LedgerAuthor("invited");
    const newcomer = { site: invited.siteId, name: "invited", certificate: invited.log.bytes };
    await siege.victim.parts.invitations.show(secret, newcomer);
    assert.equal(await ask(stranger, request(stranger, secret)), "refused");
  }),
  joining("who is refused once is refused for good", NEWCOMER, async (stranger, secret, siege) => {
    assert.equal(await ask(stranger, request(stranger, secret)), "waiting");
    await siege.victim.parts.invitations.settle(stranger.siteId, "refused");
    assert.equal(await ask(stranger, request(stranger, secret)), "refused");
  }),
  joining("words that are not the ones let nobody in", NEWCOMER, async (stranger, secret, { victim }) => {
    assert.equal(await ask(stranger, request(stranger, secret)), "waiting");
    const { federation, clock, author } = victim;
    const rng = { bytes: randomBytes, fraction: Math.random };
    const init = { siteName: "victim", peerSeed: author.seed };
    const requestedKit = { read: () => Promise.reject(new Error()), remove: () => Promise.reject(new Error()) };
    const components = { federation, clock, rng, requestedKit, status: () => Promise.reject(new Error()) };
    const service = new FederationService(components, init);
    const words = service.newcomers()[0]!.words.toReversed().join(" ");
    await assert.rejects(service.confirm(stranger.siteId, words), { code: "words-differ" });
  }),
  joining("a name of a thousand characters ends the channel", /no request/, async (stranger, secret) => {
    assert.equal(await ask(stranger, request(stranger, secret, { name: "x".repeat(1000) })), "ended");
  }),
  wrongRequest("a name with control characters", () => ({ name: "\u001b[2Jroot" })),
  wrongRequest("a certificate of another machine", (_, { honest }) => ({ certificate: honest.author.log.bytes })),
  wrongRequest("a certificate that is none", () => ({ certificate: randomBytes(200) })),
  wrongRequest("a secret of a thousand bytes", () => ({ secret: randomBytes(1000) })),
  wrongRequest("a request above 4 KiB", () => ({ more: randomBytes(limits.joinRequestBytes) })),
  wrongRequest("a field too many", () => ({ role: "member" })),
];
testHostile(test, cases);
test.run();
