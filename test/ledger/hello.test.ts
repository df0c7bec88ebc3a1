/**
 * Goal: a machine that has a newer certificate of a member's or guest's recovery key is its site's from then on, and nobody else is.
 * Method: both sides over channels in memory; each rule broken.
 */
import assert from "node:assert/strict";
import { answerHello, helloProtocol, sayHello } from "#ledger/hello.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { epochCertificateBody, signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { federationOf, settle } from "#test/support/federation.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hello");

const isMisbehaved = (error: unknown): boolean => isCostorError(error, "peer-misbehaved");
const ownPeerOf = ({ log }: LedgerAuthor): PeerKey => peerKeyOf(log);

/** The machine says hello; whether it is known, and whether it was met just now. */
async function hello(answerer: Replica, machine: LedgerAuthor, peer = ownPeerOf(machine)): Promise<[boolean, boolean]> {
  const { channels } = channelPair(helloProtocol, { peers: [ownPeerOf(answerer.author), peer] });
  const [said, isNew] = await Promise.all([sayHello(channels[0], machine.log), answerHello(channels[1], answerer)]);
  return [said.isKnown, isNew];
}

/** One frame of any content. */
async function say(answerer: Replica, frame: Uint8Array, peer: PeerKey): Promise<unknown> {
  const { channels } = channelPair(helloProtocol, { peers: [peer, peer] });
  await channels[0].send(frame);
  await channels[0].close();
  return answerHello(channels[1], answerer);
}

test("a machine of a later epoch is its site's from then on, and the one before it is not any more", async () => {
  const [one, other] = (await federationOf(2)) as [Replica, Replica];
  const next = new LedgerAuthor("site 1", 2);
  assert.equal(next.siteId, other.siteId);
  assert.ok(!one.membership.peerMayConnect(ownPeerOf(next)));
  assert.deepEqual(await hello(one, next), [true, true]);
  for (const replica of [one, await one.reopened()]) {
    assert.equal(replica.membership.siteOfPeer(ownPeerOf(next)), other.siteId);
    assert.ok(!replica.membership.peerMayConnect(ownPeerOf(other.author)));
  }
  assert.deepEqual(await hello(one, next), [true, false], "it may ask again");
  assert.equal(one.ledger.digest(), other.ledger.digest(), "it has said nothing yet");
});

test("a machine of an earlier epoch, or the later of two of one epoch, is refused and not kept", async () => {
  const [one] = (await federationOf(2)) as [Replica];
  const [low, high] = ["a", "b"]
    .map((machine) => new LedgerAuthor("site 1", 5, machine))
    .sort((left, right) => (left.log.id < right.log.id ? -1 : 1)) as [LedgerAuthor, LedgerAuthor];
  assert.deepEqual(await hello(one, low), [true, true]);
  for (const machine of [high, new LedgerAuthor("site 1", 4), new LedgerAuthor("site 1", 1)]) {
    assert.deepEqual((await hello(one, machine))[0], false);
    assert.equal(one.membership.peerOf(low.siteId), ownPeerOf(low));
  }
  assert.equal(one.ledger.log(high.log.id), undefined);
});

test("a machine of a guest is met; one of a site that is out, or was never in, is not", async () => {
  const replicas = await federationOf(3);
  const [one, other, third] = replicas as [Replica, Replica, Replica];
  const guest = await Replica.open("guest");
  await one.letIn(guest);
  assert.deepEqual(await hello(one, new LedgerAuthor("guest", 2)), [true, true]);
  assert.deepEqual(await hello(one, new LedgerAuthor("stranger", 2)), [false, false]);
  for (const replica of [one, other]) replica.wishRemoved(third.siteId);
  await settle([one, other]);
  const next = new LedgerAuthor("site 2", 2);
  assert.equal(next.siteId, third.siteId);
  assert.deepEqual(await hello(one, next), [false, false]);
  assert.equal(one.ledger.log(next.log.id), undefined);
});

test("a certificate that is not the machine's own, or not signed by the site's recovery key, is misbehaviour", async () => {
  const [one] = (await federationOf(2)) as [Replica];
  const next = new LedgerAuthor("site 1", 2);
  const peer = ownPeerOf(next);
  const { siteId, peerPublicKey } = next.log.certificate;
  const forger = deriveRecoveryKey(Buffer.alloc(32, 7));
  const bent = Buffer.from(next.log.bytes);
  bent[bent.length - 1]! ^= 1;
  const own = Buffer.from(ownPeerOf(one.author), "hex");
  const attempts: Record<string, Uint8Array> = {
    "another machine's": encodeCbor({ certificate: new LedgerAuthor("site 1", 3).log.bytes }),
    bent: encodeCbor({ certificate: bent }),
    "its body": encodeCbor({ certificate: epochCertificateBody(next.log.bytes) }),
    "no certificate": encodeCbor({ certificate: own }),
    "a number": encodeCbor({ certificate: 7 }),
    nothing: encodeCbor({}),
    "a list": encodeCbor([next.log.bytes]),
    "another key's": encodeCbor({
      certificate: signEpochCertificate({ siteId, peerPublicKey, epoch: 2, previousHead: null }, forger.seed),
    }),
    noise: Buffer.from("hello"),
  };
  for (const [what, frame] of Object.entries(attempts)) await assert.rejects(say(one, frame, peer), isMisbehaved, what);
  assert.ok(!one.membership.peerMayConnect(peer));
  assert.equal(one.ledger.log(next.log.id), undefined);
});

test("a frame larger than a certificate is not taken", async () => {
  const [one] = (await federationOf(2)) as [Replica];
  const peer = ownPeerOf(one.author);
  await assert.rejects(say(one, Buffer.alloc(limits.helloFrameBytes + 1), peer), (error) =>
    isCostorError(error, "limit-exceeded"),
  );
});

test("a site has only so many machines", async () => {
  const [one] = (await federationOf(2)) as [Replica];
  const machines = Array.from({ length: limits.ledgerLogsPerSiteCount }, (_, at) => new LedgerAuthor("site 1", at + 2));
  const known: boolean[] = [];
  for (const machine of machines) known.push((await hello(one, machine))[0]);
  assert.deepEqual(known, [...known.slice(1).map(() => true), false]);
});

test("an answer that is none is misbehaviour, and silence is not an answer", async () => {
  const machine = new LedgerAuthor("site 1", 2);
  for (const [answer, code] of [
    [encodeCbor({ state: "welcome" }), "peer-misbehaved"],
    [encodeCbor("known"), "peer-misbehaved"],
    [Buffer.from("?"), "bad-encoding"],
    [undefined, "peer-unreachable"],
  ] as const) {
    const { channels } = channelPair(helloProtocol);
    if (answer !== undefined) await channels[1].send(answer);
    await channels[1].close();
    await assert.rejects(sayHello(channels[0], machine.log), (error) => isCostorError(error, code));
  }
});

test.run();
