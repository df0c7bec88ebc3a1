/**
 * Goal: who is a member is what a majority of members has signed, at every site alike, whatever a minority does; who may speak
 * follows from it, and so does what is hidden. Method: replicas that take the steps of members and exchange what they have; forged
 * and misplaced rosters; hostile members that sign what they like.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { peerKeyOf } from "#ledger/membership.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { federationOf, rosterAfter, settle, withMember } from "#test/support/federation.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, consentTo, exchange, pull, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("membership");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

test("a guest becomes a member when more than half wish it, at all sites alike", async () => {
  const replicas = await federationOf(4);
  for (const replica of replicas) {
    assert.deepEqual(replica.memberIds, replicas.map(({ siteId }) => siteId).sort());
    assert.equal(replica.membership.roster!.number, 3);
    assert.ok(replica.wishes.every((wish) => "in" in wish && wish.in === replica.membership.roster!.hash));
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
  const log = third.ledger.logsOf(third.siteId)[0]!;
  const places = log.seqs().flatMap((seq) => {
    const held = log.held(seq)!;
    return held.statements.map((statement) => ({ ...held, statement }));
  });
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

test("a removal that hides nothing has nothing read anew, and one that does has", async () => {
  for (const beyondCount of [0, 1]) {
    const [one, other, third] = (await federationOf(3)) as [Replica, Replica, Replica];
    await settle([one, other, third]);
    for (const replica of [one, other]) replica.wishRemoved(third.siteId);
    for (let count = 0; count < beyondCount; count++)
      await third.own.write({ kind: "placement", slice: 2, holders: [] });
    await pull(one, third);
    let readCount = 0;
    const all = one.store.all.bind(one.store);
    one.store.all = () => {
      readCount++;
      return all();
    };
    await settle([one, other]);
    assert.equal(readCount, beyondCount);
    assert.equal(one.membership.roleOf(third.siteId).role, "expelled");
    assert.equal(one.ledger.digest(), (await one.reopened()).ledger.digest());
    assert.deepEqual(await one.ledger.offer({ entries: [third.author.entry({ seq: 500 })] }), ["not-allowed"]);
    for (const replica of [one, other]) replica.wishes.push({ action: "admit", siteId: third.siteId });
    await settle([one, other]);
    await settle([one, other, third]);
    assert.equal(new Set([one, other, third].map(({ ledger }) => ledger.digest())).size, 1);
  }
});

test("who is there follows guests that come and go, and machines that are met", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const guest = await Replica.open("guest");
  const before = one.membership.sites();
  await one.letIn(guest);
  assert.deepEqual(one.membership.sites(), [...before, guest.siteId].sort());
  assert.equal(one.membership.siteOfPeer(guest.membership.peerOf(guest.siteId)!), guest.siteId);
  const next = new LedgerAuthor("guest", 2);
  await one.ledger.offer({ certificates: [next.log.bytes] });
  assert.equal(one.membership.siteOfPeer(guest.membership.peerOf(guest.siteId)!), undefined);
  assert.equal(one.membership.peerOf(guest.siteId), Buffer.from(next.log.certificate.peerPublicKey).toString("hex"));
  await pull(other, one);
  assert.deepEqual(other.membership.sites(), one.membership.sites());
  const stated = one.ledger.statement(one.siteId, "guest", guest.siteId)!;
  await one.own.withdrawIdle({ also: [stated], leastCount: 1 });
  assert.deepEqual(one.membership.sites(), before);
  assert.equal(one.membership.roleOf(guest.siteId).role, "none");
});

test("a fork beyond the head is hidden with it", async () => {
  const [one, other, third] = (await federationOf(3)) as [Replica, Replica, Replica];
  await third.own.write({ kind: "placement", slice: 1, holders: [] });
  await settle([one, other, third]);
  for (const replica of [one, other]) replica.wishRemoved(third.siteId);
  const entries = [1, 2].map((timeMs) => third.author.entry({ seq: 500, timeMs }));
  assert.deepEqual(await one.ledger.offer({ entries }), ["admitted", "fork"]);
  await one.step();
  await pull(other, one);
  await settle([one, other]);
  for (const { ledger, membership } of [one, other, await one.reopened()]) {
    assert.equal(membership.roleOf(third.siteId).role, "expelled");
    assert.equal(ledger.forkOf(third.siteId), undefined);
    assert.equal(ledger.digest(), other.ledger.digest());
  }
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

test("a site leaves although nobody else wishes it, and the last one stays", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  other.wishRemoved(other.siteId);
  await settle([one, other]);
  for (const { memberIds } of [one, other]) assert.deepEqual(memberIds, [one.siteId]);
  one.wishRemoved(one.siteId);
  await one.step();
  assert.deepEqual(one.memberIds, [one.siteId]);
});

test("a site leaves with a majority that runs, and not without one", async () => {
  const replicas = await federationOf(5);
  const [one, two, three, , leaving] = replicas as [Replica, Replica, Replica, Replica, Replica];
  await leaving.own.write({ kind: "placement", slice: 1, holders: [] });
  leaving.wishRemoved(leaving.siteId);
  await settle([one, leaving]);
  assert.equal(one.membership.roleOf(leaving.siteId).role, "member");
  await settle([one, two, leaving]);
  for (const { membership } of [one, two, leaving]) assert.equal(membership.roleOf(leaving.siteId).role, "expelled");
  await settle([one, two, three]);
  assert.ok(three.ledger.statement(leaving.siteId, "placement", "1"), "what it has said stays");
  const left = replicas.filter((replica) => replica !== leaving);
  await settle(left);
  for (const replica of left.slice(0, 3)) replica.wishes.push({ action: "admit", siteId: leaving.siteId });
  await settle(replicas);
  for (const { membership } of replicas)
    assert.equal(membership.roleOf(leaving.siteId).role, "member", "it is back, and stays");
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

test("who names another's machine in its certificate is not taken for it, whatever their order", async () => {
  const [one, other, third] = (await federationOf(3)) as [Replica, Replica, Replica];
  await settle([one, other, third]);
  const { log } = one.author;
  const peer = peerKeyOf(log);
  for (const [thief, name] of [
    [other, "site 1"],
    [third, "site 2"],
  ] as const) {
    const { seed } = deriveRecoveryKey(createHash("sha256").update(name).digest());
    const { peerPublicKey } = log.certificate;
    const stolen = signEpochCertificate({ ...thief.author.log.certificate, peerPublicKey, epoch: 2 }, seed);
    await one.ledger.offer({ certificates: [stolen] });
  }
  assert.equal(one.membership.siteOfPeer(peer), one.siteId);
});

test("a member that shows each of the others other logs, more than there may be, is expelled all the same", async () => {
  const [hostile, ...others] = (await federationOf(4)) as [Replica, Replica, Replica, Replica];
  await settle([hostile, ...others]);
  const count = limits.ledgerLogsPerSiteCount + 2;
  const machines = Array.from({ length: count }, (_, at) => new LedgerAuthor("site 0", 1, `machine ${at}`));
  for (const [at, { ledger }] of others.entries())
    for (const machine of at === 0 ? machines : machines.toReversed())
      await ledger.offer({ certificates: [machine.log.bytes], entries: [machine.entry({ seq: 0 })] });
  for (const replica of others) replica.wishRemoved(hostile.siteId);
  for (let round = 0; round < 2; round++)
    for (const replica of others) {
      await replica.step();
      for (const other of others) if (other !== replica) await pull(other, replica);
    }
  for (const replica of others) assert.ok(!replica.memberIds.includes(hostile.siteId));
});

test.run();
