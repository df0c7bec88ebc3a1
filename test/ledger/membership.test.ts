/**
 * Goal: who is a member is what a majority of members has signed, at every site alike, whatever a minority does; who may speak
 * follows from it, and so does what is hidden. Method: replicas that take the steps of members and exchange what they have; forged
 * and misplaced rosters; hostile members that sign what they like.
 */
import assert from "node:assert/strict";

import { changeOf } from "#ledger/roster-chain.ts";
import { type RosterFields, encodeRosterBody, parseRoster, parseRosterBody } from "#ledger/roster.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { LogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, consentTo, exchange, firstRoster, pull, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("membership");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

/** Every two exchange and take their steps, until nothing changes any more. */
async function settle(replicas: readonly Replica[]): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const before = states(replicas);
    for (const one of replicas) {
      await one.step();
      for (const other of replicas) if (one !== other) await exchange(one, other);
    }
    if (states(replicas) === before) return;
  }
  assert.fail("it does not settle");
}
const states = (replicas: readonly Replica[]): string =>
  replicas.map(({ ledger, membership }) => ledger.digest() + membership.roster!.hash).join();

/** A federation of so many members, by all the steps of joining. */
async function federationOf(count: number): Promise<Replica[]> {
  const founder = await Replica.found("site 0");
  const replicas = [founder];
  while (replicas.length < count) {
    const guest = await Replica.open(`site ${replicas.length}`);
    await founder.letIn(guest);
    await pull(guest, founder);
    for (const replica of replicas) replica.wishes.push({ action: "admit", siteId: guest.siteId });
    replicas.push(guest);
    await settle(replicas);
  }
  return replicas;
}

const rosterAfter = (replica: Replica, changes: Partial<RosterFields>): Buffer => {
  const { roster } = replica.membership;
  return encodeRosterBody({ ...roster!, number: roster!.number + 1, previous: roster!.hash, ...changes });
};
const withMember = (replica: Replica, ...added: LedgerAuthor[]): RosterFields["members"] =>
  [...replica.membership.roster!.members, ...added.map(({ siteId }) => ({ siteId, inviter: null }))].sort(
    (one, other) => (one.siteId < other.siteId ? -1 : 1),
  );

test("a guest becomes a member when more than half wish it, at all sites alike", async () => {
  const replicas = await federationOf(4);
  for (const replica of replicas) {
    assert.deepEqual(replica.memberIds, replicas.map(({ siteId }) => siteId).sort());
    assert.equal(replica.membership.roster!.number, 3);
    assert.deepEqual(replica.wishes, []);
    assert.equal(replica.ledger.digest(), replicas[0]!.ledger.digest());
    for (const other of replicas) assert.ok(replica.membership.peerMayConnect(other.membership.peerOf(other.siteId)!));
  }
  const role = replicas[2]!.membership.roleOf(replicas[1]!.siteId);
  assert.deepEqual(role, { role: "member", inviter: replicas[0]!.siteId });
  const consents = replicas.flatMap(({ siteId }) => replicas[0]!.ledger.statements(siteId, "consent"));
  assert.deepEqual(consents, [], "what was signed for a roster that is there is withdrawn");
});

test("half of the members are not enough, and of two both are needed", async () => {
  const replicas = await federationOf(2);
  const guest = await Replica.open("guest");
  await replicas[0]!.letIn(guest);
  replicas[0]!.wishes.push({ action: "admit", siteId: guest.siteId });
  await settle([...replicas, guest]);
  assert.equal(replicas[1]!.membership.roleOf(guest.siteId).role, "guest");
  replicas[1]!.wishes.push({ action: "admit", siteId: guest.siteId });
  await settle([...replicas, guest]);
  assert.equal(guest.membership.roleOf(guest.siteId).role, "member");
});

