/**
 * Goal: a request for another recovery key stands only by the approvals of more than half of the other members, for just that key, and an objection is
 * the kit's alone. Method: replicas that say it all in their ledgers, honest and not.
 */
import assert from "node:assert/strict";
import { type KitRequest, doesStand, hasObjection, kitRequests } from "#ledger/kit-requests.ts";
import { signKitObjection } from "#protocol/kit-objection.ts";
import { signRecoveryLink } from "#protocol/recovery-chain.ts";
import { federationOf, settle } from "#test/support/federation.ts";
import { LedgerAuthor, recoveryKeyOf } from "#test/support/ledger-author.ts";
import { approve, ask, linkOf, newKit } from "#test/support/lost-kit.ts";
import { Replica, consentTo, signedRoster } from "#test/support/replica.ts";
import { rosterAfter } from "#test/support/federation.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("kit requests");

type Four = [Replica, Replica, Replica, Replica];
const fourMembers = async (): Promise<Four> => (await federationOf(4)) as Four;
const only = (replica: Replica): KitRequest => {
  const requests = kitRequests(replica);
  assert.equal(requests.length, 1);
  return requests[0]!;
};

test("it stands when more than half of the other members approve, at all sites alike", async () => {
  const [asker, one, other, third] = await fourMembers();
  const link = linkOf(asker);
  await ask(asker, link);
  for (const [count, approver] of [one, other, third].entries()) {
    await settle([asker, one, other, third]);
    for (const replica of [asker, one, other, third]) {
      assert.equal(doesStand(only(replica)), count >= 2, `${count} approve`);
      assert.equal(only(replica).neededCount, 2);
    }
    await approve(approver, link);
  }
});

test("neither the site's own approval counts, nor a guest's, nor one for another key", async () => {
  const [asker, one, other, third] = await fourMembers();
  const guest = await Replica.open("guest");
  await one.letIn(guest);
  await settle([asker, one, other, third, guest]);
  const link = linkOf(asker);
  await ask(asker, link);
  await approve(asker, link);
  await approve(guest, link);
  await approve(one, linkOf(asker, 2));
  await approve(other, link);
  await settle([asker, one, other, third, guest]);
  for (const replica of [asker, one, other, third, guest]) assert.deepEqual(only(replica).approvers, [other.siteId]);
});

test("who is expelled has no say any more, and a request of one who is out counts nothing", async () => {
  const [asker, one, other, third] = await fourMembers();
  const link = linkOf(asker);
  await ask(asker, link);
  for (const approver of [one, other]) await approve(approver, link);
  await settle([asker, one, other, third]);
  assert.ok(doesStand(only(third)));
  for (const replica of [asker, other, third]) replica.wishRemoved(one.siteId);
  await settle([asker, one, other, third]);
  assert.deepEqual(only(third).approvers, [other.siteId]);
  assert.ok(!doesStand(only(third)), "both others of now are needed");
  for (const replica of [other, third]) replica.wishRemoved(asker.siteId);
  await settle([asker, other, third]);
  assert.deepEqual(kitRequests(third), []);
});

test("of two requests the newer one counts, with its own approvals", async () => {
  const [asker, one, other, third] = await fourMembers();
  const [first, second] = [linkOf(asker, 1), linkOf(asker, 2)];
  await ask(asker, first);
  for (const approver of [one, other]) await approve(approver, first);
  await ask(asker, second);
  await approve(other, second);
  await settle([asker, one, other, third]);
  for (const replica of [asker, one, other, third]) {
    assert.equal(only(replica).link.hash, second.hash);
    assert.deepEqual(only(replica).approvers, [other.siteId], "an approval is for one key");
  }
});

test("two members may ask at once", async () => {
  const [asker, one, other, third] = await fourMembers();
  for (const each of [asker, one]) await ask(each, linkOf(each));
  await approve(other, linkOf(asker));
  await settle([asker, one, other, third]);
  assert.equal(kitRequests(third).length, 2);
});

