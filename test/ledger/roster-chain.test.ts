/**
 * Goal: a roster follows only by one change that a majority has signed, and replicas that know different chains end with one,
 * which no minority has made. Method: forged and misplaced rosters; two chains from one roster, offered in both orders.
 */
import assert from "node:assert/strict";
import { changeOf } from "#ledger/roster-chain.ts";
import { encodeRosterBody, parseRoster, parseRosterBody } from "#ledger/roster.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { LogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { federationOf, rosterAfter, settle, withMember } from "#test/support/federation.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, firstRoster, pull, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("roster chain");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

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

test("what a crash has left of another branch ends the chain", async () => {
  const [one, other] = (await federationOf(3)) as [Replica, Replica];
  const { hash } = one.membership.roster!;
  const all = [one, other].map(({ author }) => author);
  const [a, b] = [new LedgerAuthor("a"), new LedgerAuthor("b")];
  await other.membership.offer([signedRoster(rosterAfter(other, { members: withMember(other, a) }), all)]);
  const later = signedRoster(rosterAfter(other, { members: withMember(other, b) }), [...all, a]);
  one.store.values.set(`roster/${"3".padStart(16, "0")}`, later);
  const reopened = await one.reopened();
  assert.equal(reopened.membership.roster!.hash, hash);
  await pull(reopened, other);
  assert.equal((await reopened.reopened()).membership.roster!.hash, other.membership.roster!.hash);
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
