/** Goal: a member signs what its people wish and nothing else. Method: facts by hand, one rule broken at a time. */
import assert from "node:assert/strict";
import { type StepFacts, type Wish, membershipSteps } from "#ledger/membership-steps.ts";
import { type RosterChange, applyChange } from "#ledger/roster-chain.ts";
import { type Head, type Roster, encodeRosterBody, parseRoster, parseRosterBody } from "#ledger/roster.ts";
import { hasUsedItsRoom } from "#ledger/site-room.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { consentTo, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("membership steps");

const [own, second, third, guest, other] = ["own", "second", "third", "guest", "other"].map(
  (name) => new LedgerAuthor(name),
) as [LedgerAuthor, LedgerAuthor, LedgerAuthor, LedgerAuthor, LedgerAuthor];

const roster: Roster = parseRoster(
  signedRoster(
    encodeRosterBody({
      ...{ name: "Schools", salt: Buffer.alloc(16), number: 0, previous: null, expelled: [] },
      members: [own, second, third]
        .map(({ siteId }) => ({ siteId, inviter: null }))
        .sort((one, another) => (one.siteId < another.siteId ? -1 : 1)),
    }),
    [own],
  ),
);
const bodyOf = (change: RosterChange): Buffer => encodeRosterBody(applyChange(roster, change)!);
const admitGuest = bodyOf({ action: "admit", siteId: guest.siteId, inviter: second.siteId });
const headAt = (seq: number): Head => ({ logId: third.log.id, seq });
const removeThird = (seq: number): Buffer =>
  bodyOf({ action: "remove", siteId: third.siteId, heads: seq < 0 ? [] : [headAt(seq)] });
const wishAdmit: Wish = { action: "admit", siteId: guest.siteId };
const wishRemove = (seq: number): Wish => ({ action: "remove", siteId: third.siteId, heads: [headAt(seq)] });

type Consent = StepFacts["consents"][number];
function consent(
  author: LedgerAuthor,
  body: Uint8Array,
  changes: { seq?: number; signer?: LedgerAuthor } = {},
): Consent {
  const { seq = 1, signer = author } = changes;
  const statement = consentTo(body, signer);
  const place = { logId: author.log.id, seq, hash: "", kind: "consent", timeMs: 1, lengthBytes: 1 };
  return { log: author.log, consent: { ...place, statement, statements: [statement] } };
}

/** The steps of `own`, for whom the guest is the second's, and the third has written up to seq 20. */
const steps = (wishes: readonly Wish[], consents: readonly Consent[], siteId = own.siteId, isFull = false) =>
  membershipSteps({
    ...{ roster, siteId, wishes, consents, isFull: () => isFull },
    headsOf: () => [headAt(20)],
    hasRoster: (hash) => hash === roster.hash,
    inviterOf: (site) => (site === guest.siteId ? second.siteId : null),
  });
const hexOf = (bodies: readonly Uint8Array[]): string[] => bodies.map((body) => Buffer.from(body).toString("hex"));

test("a wish becomes a body of one's own, or the signature of another's that grants it", () => {
  assert.deepEqual(hexOf(steps([wishAdmit], []).sign), hexOf([admitGuest]));
  assert.deepEqual(hexOf(steps([wishAdmit], [consent(second, admitGuest)]).sign), hexOf([admitGuest]));
  assert.deepEqual(steps([wishAdmit], [consent(own, admitGuest)]).sign, []);
  assert.deepEqual(steps([], [consent(second, admitGuest)]).sign, [], "nobody here wishes it");
});

test("an admission is signed only with the right inviter", () => {
  for (const inviter of [null, third.siteId]) {
    const body = bodyOf({ action: "admit", siteId: guest.siteId, inviter });
    assert.deepEqual(hexOf(steps([wishAdmit], [consent(second, body)]).sign), hexOf([admitGuest]));
  }
});

test("a removal hides nothing that was known when it was decided, and lets in nothing that is not known now", () => {
  const signed = (seq: number): string[] => hexOf(steps([wishRemove(10)], [consent(second, removeThird(seq))]).sign);
  const ownBody = hexOf([removeThird(10)]);
  for (const seq of [-1, 9]) assert.deepEqual(signed(seq), ownBody, `head ${seq}`);
  for (const seq of [10, 15, 20]) assert.deepEqual(signed(seq), hexOf([removeThird(seq)]), `head ${seq}`);
  for (const seq of [21, 2 ** 53 - 1]) assert.deepEqual(signed(seq), ownBody, `head ${seq}`);
});