test("nothing is asked for with a key of another site, another number, or without the site's log; nor what no link is", async () => {
  const [asker, one, other, third] = await fourMembers();
  const wrong = [
    linkOf(asker, 1, { siteId: one.siteId }),
    linkOf(asker, 1, { number: 3 }),
    linkOf(asker, 1, { logs: [one.author.log.id] }),
  ];
  for (const link of wrong) {
    await ask(asker, link);
    await settle([asker, one, other, third]);
    assert.deepEqual(kitRequests(other), []);
  }
  const signed = signRecoveryLink(linkOf(asker), recoveryKeyOf("site 0").seed);
  await asker.own.write({ kind: "kit-request", link: signed });
  await settle([asker, one, other, third]);
  assert.deepEqual(kitRequests(other), []);
});

test("the former kit ends it by a new machine or a link of its own", async () => {
  const [asker, one, other, third] = await fourMembers();
  const link = linkOf(asker);
  await ask(asker, link);
  for (const approver of [one, other]) await approve(approver, link);
  await settle([asker, one, other, third]);
  const recovered = new LedgerAuthor("site 0", 2, "recovered");
  await one.ledger.offer({ certificates: [recovered.log.bytes] });
  assert.deepEqual(kitRequests(one), [], "its log is not the current one");
  const formerKit = recoveryKeyOf("site 0");
  const own = [signRecoveryLink({ ...linkOf(asker, 3) }, formerKit.seed)];
  const again = new LedgerAuthor("site 0", 1, "machine", { seed: newKit(3).seed, chain: own });
  await third.ledger.offer({ certificates: [again.log.bytes] });
  assert.deepEqual(kitRequests(third), [], "its number is taken");
});

test("the kit's objection counts at any site, and nobody else's", async () => {
  const [asker, one, other, third] = await fourMembers();
  const link = linkOf(asker);
  await ask(asker, link);
  await settle([asker, one, other, third]);
  const object = async (seed: Uint8Array, hash: string, named = hash): Promise<void> => {
    const said = { site: asker.siteId, link: Buffer.from(named, "hex"), ...signKitObjection(hash, seed) };
    await other.own.write({ kind: "kit-objection", ...said });
    await settle([asker, one, other, third]);
  };
  const { seed } = recoveryKeyOf("site 0");
  await object(recoveryKeyOf("site 2").seed, link.hash);
  await object(newKit(1).seed, link.hash);
  await object(seed, linkOf(asker, 2).hash, link.hash);
  for (const replica of [asker, one, third]) assert.ok(!hasObjection(replica, only(replica)));
  await object(seed, link.hash);
  for (const replica of [asker, one, third]) assert.ok(hasObjection(replica, only(replica)));
  assert.ok(!hasObjection(third, { siteId: asker.siteId, link: linkOf(asker, 2) }), "it names one key");
});

test("no roster has a new key by approvals, but by the signatures of more than half of the others", async () => {
  const [asker, one, other, third] = await fourMembers();
  const link = linkOf(asker);
  const body = rosterAfter(one, { rekey: link });
  const authors = [asker, one, other, third].map(({ author }) => author);
  for (const signers of [[asker.author, one.author], [one.author, other.author], authors.slice(0, 1)])
    await assert.rejects(third.membership.offer([signedRoster(body, signers)]), { code: "roster-invalid" });
  const forged = { ...consentTo(body, one.author), kind: "consent" } as const;
  for (const liar of [one]) await liar.own.write(forged);
  await settle([asker, one, other, third]);
  assert.equal(third.ledger.recoveryKeys.chainOf(asker.siteId).length, 0, "nobody else wishes it");
  assert.ok(await third.membership.offer([signedRoster(body, [asker.author, one.author, other.author])]));
  await settle([asker, one, other, third]);
  for (const replica of [asker, one, other, third, await third.reopened()]) {
    assert.ok(replica.ledger.recoveryKeys.isNewest(asker.siteId, newKit(1).publicKey));
  }
});

test.run();