test("an expelled site is heard up to its head and not beyond, everywhere", async () => {
  const replicas = await federationOf(3);
  const [one, other, expelled] = replicas as [Replica, Replica, Replica];
  await expelled.own.write({ kind: "placement", slice: 1, holders: [] });
  await settle(replicas);
  for (const replica of [one, other]) replica.wishRemoved(expelled.siteId);
  await settle([one, other]);
  assert.equal(one.membership.roleOf(expelled.siteId).role, "expelled");
  assert.ok(!one.membership.peerMayConnect(one.membership.peerOf(expelled.siteId)!));
  const late = expelled.author.entry({ seq: 500 });
  assert.deepEqual(await one.ledger.offer({ entries: [late] }), ["not-allowed"]);
  assert.ok(one.ledger.statement(expelled.siteId, "placement", "1"));
  assert.equal(one.ledger.digest(), other.ledger.digest());
  assert.equal((await one.reopened()).ledger.digest(), one.ledger.digest());
});

test("what lies beyond the head is hidden, what it withdrew is back, and all of it returns with the site", async () => {
  const [one, other, third] = (await federationOf(3)) as [Replica, Replica, Replica];
  await third.own.write({ kind: "placement", slice: 1, holders: [] });
  await settle([one, other, third]);
  for (const replica of [one, other]) replica.wishRemoved(third.siteId);
  const before = one.ledger.digest();
  // Written before it knows: a new placement, and the withdrawal of all that it has ever said.
  await third.own.write({ kind: "placement", slice: 2, holders: [] });
  const places = third.ledger
    .logsOf(third.siteId)[0]!
    .seqs()
    .map((seq) => ({ logId: third.author.log.id, seq }));
  await third.own.withdrawIdle({ also: places, leastCount: 1 });
  await pull(one, third);
  assert.notEqual(one.ledger.digest(), before);
  assert.equal(one.ledger.statement(third.siteId, "placement", "1"), undefined);
  await settle([one, other]);
  for (const replica of [one, other, await one.reopened()]) {
    assert.equal(replica.membership.roleOf(third.siteId).role, "expelled");
    assert.ok(replica.ledger.statement(third.siteId, "placement", "1"), "back from before the head");
    assert.equal(replica.ledger.statement(third.siteId, "placement", "2"), undefined);
  }
  assert.equal(one.ledger.digest(), other.ledger.digest());
  for (const replica of [one, other]) replica.wishes.push({ action: "admit", siteId: third.siteId });
  await settle([one, other]);
  await settle([one, other, third]);
  assert.equal(one.ledger.statement(third.siteId, "placement", "1"), undefined, "withdrawn as its author said");
  assert.equal(new Set([one, other, third].map(({ ledger }) => ledger.digest())).size, 1);
});

test("members that decide at different heads agree on the newest", async () => {
  const [one, other, third, fourth] = (await federationOf(4)) as [Replica, Replica, Replica, Replica];
  for (const replica of [one, other, third]) {
    await fourth.own.write({ kind: "placement", slice: 1, holders: [] });
    await pull(replica, fourth);
    replica.wishRemoved(fourth.siteId);
    await replica.step();
  }
  await settle([one, other, third]);
  const role = one.membership.roleOf(fourth.siteId);
  assert.ok(role.role === "expelled");
  assert.equal(role.heads[0]!.seq, third.ledger.headsOf(fourth.siteId)[0]!.seq);
});

test("a site that leaves has a vote like the others, and the last one stays", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  other.wishRemoved(other.siteId);
  await settle([one, other]);
  assert.equal(one.membership.roleOf(other.siteId).role, "member");
  one.wishRemoved(other.siteId);
  await settle([one, other]);
  assert.deepEqual(one.memberIds, [one.siteId]);
  one.wishRemoved(one.siteId);
  await one.step();
  assert.deepEqual(one.memberIds, [one.siteId]);
});

test("two puppets that a hostile member lets in are heard as guests, and have no vote", async () => {
  const replicas = await federationOf(3);
  const [hostile, victim, third] = replicas as [Replica, Replica, Replica];
  const puppets = ["puppet 1", "puppet 2"].map((name) => new LedgerAuthor(name));
  for (const { siteId, log } of puppets)
    await hostile.own.write({ kind: "guest", site: siteId, name: "", certificate: Buffer.from(log.bytes) });
  await exchange(victim, hostile);
  assert.equal(victim.membership.roleOf(puppets[0]!.siteId).role, "guest");
  const body = rosterAfter(hostile, { members: withMember(hostile, puppets[0]!) });
  // Their consents are entries like any other, and count for nothing.
  for (const puppet of puppets) {
    const entry = puppet.say(consentTo(body, puppet));
    assert.deepEqual(await victim.ledger.offer({ entries: [entry] }), ["admitted"]);
  }
  await hostile.own.write(consentTo(body, hostile.author));
  await settle(replicas);
  assert.equal(victim.membership.roster!.members.length, 3);
  for (const authors of [[hostile.author], [hostile.author, ...puppets], puppets]) {
    const forged = signedRoster(body, authors);
    for (const replica of [victim, third])
      await assert.rejects(replica.membership.offer([forged]), hasCode("roster-invalid"));
  }
  const twice = signedRoster(body, [hostile.author, hostile.author]);
  await assert.rejects(victim.membership.offer([twice]), hasCode("signature-invalid"));
});