test("a member that signs its own removal leaves: the others sign it by themselves, unless it states what they do not know", () => {
  const signed = (seq: number, ...wishes: Wish[]): string[] =>
    hexOf(steps(wishes, [consent(third, removeThird(seq))]).sign);
  for (const seq of [-1, 20]) assert.deepEqual(signed(seq), hexOf([removeThird(seq)]), `head ${seq}`);
  assert.deepEqual(signed(21), []);
  assert.deepEqual(signed(9, wishRemove(10)), hexOf([removeThird(10)]), "people here know more");
  const another = steps([], [consent(second, removeThird(10)), consent(second, removeThird(10), { signer: third })]);
  assert.deepEqual(another.sign, [], "not signed by itself");
  const mixed = [consent(third, removeThird(10)), consent(second, removeThird(5))];
  assert.deepEqual(hexOf(steps([], mixed).sign), hexOf([removeThird(10)]), "only what it has signed itself");
  assert.deepEqual(steps([], [consent(guest, admitGuest)], guest.siteId).sign, []);
});

test("a site that has used its room is removed and leaves whatever heads are stated, since not all know the same of it", () => {
  const signed = (author: LedgerAuthor, heads: readonly Head[], ...wishes: Wish[]): string[] => {
    const body = bodyOf({ action: "remove", siteId: third.siteId, heads });
    const { sign } = steps(wishes, [consent(author, body)], own.siteId, true);
    return sign.some((one) => body.equals(one)) ? ["theirs"] : hexOf(sign);
  };
  for (const heads of [[], [headAt(9)], [headAt(21)], [{ logId: other.log.id, seq: 1 }]]) {
    assert.deepEqual(signed(second, heads, wishRemove(10)), ["theirs"]);
    assert.deepEqual(signed(third, heads), ["theirs"]);
    assert.deepEqual(signed(second, heads), []);
  }
});

test("a site has used its room with as many logs, or entries, as there may be", () => {
  const used = (logsCount: number, usedRatio: number): boolean =>
    hasUsedItsRoom({ logsOf: () => Array(logsCount).fill(undefined), usedRatio: () => usedRatio }, own.siteId);
  const most = limits.ledgerLogsPerSiteCount;
  assert.deepEqual([used(1, 0.98), used(1, 0.99), used(most - 1, 0), used(most, 0)], [false, true, false, true]);
});

test("a signature for one that leaves stands as long as its own, and its own as long as its wish", () => {
  const [mine, its] = [consent(own, removeThird(10)), consent(third, removeThird(10))];
  assert.deepEqual(steps([], [mine, its]).withdraw, []);
  assert.deepEqual(steps([], [mine]).withdraw, [mine.consent]);
  assert.deepEqual(steps([], [mine, its], third.siteId).withdraw, [its.consent]);
  assert.deepEqual(steps([wishRemove(10)], [mine, its], third.siteId).withdraw, []);
});

test("signatures of more than half of the members make a roster; others do not count", () => {
  const made = (...consents: Consent[]) => steps([], consents).roster;
  const agreed = made(consent(own, admitGuest), consent(second, admitGuest));
  assert.ok(Buffer.from(agreed!).equals(signedRoster(admitGuest, [own, second])));
  const alone = consent(own, admitGuest);
  assert.equal(made(alone), undefined);
  assert.equal(made(alone, consent(guest, admitGuest), consent(other, admitGuest)), undefined, "no members");
  assert.equal(made(alone, consent(own, admitGuest, { seq: 2 })), undefined, "the same one twice");
  assert.equal(made(alone, consent(second, admitGuest, { signer: own })), undefined, "another's signature");
  const twoBodies = [alone, consent(second, bodyOf({ action: "admit", siteId: other.siteId, inviter: null }))];
  assert.equal(made(...twoBodies), undefined, "each for another");
});

test("of two that are agreed the one with the lower hash is put together", () => {
  const bodies = [admitGuest, removeThird(10)];
  const hashes = bodies.map((body) => parseRosterBody(body).hash);
  const lower = bodies[hashes[0]! < hashes[1]! ? 0 : 1]!;
  const consents = bodies.flatMap((body) => [consent(own, body), consent(second, body)]);
  for (const order of [consents, consents.toReversed()])
    assert.ok(Buffer.from(parseRoster(steps([], order).roster!).body).equals(lower));
});

test("what is no successor is passed over, and one's own consents to it are withdrawn", () => {
  const nothing = [
    Buffer.from("none"),
    Buffer.from(roster.body),
    encodeRosterBody({ ...roster, number: 1, previous: roster.hash }),
  ];
  for (const body of nothing) {
    const statement = { ...consentTo(admitGuest, own), body };
    const mine = { log: own.log, consent: { ...consent(own, admitGuest).consent, statement } };
    const { withdraw, roster: agreed, sign } = steps([wishAdmit], [mine, { ...mine, log: second.log }]);
    assert.equal(agreed, undefined);
    assert.deepEqual(hexOf(sign), hexOf([admitGuest]));
    assert.equal(withdraw.length, 1);
  }
});

