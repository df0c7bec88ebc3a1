/**
 * Goal: a machine writes as its site only when it has asked those that may know what it has forgotten; of what is spread at one moment a wrong
 * message spoils no other; what was lost of what is spread is asked for; rosters that were put together apart are one again soon. Who is cut off knows it. Method: sites on a network in memory, one of which begins again, and messages made by hand.
 */
import assert from "node:assert/strict";
import { signEntry } from "#ledger/entry.ts";
import { gossipMessage, lastMessage } from "#ledger/gossip.ts";
import { applyChange } from "#ledger/roster-chain.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { encodeRoster, encodeRosterBody, parseRoster, signRosterBody } from "#ledger/roster.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { majorityLink, parseMajorityLink } from "#protocol/recovery-chain.ts";
import { newKit } from "#test/support/lost-kit.ts";
import { suite } from "#test/support/suite.ts";
import type { FederationSite } from "./federation-site.ts";
import { FederationWorld } from "./federation-world.ts";

const test = suite("ledger sync");
type Member = FederationWorld["members"][number];

function lines(world: FederationWorld, change: "cut" | "mend", self: Member, peers: readonly Member[]): void {
  for (const peer of peers)
    for (const [from, to] of [
      [self, peer],
      [peer, self],
    ] as const)
      world.network[change](from.peerKey, to.peerKey);
}

async function restarted(cutsCount: number) {
  const world = await FederationWorld.of(4);
  await world.run(60_000);
  const [first, ...others] = world.sites;
  world.crash(first!);
  const [self, ...peers] = world.members;
  lines(world, "cut", self!, peers.slice(0, cutsCount));
  const again = await world.start(self!, first!.store);
  const { ownLog, sync } = again.federation.parts;
  return { world, others, ownLog, sync };
}

test("who has asked all others may write at once", async () => {
  const { world, ownLog } = await restarted(0);
  assert.ok(!ownLog.isReady);
  await world.run(1000);
  assert.ok(ownLog.isReady);
});

test("who reaches some of the others gives the rest ten seconds", async () => {
  const { world, ownLog } = await restarted(2);
  await world.run(9_000);
  assert.ok(!ownLog.isReady);
  await world.run(10_000);
  assert.ok(ownLog.isReady);
});

test("who reaches nobody does not write, however long", async () => {
  const { world, ownLog } = await restarted(3);
  await world.run(3 * 3_600_000);
  assert.ok(!ownLog.isReady);
});

test("most were asked when one is lacking, or an hour after the first, and it is told", async () => {
  for (const [cutsCount, isWaiting] of [
    [0, false],
    [1, false],
    [2, true],
  ] as const) {
    const { world, sync } = await restarted(cutsCount);
    const told: boolean[] = [];
    sync.onReady(() => told.push(sync.hasAskedMost));
    await world.run(30_000);
    assert.equal(sync.hasAskedMost, !isWaiting);
    await world.run(3_600_000);
    assert.ok(sync.hasAskedMost && told.at(-1));
  }
});

test("who has taken over nothing from half of the others for a day is cut off, until they are reached again", async () => {
  const world = await FederationWorld.of(4);
  await world.run(60_000);
  const [self, ...peers] = world.members;
  const { sync } = world.sites[0]!.federation.parts;
  assert.ok(sync.hearsMost);
  const cut = peers.slice(0, 2);
  lines(world, "cut", self!, cut);
  await world.run(20 * 3_600_000);
  assert.ok(sync.hearsMost, "it is not long yet");
  await world.run(5 * 3_600_000);
  assert.ok(!sync.hearsMost);
  lines(world, "mend", self!, cut);
  await world.run(3_600_000);
  assert.ok(sync.hearsMost);
});

test("another's question that finds both equal takes the place of one's own, not twice in a row", async () => {
  const world = await FederationWorld.of(2);
  await world.run(3_600_000);
  const framesCount = (): number =>
    world.members.reduce(
      (sum, { peerKey }) => sum + world.network.traffic(peerKey, ledgerProtocol.name).framesCount,
      0,
    );
  const before = framesCount();
  await world.run(24 * 3_600_000);
  // A question, its answer, and an end of each side.
  const roundsCount = (framesCount() - before) / 4;
  // Each asks 96 times a day by itself.
  assert.ok(roundsCount >= 96 && roundsCount <= 160, `${roundsCount} rounds`);
});

