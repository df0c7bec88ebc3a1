/**
 * Goal: once a site has a new recovery key, nobody gets anything by the former one, in whatever order replicas learn of it. Method: a thief with
 * the former kit, before and after; sites that restart; all orders of offers.
 */
import assert from "node:assert/strict";
import { answerHello, helloProtocol, sayHello } from "#ledger/hello.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { encodeRoster, encodeRosterBody, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { applyChange } from "#ledger/roster-chain.ts";
import type { LogId } from "#protocol/ids.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { majorityLink, parseMajorityLink, signRecoveryLink } from "#protocol/recovery-chain.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { federationOf, rosterAfter, settle, withMember } from "#test/support/federation.ts";
import { LedgerAuthor, recoveryKeyOf } from "#test/support/ledger-author.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { Replica, pull, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("recovery keys");

const SITE = "site 1";
const former = recoveryKeyOf(SITE);
const fresh = deriveRecoveryKey(Buffer.alloc(32, 77));
const stolen = deriveRecoveryKey(Buffer.alloc(32, 66));

/** The owner's link, or with another key that of a thief who has the former kit. */
const linkTo = (key: Uint8Array, logs: readonly LogId[], owner = new LedgerAuthor(SITE)) =>
  signRecoveryLink({ siteId: owner.siteId, number: 2, key, logs }, former.seed);
const ownersChain = [linkTo(fresh.publicKey, [new LedgerAuthor(SITE).log.id])];
const chainStatement = (chain: readonly Buffer[], { siteId }: LedgerAuthor) =>
  ({ kind: "recovery-key", site: siteId, chain }) as const;

function copyOf({ values }: MemoryLedgerStore): MemoryLedgerStore {
  const copy = new MemoryLedgerStore();
  for (const [key, value] of values) copy.values.set(key, value);
  return copy;
}

async function says(answerer: Replica, machine: LedgerAuthor): Promise<boolean> {
  const peers = [peerKeyOf(answerer.author.log), peerKeyOf(machine.log)] as const;
  const { channels } = channelPair(helloProtocol, { peers: [...peers] });
  const [{ isKnown }] = await Promise.all([sayHello(channels[0], machine.log), answerHello(channels[1], answerer)]);
  return isKnown;
}

test("after a replacement the site writes on in its log, and a machine of the former key is refused", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  assert.deepEqual(await one.ledger.offer({ entries: [entry] }), ["admitted"]);
  assert.deepEqual(one.events.at(-1), { event: "recovery-key", siteId: other.siteId, number: 2 });
  const next = await other.own.write({ kind: "loss", owner: one.siteId, slice: 1, count: 1 });
  assert.deepEqual(await one.ledger.offer({ entries: [next] }), ["admitted"]);
  const thief = new LedgerAuthor(SITE, 9, "thief");
  for (const replica of [one, await one.reopened()]) {
    assert.equal(await says(replica, thief), false);
    assert.equal(replica.membership.peerOf(other.siteId), peerKeyOf(other.author.log));
    const admissions = await replica.ledger.offer({ certificates: [thief.log.bytes], entries: [thief.entry()] });
    assert.deepEqual(admissions, ["not-allowed"]);
  }
});

test("a thief who came first is out as soon as the replacement is known, with all that he said", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  await settle([one, other]);
  const before = one.ledger.digest();
  const thief = new LedgerAuthor(SITE, 9, "thief");
  assert.equal(await says(one, thief), true);
  await one.ledger.offer({ entries: [thief.entry(), thief.retire(other.author.log, [0, 2 ** 40])] });
  assert.equal(one.membership.peerOf(other.siteId), peerKeyOf(thief.log));
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  await one.ledger.offer({ entries: [entry] });
  await settle([one, other]);
  for (const replica of [one, await one.reopened()]) {
    assert.equal(replica.membership.peerOf(other.siteId), peerKeyOf(other.author.log));
    assert.equal(replica.ledger.log(thief.log.id), undefined);
    assert.equal(replica.ledger.digest(), other.ledger.digest());
    assert.notEqual(replica.ledger.digest(), before);
    assert.deepEqual(
      replica.ledger.headsOf(other.siteId).map(({ logId }) => logId),
      [other.author.log.id],
    );
  }
});

test("a new machine with the new kit brings the chain to those who have not heard of it", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const thief = new LedgerAuthor(SITE, 50, "thief");
  assert.equal(await says(one, thief), true);
  const next = new LedgerAuthor(SITE, 2, "new", { seed: fresh.seed, chain: ownersChain });
  assert.equal(next.siteId, other.siteId);
  assert.equal(await says(one, next), true, "though its epoch is lower");
  for (const replica of [one, await one.reopened()]) {
    assert.equal(replica.membership.siteOfPeer(peerKeyOf(next.log)), other.siteId);
    assert.ok(!replica.membership.peerMayConnect(peerKeyOf(thief.log)));
    assert.equal(replica.ledger.recoveryKeys.chainOf(other.siteId).length, 1);
  }
});

