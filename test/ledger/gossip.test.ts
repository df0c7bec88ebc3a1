/** Goal: what is spread is admitted as always, and a reader that misses something knows it. Method: messages lost, doubled, forged. */
import assert from "node:assert/strict";
import { admitGossip, gossipMessage, lastMessage, readGossip } from "#ledger/gossip.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseRosterHash } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, pull } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("gossip");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

async function two(): Promise<[Replica, Replica]> {
  const [founder, guest] = [await Replica.found("founder"), await Replica.open("guest")];
  await founder.letIn(guest);
  await pull(guest, founder);
  return [founder, guest];
}
const say = { kind: "placement", slice: 1, holders: [] } as const;

test("a new entry is admitted at once, twice does no harm, and a gap says to ask soon", async () => {
  const [founder, guest] = await two();
  const messages: Buffer[] = [];
  for (let count = 0; count < 3; count++)
    messages.push(gossipMessage(await founder.own.write(say), founder.author.log.bytes));
  assert.deepEqual(await admitGossip(guest, messages[0]!), { syncSoon: false, ahead: [] });
  assert.deepEqual(await admitGossip(guest, messages[0]!), { syncSoon: false, ahead: [] });
  assert.deepEqual(await admitGossip(guest, messages[2]!), { syncSoon: true, ahead: [] });
  assert.deepEqual(await admitGossip(guest, messages[1]!), { syncSoon: false, ahead: [] });
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("many are admitted with one write, and what one lacks is told of all", async () => {
  const [founder, guest] = await two();
  const messages: Buffer[] = [];
  for (let count = 0; count < 20; count++)
    messages.push(gossipMessage(await founder.own.write(say), founder.author.log.bytes));
  const write = guest.store.write.bind(guest.store);
  let writesCount = 0;
  guest.store.write = (changes) => (writesCount++, write(changes));
  assert.deepEqual(await admitGossip(guest, ...messages.slice(1, 10)), { syncSoon: true, ahead: [] });
  assert.deepEqual(await admitGossip(guest, ...messages), { syncSoon: false, ahead: [] });
  assert.equal(writesCount, 2);
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("an entry of an author that is not known says to ask soon, and so does a fork", async () => {
  const [founder, guest] = await two();
  const stranger = new LedgerAuthor("stranger");
  const strange = gossipMessage(stranger.entry(), stranger.log.bytes);
  assert.deepEqual(await admitGossip(guest, strange), { syncSoon: true, ahead: [] });
  const forked = gossipMessage(founder.author.entry({ seq: 0 }), founder.author.log.bytes);
  assert.deepEqual(await admitGossip(guest, forked), { syncSoon: true, ahead: [] });
  assert.ok(guest.ledger.forkOf(founder.siteId));
});

test("an entry that lets a guest in makes its machine known", async () => {
  const [founder, guest] = await two();
  const { log, siteId } = new LedgerAuthor("newcomer");
  const entry = await founder.own.write({ kind: "guest", site: siteId, name: "", certificate: Buffer.from(log.bytes) });
  await admitGossip(guest, gossipMessage(entry, founder.author.log.bytes));
  assert.ok(guest.membership.peerMayConnect(guest.membership.peerOf(siteId)!));
  const again = await guest.reopened();
  assert.ok(again.membership.peerMayConnect(again.membership.peerOf(siteId)!));
});

test("who is told of an end that it does not have knows whom to ask, and of no end that may not be here", async () => {
  const [founder, guest] = await two();
  const { log } = founder.author;
  const roster = founder.membership.roster!.hash;
  const last = (): number => founder.ledger.log(log.id)!.lastSeq!;
  const message = (): Buffer => lastMessage({ log: log.id, last: last(), roster });
  assert.deepEqual(await admitGossip(guest, message()), { syncSoon: false, ahead: [] });
  await founder.own.write(say);
  const told = { syncSoon: false, ahead: [founder.siteId] };
  assert.deepEqual(await admitGossip(guest, message()), told);
  const stranger = lastMessage({ log: new LedgerAuthor("stranger").log.id, last: 9, roster });
  assert.deepEqual(await admitGossip(guest, stranger), { syncSoon: false, ahead: [] });
  await pull(guest, founder);
  const follows = lastMessage({ log: log.id, last: last(), roster: parseRosterHash("ab".repeat(32)) });
  assert.deepEqual(await admitGossip(guest, follows), told);
});

test("what is no message is refused by its code", async () => {
  const [founder, guest] = await two();
  const { log } = founder.author;
  const bad = [
    {},
    [],
    { log: Buffer.alloc(32), last: 1 },
    { entry: Buffer.alloc(1) },
    { log: Buffer.alloc(32), last: -1, roster: Buffer.alloc(32) },
  ];
  for (const value of bad) assert.throws(() => readGossip(encodeCbor(value)), hasCode("bad-encoding"));
  assert.throws(() => readGossip(Buffer.alloc(limits.gossipBytes + 1)), hasCode("limit-exceeded"));
  const forged = Buffer.from(founder.author.entry({ seq: 9 }));
  forged[forged.length - 1]! ^= 1;
  await assert.rejects(admitGossip(guest, gossipMessage(forged, log.bytes)), hasCode("signature-invalid"));
  const longest = founder.author.entry({ seq: 9, data: { long: Buffer.alloc(limits.ledgerEntryBytes - 250) } });
  assert.ok(gossipMessage(longest, Buffer.alloc(limits.epochCertificateBytes)).length <= limits.gossipBytes);
});

test.run();