/** The second site has written what the first did not hear. */
async function unheard() {
  const world = await FederationWorld.of(3);
  await world.run(90_000);
  const [self, author] = world.sites;
  const { transport, entries } = author!.federation.parts;
  transport.publish = () => undefined;
  await entries.write({ kind: "placement", slice: 1, holders: [] });
  const { ledger, sync } = self!.federation.parts;
  const { siteId } = author!.identity;
  const isKnown = (): boolean => ledger.statement(siteId, "placement", "1") !== undefined;
  assert.ok(!isKnown());
  return { world, self: self!, author: author!, sync, siteId, isKnown };
}

test("a run begins with what the holder has that was not heard", async () => {
  const { world, self, isKnown } = await unheard();
  await self.backUp("first", 10);
  await world.run(2_000);
  assert.ok(isKnown());
});

test("before a run a site is asked no more than once a minute", async () => {
  const { world, sync, siteId, self, author, isKnown } = await unheard();
  const { signal } = new AbortController();
  const framesCount = (): number => world.network.traffic(self.identity.peerKey, ledgerProtocol.name).framesCount;
  const caughtUp = [sync.catchUp(siteId, signal), sync.catchUp(siteId, signal)];
  await world.run(1_000);
  await Promise.all(caughtUp);
  assert.ok(isKnown());
  const before = framesCount();
  await sync.catchUp(siteId, signal);
  assert.equal(framesCount(), before);
  await world.run(60_000);
  const { entries, ledger } = author.federation.parts;
  await entries.write({ kind: "placement", slice: 2, holders: [] });
  const again = sync.catchUp(siteId, signal);
  await world.run(1_000);
  await again;
  assert.equal(self.federation.parts.ledger.digest(), ledger.digest());
});

test("a run waits half a minute for a site that takes the question and never answers, and for one that is not reached not at all", async () => {
  const { world, self, author, sync, siteId } = await unheard();
  const { signal } = new AbortController();
  const { transport } = self.federation.parts;
  const open = transport.open.bind(transport);
  transport.open = async (...args) => {
    const channel = await open(...args);
    if (args[1] === ledgerProtocol) channel.receive = () => new Promise(() => undefined);
    return channel;
  };
  let isOver = false;
  void sync.catchUp(siteId, signal).then(() => (isOver = true));
  await world.run(29_000);
  assert.ok(!isOver);
  await world.run(2_000);
  assert.ok(isOver);
  transport.open = open;
  world.crash(author);
  const [, , third] = world.sites;
  world.crash(third!);
  const failed = sync.catchUp(third!.identity.siteId, signal);
  await world.run(1_000);
  await failed;
});

test("who says that he goes on while another was just asked is asked a minute later", async () => {
  const world = await FederationWorld.of(3);
  await world.run(90_000);
  const [reader, first, second] = world.sites as [FederationSite, FederationSite, FederationSite];
  const say = async ({ federation }: FederationSite): Promise<void> => {
    const { transport, entries } = federation.parts;
    const publish = transport.publish.bind(transport);
    transport.publish = () => undefined;
    await entries.write({ kind: "placement", slice: 1, holders: [] });
    transport.publish = publish;
  };
  const hasHeard = ({ identity }: FederationSite): boolean =>
    reader.federation.parts.ledger.statement(identity.siteId, "placement", "1") !== undefined;
  await say(first);
  while (!hasHeard(first)) await world.run(1000);
  await say(second);
  await world.run(90_000);
  assert.ok(hasHeard(second));
});

test("an entry that nobody has heard is asked for within half a minute, and what is said of a log that goes on once a minute", async () => {
  const world = await FederationWorld.of(3);
  await world.run(60_000);
  const [author, reader, liar] = world.sites;
  const { entries, ledger, transport } = author!.federation.parts;
  const publish = transport.publish.bind(transport);
  transport.publish = () => undefined;
  await entries.write({ kind: "placement", slice: 1, holders: [] });
  transport.publish = publish;
  const isThere = (): boolean => reader!.federation.parts.ledger.digest() === ledger.digest();
  assert.ok(!isThere());
  await world.run(30_000);
  assert.ok(isThere());

  const asked: unknown[] = [];
  const roster = author!.federation.parts.membership.roster!.hash;
  const { sync } = reader!.federation.parts;
  const ask = sync.with.bind(sync);
  sync.with = (peer) => (asked.push(peer), ask(peer));
  for (let at = 0; at < 10 * 60; at++) {
    liar!.federation.parts.transport.publish(lastMessage({ log: author!.identity.log.id, last: 1000 + at, roster }));
    await world.run(1000);
  }
  assert.ok(asked.length >= 8 && asked.length <= 12, `${asked.length} questions`);
});

