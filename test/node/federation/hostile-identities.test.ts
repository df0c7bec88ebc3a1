/**
 * Goal: nobody speaks as another, votes without a vote, or writes the list of members alone. Method: a hostile member or guest shows
 * certificates and rosters made by hand: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { applyChange } from "#ledger/roster-chain.ts";
import { type RosterFields, encodeRoster, encodeRosterBody, parseRoster, signRosterBody } from "#ledger/roster.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { type EpochCertificate, signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember, ShownLedger } from "#test/support/hostile-member.ts";
import { batch, granted, keptOf, poison, reserve } from "#test/support/hostile-run.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { consentTo, firstRoster, signedRoster } from "#test/support/replica.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile identities", { timeoutMs: 60_000 });

/** What it shows ends the round, told. */
const refused = (
  title: string,
  told: RegExp,
  show: (hostile: HostileMember, siege: Siege) => ShownLedger,
  as?: "guest",
): HostileCase => ({
  title: `${title} is refused`,
  told,
  ...(as && { as }),
  attack: async (siege, hostile) => {
    const shown = show(hostile, siege);
    hostile.showEntries([], shown);
    assert.equal(await siege.pull(hostile), false);
  },
});

/** A chain that follows the victim's newest roster. */
const chain = (siege: Siege, ...rosters: readonly Buffer[]): ShownLedger => {
  const last = parseRoster(rosters.at(-1)!);
  return {
    rosters: [...[siege.victim.parts.membership.roster!.bytes], ...rosters],
    newest: { number: last.number, hash: last.hash },
  };
};
const roster = (siege: Siege) => siege.victim.parts.membership.roster!;
const puppet = (name: string): LedgerAuthor => new LedgerAuthor(`puppet ${name}`);
const admission = (author: LedgerAuthor) => ({ action: "admit" as const, siteId: author.siteId, inviter: null });

/** A certificate of the hostile member's own site for another machine or epoch. */
function certify({ author }: HostileMember, changes: Partial<EpochCertificate>, site: string): Buffer {
  const { seed } = deriveRecoveryKey(createHash("sha256").update(site).digest());
  return signEpochCertificate({ ...author.log.certificate, ...changes }, seed);
}