test("with more wishes than consents that count, half as many are signed once, and first what others have signed", () => {
  const wishes = Array.from({ length: limits.consentsPerSiteCount + 4 }, (_, at): Wish => {
    const { siteId } = new LedgerAuthor(`newcomer ${at}`);
    return { action: "admit", siteId };
  });
  const bodies = wishes.map(({ siteId }) => bodyOf({ action: "admit", siteId, inviter: null }));
  const said = (author: LedgerAuthor, signed: readonly Uint8Array[]): Consent[] =>
    signed.map((body, seq) => consent(author, body, { seq }));
  const first = steps(wishes, []).sign;
  assert.equal(first.length, limits.consentsPerSiteCount / 2);
  const again = steps(wishes, said(own, first));
  assert.deepEqual([again.sign, again.withdraw], [[], []]);
  const left = bodies.filter((body) => !hexOf(first).includes(body.toString("hex")));
  for (const others of [[second], [second, third]]) {
    const then = steps(wishes, [...said(own, first), ...others.flatMap((author) => said(author, left))]);
    assert.deepEqual(hexOf(then.sign).toSorted(), hexOf(left).toSorted());
    assert.equal(then.withdraw.length, first.length + left.length - limits.consentsPerSiteCount);
  }
  const all = steps(wishes, said(own, bodies));
  assert.deepEqual([all.sign, all.withdraw.length], [[], left.length], "of an earlier version");
  const wished = [consent(own, admitGuest, { seq: 100 }), ...said(third, [20, 19, 18].map(removeThird))];
  assert.deepEqual(hexOf(steps([wishAdmit], wished).sign), hexOf([removeThird(18)]), "of one that leaves the last");
});

test("a removal that was decided before the site had another recovery key leaves out what does not count any more", () => {
  const lost: Head = { logId: new LedgerAuthor("third", 2).log.id, seq: 5 };
  const wish: Wish = { action: "remove", siteId: third.siteId, heads: [headAt(10), lost] };
  const former = bodyOf({ action: "remove", siteId: third.siteId, heads: [headAt(10), lost] });
  const before = consent(own, former);
  assert.deepEqual(hexOf(steps([wish], [before]).sign), hexOf([removeThird(10)]));
  assert.deepEqual(steps([wish], [before]).withdraw, [before.consent]);
  assert.deepEqual(hexOf(steps([wish], [consent(second, removeThird(12))]).sign), hexOf([removeThird(12)]));
  assert.deepEqual(steps([wish], [consent(own, removeThird(10))]).sign, []);
});

test("consents are withdrawn when their wish is gone, one's own only", () => {
  const consents = [consent(own, admitGuest), consent(second, admitGuest)];
  assert.deepEqual(steps([wishAdmit], consents).withdraw, []);
  assert.deepEqual(
    steps([], consents).withdraw.map(({ logId }) => logId),
    [own.log.id],
  );
});

test("wishes that the roster has are told, and one who is no member signs and withdraws nothing", () => {
  const admitted: Wish = { action: "admit", siteId: second.siteId };
  const removed: Wish = { action: "remove", siteId: other.siteId, heads: [] };
  assert.deepEqual(steps([admitted, removed, wishAdmit], []).fulfilled, [admitted, removed]);
  const outside = steps([wishAdmit], [consent(guest, admitGuest)], guest.siteId);
  assert.deepEqual([outside.sign, outside.withdraw], [[], []]);
});

test("a wish that was noted waits until another roster follows, and is one again when that roster is gone", () => {
  const former = parseRosterBody(admitGuest).hash;
  const at = (wish: Wish, hasFormer: boolean) =>
    membershipSteps({
      ...{
        roster,
        siteId: own.siteId,
        wishes: [wish],
        consents: [],
        headsOf: () => [],
        inviterOf: () => second.siteId,
        isFull: () => false,
      },
      hasRoster: (hash) => hash === roster.hash || (hasFormer && hash === former),
    });
  const admitted: Wish = { action: "admit", siteId: second.siteId, in: roster.hash };
  const kept = at(admitted, true);
  assert.deepEqual([kept.sign, kept.fulfilled, kept.over], [[], [], []]);
  const noted: Wish = { ...wishAdmit, in: former };
  const over = at(noted, true);
  assert.deepEqual([over.sign, over.fulfilled, over.over], [[], [], [noted]]);
  const again = at(noted, false);
  assert.deepEqual([hexOf(again.sign), again.fulfilled, again.over], [hexOf([admitGuest]), [], []]);
});

test("of one member's consents only so many are looked at, the newest", () => {
  const flood = Array.from({ length: limits.consentsPerSiteCount }, (_, at) =>
    consent(second, bodyOf({ action: "admit", siteId: new LedgerAuthor(`puppet ${at}`).siteId, inviter: null }), {
      seq: at + 10,
    }),
  );
  const consents = [consent(second, admitGuest, { seq: 1 }), ...flood, consent(own, admitGuest)];
  assert.equal(steps([], consents).roster, undefined);
  assert.ok(steps([], [...flood.slice(1), consents[0]!, consents.at(-1)!]).roster);
});

test("who signs what follows a roster that is not known here is told, and nobody else", () => {
  const next = parseRosterBody(admitGuest);
  const after = encodeRosterBody({ ...next, number: 2, previous: next.hash });
  const consents = [consent(second, admitGuest), consent(third, after)];
  assert.deepEqual(steps([], consents).elsewhere, [{ siteId: third.siteId, roster: next.hash }]);
});

test.run();