test("of many messages that come at one moment the wrong ones are refused and the others admitted", async () => {
  const world = await FederationWorld.of(2);
  await world.run(60_000);
  const [author, reader] = world.sites;
  const { log, peerSeed } = author!.identity;
  const first = author!.federation.parts.ledger.log(log.id)!.lastSeq! + 1;
  const messages = Array.from({ length: 200 }, (_, at) => {
    const fields = {
      id: parseEntryId(makeUuidV7(at)),
      logId: log.id,
      seq: first + at,
      timeMs: at,
      kind: "note",
      data: {},
    };
    const entry = signEntry(fields, peerSeed);
    if (at % 50 === 7) entry[entry.length - 1]! ^= 1;
    return gossipMessage(entry, log.bytes);
  });
  const { transport } = author!.federation.parts;
  for (const message of messages) transport.publish(message);
  await world.run(1000);
  const { known } = reader!.federation.parts.ledger.log(log.id)!;
  const lacking = messages.flatMap((_, at) => (known.has(first + at) ? [] : [at]));
  assert.deepEqual(lacking, [7, 57, 107, 157]);
  assert.equal(reader!.events.filter(({ event }) => event === "message-refused").length, 4);
});

/** Those that may follow: with another recovery key of each site. */
function nextRosters({ members, sites }: Awaited<ReturnType<typeof FederationWorld.of>>) {
  const { roster } = sites[0]!.federation.parts.membership;
  const signers = members.toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1));
  return members.map(({ siteId, log }) => {
    const link = parseMajorityLink(majorityLink({ siteId, number: 2, key: newKit(1).publicKey, logs: [log.id] }));
    const body = encodeRosterBody(applyChange(roster!, { action: "rekey", siteId, link })!);
    const signatures = signers.map((signer) => ({
      certificate: signer.log.bytes,
      signature: signRosterBody(body, signer.peerSeed),
    }));
    return parseRoster(encodeRoster(body, signatures));
  });
}

test("a site that did not hear all consents before they were withdrawn has the roster half a minute after another one has written", async () => {
  const world = await FederationWorld.of(4);
  await world.run(60_000);
  const late = world.sites.at(-1)!;
  const [roster] = nextRosters(world);
  for (const { federation } of world.sites.slice(0, -1)) await federation.parts.membership.offer([roster!.bytes]);
  const hash = (): unknown => late.federation.parts.membership.roster!.hash;
  assert.notEqual(hash(), roster!.hash);
  await world.sites[0]!.federation.parts.entries.write({ kind: "placement", slice: 1, holders: [] });
  await world.run(30_000);
  assert.equal(hash(), roster!.hash);
});

test("of two rosters that were put together at one moment all have the same one within seconds of what is signed after it", async () => {
  const world = await FederationWorld.of(4);
  await world.run(60_000);
  const [first] = world.sites;
  const rosters = nextRosters(world).slice(0, 2);
  const [preferred, other] = rosters.toSorted((one, another) => (one.hash < another.hash ? -1 : 1));
  for (const site of world.sites)
    await site.federation.parts.membership.offer([(site === first ? preferred! : other!).bytes]);
  const hashes = (): unknown[] => world.sites.map(({ federation }) => federation.parts.membership.roster!.hash);
  await world.run(10_000);
  assert.deepEqual(hashes(), [preferred!.hash, other!.hash, other!.hash, other!.hash], "nobody knows of it");
  const { siteId } = world.members[3]!;
  const { rosterUpkeep, parts } = first!.federation;
  await parts.wishes.make({ action: "remove", siteId, heads: rosterUpkeep.headsOf(siteId) });
  rosterUpkeep.look();
  await world.run(10_000);
  assert.deepEqual(new Set(hashes()), new Set([preferred!.hash]));
});

test.run();