test("who was once a majority alone cannot replace the chain by one of its own, however long", async () => {
  const replicas = await federationOf(4);
  const [founder, victim] = replicas as [Replica, Replica];
  // The founder signs another history, from its first roster on, with puppets.
  const branch: Buffer[] = [];
  const authors = [founder.author];
  let previous = parseRoster((await Array.fromAsync(founder.membership.rosters()))[0]!);
  for (let number = 1; number <= 10; number++) {
    const puppet = new LedgerAuthor(`puppet ${number}`);
    const members = [...previous.members, { siteId: puppet.siteId, inviter: founder.siteId }];
    members.sort((one, other) => (one.siteId < other.siteId ? -1 : 1));
    const body = encodeRosterBody({ ...previous, number, previous: previous.hash, members });
    branch.push(signedRoster(body, authors));
    authors.push(puppet);
    previous = parseRoster(branch.at(-1)!);
  }
  const { hash } = victim.membership.roster!;
  assert.equal(await victim.membership.offer(branch), false);
  assert.equal(victim.membership.roster!.hash, hash);
});

test("nothing but exactly one change, signed by a majority, follows a roster", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const authors = [one.author, other.author];
  const [first, second] = ["first", "second"].map((name) => new LedgerAuthor(name)) as [LedgerAuthor, LedgerAuthor];
  const roster = one.membership.roster!;
  const admitted = withMember(one, first);
  const bad: Record<string, Buffer> = {
    "no change": rosterAfter(one, {}),
    "two at once": rosterAfter(one, { members: withMember(one, first, second) }),
    "a number left out": rosterAfter(one, { members: admitted, number: roster.number + 2 }),
    "another name": rosterAfter(one, { members: admitted, name: "Other" }),
    "another salt": rosterAfter(one, { members: admitted, salt: Buffer.alloc(16, 9) }),
    "one out without a word": rosterAfter(one, { members: roster.members.slice(1) }),
    "one out, another in": rosterAfter(one, {
      members: admitted.filter(({ siteId }) => siteId !== other.siteId),
      expelled: [{ siteId: other.siteId, heads: [] }],
    }),
    "a stranger as inviter": rosterAfter(one, {
      members: admitted.map((member) =>
        member.siteId === first.siteId ? { ...member, inviter: second.siteId } : member,
      ),
    }),
    "expelled that was no member": rosterAfter(one, { expelled: [{ siteId: first.siteId, heads: [] }] }),
  };
  for (const [what, body] of Object.entries(bad)) {
    assert.equal(changeOf(roster, parseRosterBody(body)), undefined, what);
    await assert.rejects(one.membership.offer([signedRoster(body, authors)]), hasCode("roster-invalid"), what);
  }
  const body = rosterAfter(one, { members: admitted });
  const elsewhere = rosterAfter(one, { members: admitted, previous: parseRosterBody(body).hash });
  await assert.rejects(one.membership.offer([signedRoster(elsewhere, authors)]), hasCode("roster-invalid"));
  await assert.rejects(one.membership.offer([signedRoster(body, [one.author])]), hasCode("roster-invalid"));
  await assert.rejects(one.membership.offer([signedRoster(body, [...authors, first])]), hasCode("roster-invalid"));
  const broken = Buffer.from(signedRoster(body, authors));
  broken[broken.length - 1]! ^= 1;
  await assert.rejects(one.membership.offer([broken]), hasCode("signature-invalid"));
  assert.ok(await one.membership.offer([signedRoster(body, authors)]));
});