test("the site's certificate, signed anew by the new key, opens the same log and brings the chain along", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  await other.own.write({ kind: "loss", owner: one.siteId, slice: 1, count: 1 });
  await settle([one, other]);
  const thief = new LedgerAuthor(SITE, 9, "thief");
  await one.ledger.offer({ certificates: [thief.log.bytes], entries: [thief.retire(other.author.log, [0, 2 ** 40])] });
  const again = new LedgerAuthor(SITE, 1, "machine", { seed: fresh.seed, chain: ownersChain });
  assert.equal(again.log.id, other.author.log.id);
  await other.ledger.offer({ certificates: [again.log.bytes] });
  // The digests differ, so that each asks the other for logs and their certificates.
  await settle([one, other]);
  for (const replica of [one, await one.reopened()]) {
    assert.equal(replica.membership.peerOf(other.siteId), peerKeyOf(other.author.log));
    assert.deepEqual(replica.ledger.log(again.log.id)!.log.certificate.chain.length, 1);
    assert.equal(replica.ledger.digest(), other.ledger.digest());
  }
});

test("replicas that learn of everything in any order end equal", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  await settle([one, other]);
  const thief = new LedgerAuthor(SITE, 9, "thief");
  const next = new LedgerAuthor(SITE, 2, "new", { seed: fresh.seed, chain: ownersChain });
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  const offers = [
    { certificates: [thief.log.bytes], entries: [thief.entry(), thief.entry()] },
    { entries: [entry] },
    { certificates: [next.log.bytes], entries: [next.entry()] },
    { certificates: [thief.log.bytes], entries: [thief.entry()] },
  ];
  const orders = [
    [0, 1, 2, 3],
    [1, 0, 3, 2],
    [2, 0, 1, 3],
    [3, 2, 1, 0],
    [0, 3, 2, 1],
  ];
  const digests = new Set<string>();
  for (const order of orders) {
    const replica = await Replica.open(one.author, copyOf(one.store));
    for (const index of order) await replica.ledger.offer(offers[index]!);
    digests.add(replica.ledger.digest());
    digests.add((await replica.reopened()).ledger.digest());
    assert.equal(replica.ledger.currentLog(other.siteId)!.log.id, next.log.id);
  }
  assert.equal(digests.size, 1);
});

test("of two replacements the one that was here first counts, and the other one is told", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  await one.ledger.offer({ entries: [entry] });
  const rivalChain = [linkTo(stolen.publicKey, [])];
  const thief = new LedgerAuthor(SITE, 9, "thief", { seed: stolen.seed, chain: rivalChain });
  assert.equal(await says(one, thief), false);
  assert.deepEqual(one.events.at(-1), { event: "recovery-key-rival", siteId: other.siteId, number: 2 });
  assert.ok(one.ledger.recoveryKeys.hasRival(other.siteId));
  assert.equal(one.membership.peerOf(other.siteId), peerKeyOf(other.author.log));
  assert.equal(await says(await one.reopened(), thief), false);
});

test("a thief's log that names itself in no link signs no roster", async () => {
  const replicas = (await federationOf(3)) as [Replica, Replica, Replica];
  await settle(replicas);
  const [one, other, third] = replicas;
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  await one.ledger.offer({ entries: [entry] });
  const thief = new LedgerAuthor(SITE, 9, "thief");
  const next = applyChange(one.membership.roster!, { action: "remove", siteId: one.siteId, heads: [] })!;
  const body = encodeRosterBody(next);
  const signatures = [third.author, thief]
    .toSorted((left, right) => (left.siteId < right.siteId ? -1 : 1))
    .map(({ log, seed }) => ({ certificate: log.bytes, signature: signRosterBody(body, seed) }));
  const before = one.membership.roster!.hash;
  assert.equal(await one.membership.offer([encodeRoster(body, signatures)]), false);
  assert.equal(one.membership.roster!.hash, before);
});

/** Four members, and what two of them took over by the vote of a thief who was the second then; the other two have heard of its new kit before. */
async function withThiefsVote() {
  const sites = (await federationOf(4)) as [Replica, Replica, Replica, Replica];
  await settle(sites);
  const [one, owner, third, away] = sites;
  const thief = new LedgerAuthor(SITE, 9, "thief");
  const newcomer = new LedgerAuthor("newcomer");
  for (const { ledger } of [one, third]) await ledger.offer({ certificates: [thief.log.bytes] });
  const body = rosterAfter(one, { members: withMember(one, newcomer) });
  const voted = signedRoster(body, [one.author, third.author, thief]);
  for (const { membership } of [one, third]) assert.equal(await membership.offer([voted]), true);
  const again = new LedgerAuthor(SITE, 1, "machine", { seed: fresh.seed, chain: ownersChain });
  for (const { ledger } of sites) await ledger.offer({ certificates: [again.log.bytes] });
  return { one, owner, third, away, thief, newcomer, voted };
}