const cases: HostileCase[] = [
  refused("a roster with a vote of a site that has not voted", /not signed by site/, ({ author }, siege) => {
    const body = encodeRosterBody(applyChange(roster(siege), admission(puppet("a")))!);
    const votes = [author, siege.victim.author].toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1));
    return chain(
      siege,
      encodeRoster(
        body,
        votes.map(({ log }) => ({ certificate: log.bytes, signature: signRosterBody(body, author.seed) })),
      ),
    );
  }),
  refused("a roster that one of three has signed", /more than half/, ({ author }, siege) =>
    chain(siege, siege.rosterAfter(admission(puppet("a")), [author])),
  ),
  refused("a roster that is signed by puppets", /more than half/, ({ author }, siege) =>
    chain(siege, siege.rosterAfter(admission(puppet("a")), [author, puppet("b"), puppet("c")])),
  ),
  refused("a roster with one vote counted twice", /not signed by site/, ({ author }, siege) => {
    const body = encodeRosterBody(applyChange(roster(siege), admission(puppet("a")))!);
    return chain(siege, signedRoster(body, [author, author]));
  }),
  refused("a roster that changes two things at once", /one change/, ({ author }, siege) => {
    const one = applyChange(roster(siege), admission(puppet("a")))!;
    const two = applyChange({ ...one, hash: roster(siege).hash }, admission(puppet("b")))!;
    return chain(siege, signedRoster(encodeRosterBody({ ...two, number: one.number } as RosterFields), [author]));
  }),
  refused("a roster that gives the federation another name", /one change/, ({ author }, siege) => {
    const next = applyChange(roster(siege), admission(puppet("a")))!;
    return chain(siege, signedRoster(encodeRosterBody({ ...next, name: "Mine" }), [author]));
  }),
  refused("a roster that leaves out a number", /out of order/, ({ author }, siege) => {
    const next = { ...applyChange(roster(siege), admission(puppet("a")))!, number: roster(siege).number + 2 };
    return chain(siege, signedRoster(encodeRosterBody(next), [author]));
  }),
  refused("the chain of another federation", /another federation/, ({ author }) => {
    const { bytes } = firstRoster(author, "other");
    return { rosters: [bytes], newest: { number: 4000, hash: "11".repeat(32) } };
  }),
  refused("rosters that are none", /CBOR|not a roster/, () => ({
    rosters: [Buffer.alloc(100, 0xff)],
    newest: { number: 4000, hash: "11".repeat(32) },
  })),
  refused(
    "a guest's roster by which it becomes a member",
    /more than half/,
    ({ author }, siege) => chain(siege, siege.rosterAfter(admission(author), [author])),
    "guest",
  ),
  refused("the certificate of an honest site for one's own log", /not asked for/, (hostile, { honest }) => ({
    certificates: [hostile.author.log.bytes],
    mislabelled: honest.author.log.bytes,
  })),
  refused(
    "a certificate that the site's recovery key has not signed",
    /not signed by the recovery key/,
    ({ author }) => {
      const { body, key, signature } = decodeCbor(author.log.bytes) as Record<string, Uint8Array>;
      return {
        certificates: [encodeCbor({ body: body!, key: key!, signature: Buffer.from(signature!).fill(0, 0, 1) })],
      };
    },
  ),
  refused(
    "a certificate for another site by one's own recovery key",
    /not signed by the recovery key/,
    (hostile, { honest }) => ({
      certificates: [certify(hostile, { siteId: honest.siteId, epoch: 9 }, hostile.name)],
    }),
  ),
  refused("a certificate above 4 KiB", /at most 4096/, () => ({ certificates: [Buffer.alloc(5000)] })),
  refused("a certificate for a key of small order", /small order/, (hostile) => ({
    certificates: [
      certify(hostile, { peerPublicKey: Buffer.from(`01${"00".repeat(31)}`, "hex"), epoch: 2 }, hostile.name),
    ],
  })),
  {
    title: "who names an honest site's machine as its own speaks for nobody, and hides nobody",
    comesFirst: true,
    attack: async (siege, hostile) => {
      const { victim, honest } = siege;
      const { peerPublicKey } = honest.author.log.certificate;
      await victim.parts.ledger.offer({ certificates: [certify(hostile, { peerPublicKey, epoch: 2 }, hostile.name)] });
      assert.equal(victim.parts.membership.siteOfPeer(honest.key), honest.siteId);
    },
  },
  {
    title: "a machine of an epoch that is over is refused a run",
    told: /may not speak/,
    attack: async (siege, hostile) => {
      const newer = new LedgerAuthor(hostile.name, 2);
      await siege.victim.parts.ledger.offer({ certificates: [newer.log.bytes] });
      const channel = await hostile.open(replicateProtocol);
      assert.match(await hostile.codeOf(channel, reserve(siege, hostile)), /^(peer-refused|ended)$/);
    },
  },
  {
    title: "who is expelled in the middle of a run is disconnected, and nothing more of it is kept",
    told: /no member any more/,
    attack: async (siege, hostile) => {
      const channel = await granted(siege, hostile);
      await siege.decide({ action: "remove", siteId: hostile.siteId, heads: [] });
      assert.equal(await hostile.codeOf(channel, batch(poison)), "ended");
      assert.equal(await keptOf(siege, hostile.siteId), 0);
      await siege.until(() => !siege.victim.parts.transport.connected().includes(hostile.key));
      // The honest ones change the list without it.
      await siege.decide({ action: "admit", siteId: hostile.siteId, inviter: null });
    },
  },
  {
    title: "what an expelled site writes beyond its head is not admitted, whoever passes it on",
    attack: async (siege, hostile) => {
      const { ledger } = siege.victim.parts;
      const gone = await siege.hostile("one that is expelled");
      const [first, second] = [gone.author.entry(), gone.author.entry()];
      await ledger.offer({ entries: [first] });
      await gone[Symbol.asyncDispose]();
      await siege.decide({ action: "remove", siteId: gone.siteId, heads: [{ logId: gone.author.log.id, seq: 0 }] });
      hostile.showEntries([first, second], { certificates: [gone.author.log.bytes] });
      assert.equal(await siege.pull(hostile), true);
      assert.deepEqual(await ledger.offer({ entries: [second] }), ["not-allowed"]);
      assert.deepEqual(ledger.log(gone.author.log.id)!.seqs(), [0]);
    },
  },
  {
    title: "a chain of puppets from long ago does not count, though its founder has signed it",
    attack: async (siege, hostile) => {
      const { victim } = siege;
      const { membership } = victim.parts;
      const [first] = await Array.fromAsync(membership.rosters());
      const rosters = [parseRoster(first!)];
      const voters = [victim.author];
      while (rosters.length < roster(siege).number + 3) {
        const next = puppet(`${rosters.length}`);
        const body = encodeRosterBody(applyChange(rosters.at(-1)!, admission(next))!);
        rosters.push(parseRoster(signedRoster(body, voters)));
        voters.push(next);
      }
      const before = roster(siege).hash;
      assert.equal(await membership.offer(rosters.slice(1).map(({ bytes }) => bytes)), false);
      hostile.showEntries([], { rosters: rosters.map(({ bytes }) => bytes), newest: rosters.at(-1)! });
      await siege.pull(hostile);
      assert.equal(roster(siege).hash, before);
    },
  },
  {
    title: "a guest's consents bring no roster about",
    as: "guest",
    attack: async (siege, { author }) => {
      const before = roster(siege).hash;
      const body = encodeRosterBody(applyChange(roster(siege), admission(author))!);
      await siege.victim.parts.ledger.offer({ entries: [author.say(consentTo(body, author))] });
      await siege.synchronise();
      assert.equal(roster(siege).hash, before);
    },
  },
  {
    title: "consents by the dozen bring no roster about",
    attack: async (siege, { author }) => {
      const before = roster(siege).hash;
      const entries = Array.from({ length: 40 }, (_, at) => {
        const body = encodeRosterBody(applyChange(roster(siege), admission(puppet(`${at}`)))!);
        return author.say(consentTo(body, author));
      });
      await siege.victim.parts.ledger.offer({ entries });
      await siege.synchronise();
      assert.equal(roster(siege).hash, before);
    },
  },
  {
    title: "a member lets in eight guests, and no more",
    attack: async (siege, { author, siteId }) => {
      const { ledger, membership } = siege.victim.parts;
      const guests = Array.from({ length: 20 }, (_, at) => puppet(`guest ${at}`));
      const entries = guests.map(({ siteId: site, log }) =>
        author.say({ kind: "guest", site, name: "puppet", certificate: Buffer.from(log.bytes) }),
      );
      await ledger.offer({ entries });
      assert.equal(membership.guestsOf(siteId).length, limits.guestsPerMemberCount);
      assert.equal(
        guests.filter((guest) => membership.roleOf(guest.siteId).role === "guest").length,
        limits.guestsPerMemberCount,
      );
      await siege.synchronise();
    },
  },
  {
    title: "who lets in a site by another's certificate lets in nobody",
    attack: async (siege, { author, siteId }) => {
      const { ledger, membership } = siege.victim.parts;
      const certificate = Buffer.from(puppet("a").log.bytes);
      await ledger.offer({
        entries: [author.say({ kind: "guest", site: puppet("b").siteId, name: "b", certificate })],
      });
      assert.deepEqual(membership.guestsOf(siteId), []);
    },
  },
  {
    title: "hundreds of machines of one site are not all kept",
    attack: async (siege, hostile) => {
      const machines = Array.from({ length: 300 }, (_, at) => new LedgerAuthor(hostile.name, 1, `machine ${at}`));
      const { ledger } = siege.victim.parts;
      await ledger.offer({ certificates: machines.map(({ log }) => log.bytes) });
      assert.equal(ledger.logsOf(hostile.siteId).length, limits.ledgerLogsPerSiteCount);
    },
  },
];
testHostile(test, cases);
test.run();