test("two rosters of one number heal: the lower hash counts, and what is wished comes on top", async () => {
  const replicas = await federationOf(3);
  const guests = [await Replica.open("guest a"), await Replica.open("guest b")] as const;
  for (const guest of guests) await replicas[0]!.letIn(guest);
  await settle([...replicas, ...guests]);
  for (const replica of replicas) for (const { siteId } of guests) replica.wishes.push({ action: "admit", siteId });
  const [one, other] = replicas as [Replica, Replica];
  const inviter = one.siteId;
  const all = replicas.map(({ author }) => author);
  const rosters = guests.map((guest) => {
    const members = withMember(one, guest.author).map((member) =>
      member.siteId === guest.siteId ? { ...member, inviter } : member,
    );
    return signedRoster(rosterAfter(one, { members }), all);
  });
  await one.membership.offer([rosters[0]!]);
  await other.membership.offer([rosters[1]!]);
  assert.notEqual(one.membership.roster!.hash, other.membership.roster!.hash);
  await settle([...replicas, ...guests]);
  for (const replica of [...replicas, ...guests]) assert.equal(replica.memberIds.length, 5);
  const hashes = rosters.map((bytes) => parseRoster(bytes).hash).sort();
  assert.equal(one.membership.hashAt(3), hashes[0]);
  assert.equal(new Set([...replicas, ...guests].map(({ membership }) => membership.roster!.hash)).size, 1);
});

test("a chain that is longer by a contested roster is taken over, also after a restart between", async () => {
  const replicas = await federationOf(3);
  const [one, other] = replicas as [Replica, Replica];
  const all = replicas.map(({ author }) => author);
  const [a, b] = [new LedgerAuthor("a"), new LedgerAuthor("b")];
  await one.membership.offer([signedRoster(rosterAfter(one, { members: withMember(one, a) }), all)]);
  await other.membership.offer([signedRoster(rosterAfter(other, { members: withMember(other, b) }), all)]);
  const second = signedRoster(rosterAfter(other, { members: withMember(other, a) }), [...all, b]);
  await other.membership.offer([second]);
  const reopened = await one.reopened();
  assert.equal((await pull(reopened, other)).rosterChanged, true);
  assert.equal(reopened.membership.roster!.hash, other.membership.roster!.hash);
  const again = await reopened.reopened();
  assert.equal(again.membership.roster!.hash, other.membership.roster!.hash);
  assert.equal(again.membership.hashAt(3), other.membership.hashAt(3));
});

test("a member lets in so many guests at a time, and only for itself", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const guests = Array.from({ length: limits.guestsPerMemberCount + 1 }, (_, at) => new LedgerAuthor(`guest ${at}`));
  for (const { siteId, log } of guests)
    await one.own.write({ kind: "guest", site: siteId, name: "", certificate: Buffer.from(log.bytes) });
  await pull(other, one);
  const last = guests.at(-1)!;
  assert.equal(other.membership.roleOf(guests[0]!.siteId).role, "guest");
  assert.equal(other.membership.roleOf(last.siteId).role, "none");
  const entry = last.entry();
  assert.deepEqual(await other.ledger.offer({ certificates: [last.log.bytes], entries: [entry] }), ["not-allowed"]);
  // A guest lets nobody in.
  const friend = new LedgerAuthor("friend");
  const invites = guests[0]!.say({
    kind: "guest",
    site: friend.siteId,
    name: "",
    certificate: Buffer.from(friend.log.bytes),
  });
  await other.ledger.offer({ entries: [invites] });
  assert.equal(other.membership.roleOf(friend.siteId).role, "none");
  // When one is let go, the next is a guest.
  const [first] = one.membership.guestsOf(one.siteId);
  await other.ledger.offer({ entries: [guests[0]!.entry()] });
  await one.own.withdrawIdle({ also: [first!], leastCount: 1 });
  await pull(other, one);
  assert.equal(other.membership.roleOf(guests[0]!.siteId).role, "none");
  assert.deepEqual(other.ledger.log(guests[0]!.log.id)?.seqs() ?? [], [], "hidden with its author");
  assert.equal(other.membership.roleOf(last.siteId).role, "guest");
  assert.deepEqual(await other.ledger.offer({ entries: [entry] }), ["admitted"]);
});