test("a roster for which a thief's vote was needed keeps nobody from the ledger who knows of the new kit", async () => {
  const { one, owner, away } = await withThiefsVote();
  await one.own.write({ kind: "loss", owner: away.siteId, slice: 1, count: 1 });
  for (const site of [owner, away]) {
    const { rosterChanged, admittedCount } = await pull(site, one);
    assert.deepEqual([rosterChanged, admittedCount], [false, 1]);
    assert.equal(site.ledger.digest(), one.ledger.digest());
  }
});

test("it counts with what more than half of the members before it have signed after it, and not with less", async () => {
  const { one, third, away, thief, newcomer, voted } = await withThiefsVote();
  const next = rosterAfter(one, { members: withMember(one, new LedgerAuthor("another")) });
  for (const signers of [
    [one.author, third.author, newcomer],
    [one.author, third.author, newcomer, thief],
  ])
    assert.equal(await away.membership.offer([voted, signedRoster(next, signers)]), false);
  const signed = signedRoster(next, [one.author, third.author, away.author, newcomer]);
  assert.equal(await away.membership.offer([voted, signed]), true);
  assert.equal(away.membership.roster!.members.length, 6);
});

test("a key on which members agree by a thief's vote neither speaks for itself nor counts by its site's own voice", async () => {
  const sites = (await federationOf(3)) as [Replica, Replica, Replica];
  await settle(sites);
  const [one, owner, third] = sites;
  const again = new LedgerAuthor(SITE, 1, "machine", { seed: fresh.seed, chain: ownersChain });
  for (const { ledger } of sites) await ledger.offer({ certificates: [again.log.bytes] });
  const bytes = majorityLink({ siteId: third.siteId, number: 2, key: stolen.publicKey, logs: [third.author.log.id] });
  const machine = new LedgerAuthor("site 2", 9, "thief", { seed: stolen.seed, chain: [bytes] });
  const body = rosterAfter(one, { rekey: parseMajorityLink(bytes) });
  const agreed = signedRoster(body, [one.author, new LedgerAuthor(SITE, 9, "thief")]);
  const { hash, number } = parseRosterBody(body);
  const members = withMember(one, new LedgerAuthor("another"));
  const next = encodeRosterBody({ ...one.membership.roster!, number: number + 1, previous: hash, members });
  const offer = (...signers: LedgerAuthor[]): Promise<boolean> =>
    third.membership.offer([agreed, signedRoster(next, signers)]);
  for (const site of [machine, third.author]) assert.equal(await offer(one.author, site), false);
  assert.equal(third.ledger.recoveryKeys.chainOf(third.siteId).length, 0);
  assert.equal(await offer(one.author, owner.author), true, "the two others");
});

test("a thief's vote that was not needed does not make a roster invalid", async () => {
  const { away, one, third, thief } = await withThiefsVote();
  const body = rosterAfter(away, { members: withMember(away, new LedgerAuthor("another")) });
  const roster = signedRoster(body, [one.author, third.author, away.author, thief]);
  assert.equal(await away.membership.offer([roster]), true);
});

test("a chain in an entry that is another site's, or broken, changes nothing", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const foreign = await one.own.write(chainStatement(ownersChain, other.author));
  assert.ok(foreign.length > 0);
  assert.equal(one.ledger.recoveryKeys.chainOf(other.siteId).length, 0, "said by another site");
  const broken = [signRecoveryLink({ siteId: other.siteId, number: 2, key: stolen.publicKey, logs: [] }, stolen.seed)];
  for (const chain of [broken, []]) {
    const entry = await other.own.write(chainStatement(chain, other.author));
    assert.deepEqual(await one.ledger.offer({ entries: [entry] }), ["admitted"]);
    assert.equal(one.ledger.recoveryKeys.chainOf(other.siteId).length, 0);
  }
});

test("the chain outlives the entry that told it", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const entry = await other.own.write(chainStatement(ownersChain, other.author));
  await one.ledger.offer({ entries: [entry] });
  const { seq, logId } = one.ledger.statement(other.siteId, "recovery-key", "")!;
  assert.equal(logId, other.author.log.id);
  other.author.nextSeq = seq + 1;
  await one.ledger.offer({ entries: [other.author.retire(other.author.log, [seq, seq])] });
  assert.equal(one.ledger.statement(other.siteId, "recovery-key", ""), undefined);
  assert.equal((await one.reopened()).ledger.recoveryKeys.chainOf(other.siteId).length, 1);
});

test.run();