test("an expelled site is nobody's guest", async () => {
  const [one, other, third] = (await federationOf(3)) as [Replica, Replica, Replica];
  for (const replica of [one, other]) replica.wishRemoved(third.siteId);
  await settle([one, other]);
  await one.own.write({
    kind: "guest",
    site: third.siteId,
    name: "",
    certificate: Buffer.from(third.author.log.bytes),
  });
  assert.equal(one.membership.roleOf(third.siteId).role, "expelled");
});

test("a guest is in the failure domain of its inviter", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const guest = await Replica.open("guest");
  await one.letIn(guest);
  const { membership } = one;
  assert.equal(membership.failureDomainOf(guest.siteId), membership.failureDomainOf(one.siteId));
  assert.notEqual(membership.failureDomainOf(other.siteId), membership.failureDomainOf(one.siteId));
  const profile = {
    name: "",
    addresses: [],
    offeredBytes: 0,
    keptBytes: 0,
    readKey: Buffer.alloc(32),
    readGeneration: 1,
  };
  for (const replica of [one, other]) await replica.own.write({ kind: "profile", ...profile, domain: "Hill" });
  await pull(one, other);
  assert.deepEqual(
    [guest, one, other].map(({ siteId }) => membership.failureDomainOf(siteId)),
    ["Hill", "Hill", "Hill"],
  );
});

test("a site enters one federation, by a whole chain from its first roster", async () => {
  const { bytes, federationId } = firstRoster(new LedgerAuthor("founder"));
  const replica = await Replica.open("one");
  const other = firstRoster(new LedgerAuthor("founder"), "other");
  await assert.rejects(replica.membership.enter([], federationId), hasCode("roster-invalid"));
  await assert.rejects(replica.membership.enter([other.bytes], federationId), hasCode("roster-invalid"));
  const body = Buffer.from(parseRoster(bytes).body);
  const stranger = signedRoster(body, [new LedgerAuthor("stranger")]);
  await assert.rejects(replica.membership.enter([stranger], federationId), hasCode("roster-invalid"));
  await replica.membership.enter([bytes], federationId);
  await assert.rejects(replica.membership.enter([other.bytes], other.federationId), hasCode("federation-exists"));
  assert.equal((await replica.reopened()).membership.federationId, federationId);
});

test("rosters are as long as they may be, and no longer", async () => {
  const [one] = (await federationOf(1)) as [Replica];
  const sites = (count: number, name: string) =>
    Array.from({ length: count }, (_, at) => ({ siteId: at.toString(16).padStart(64, name) as never }));
  const members = sites(limits.rosterMembersCount + 1, "a").map((site) => ({ ...site, inviter: null }));
  const expelled = sites(limits.rosterExpelledCount + 1, "b").map((site) => ({ ...site, heads: [] }));
  const heads = Array.from({ length: 200 }, (_, at) => ({ logId: at.toString(16).padStart(64, "c") as LogId, seq: 0 }));
  for (const changes of [
    { members },
    { expelled },
    { expelled: expelled.slice(0, 100).map((site) => ({ ...site, heads })) },
  ])
    assert.throws(() => rosterAfter(one, changes), hasCode("limit-exceeded"));
  assert.throws(() => parseRosterBody(Buffer.alloc(limits.rosterBodyBytes + 1)), hasCode("limit-exceeded"));
  assert.throws(() => parseRoster(Buffer.alloc(limits.rosterBytes + 1)), hasCode("limit-exceeded"));
  const last = rosterAfter(one, { number: limits.rosterChainCount });
  assert.throws(() => parseRosterBody(last), hasCode("bad-encoding"));
  const branch = Array.from({ length: limits.rosterBranchCount + 1 }, () => Buffer.alloc(1));
  await assert.rejects(one.membership.offer(branch), hasCode("limit-exceeded"));
  const chain = Array.from({ length: limits.rosterChainCount + 1 }, () => Buffer.alloc(1));
  const replica = await Replica.open("joiner");
  await assert.rejects(replica.membership.enter(chain, one.membership.federationId!), hasCode("roster-invalid"));
});

test.run();
