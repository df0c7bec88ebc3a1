/**
 * Goal: a machine with a site's newest recovery key learns which machines were that site, and nobody else learns anything; a site that lies is found
 * out, or withholds. Method: both sides over channels in memory; each rule broken.
 */
import assert from "node:assert/strict";
import { type RecoverAnswer, answerRecover, askLost, askRecover, recoverProtocol } from "#ledger/recover.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { type RecoveryKey, deriveRecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { publicKeyOf, signEd25519 } from "#protocol/raw-keys.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { federationOf } from "#test/support/federation.ts";
import { LedgerAuthor, recoveryKeyOf } from "#test/support/ledger-author.ts";
import type { Replica } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("recover");

const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isCostorError(error, code);
const machineSeed = Buffer.alloc(32, 9);
const self = publicKeyOf("ed25519", machineSeed).toString("hex") as PeerKey;

async function ask(answerer: Replica, recovery: RecoveryKey): Promise<RecoverAnswer> {
  const { channels } = channelPair(recoverProtocol, { peers: [peerKeyOf(answerer.author.log), self] });
  const { membership, ledger, author } = answerer;
  const [answer] = await Promise.all([
    askRecover(channels[0], { recovery, self }),
    answerRecover(channels[1], { membership, ledger, log: author.log }),
  ]);
  return answer;
}

/** Of the second of them. */
const secondKey = recoveryKeyOf("site 1");
const sites = async () => (await federationOf(3)) as [Replica, Replica, Replica];

test("with the kit of a member a machine learns the federation, who it is, and the newest entry", async () => {
  const [one, two] = await sites();
  const entry = await two.own.write({ kind: "loss", owner: one.siteId, slice: 1, count: 1 });
  await one.ledger.offer({ entries: [entry] });
  const answer = await ask(one, secondKey);
  assert.equal(answer.siteId, two.siteId);
  assert.equal(answer.helper.id, one.author.log.id);
  assert.deepEqual(
    answer.logs.map(({ id }) => id),
    [two.author.log.id],
  );
  assert.ok(Buffer.from(answer.head!).equals(entry));
  assert.equal(answer.federationId, one.membership.federationId);
  assert.equal(answer.rosters.length, one.membership.roster!.number + 1);
});

test("the machine that is a site still, and has lost what it knew, is told without the kit; another machine is not", async () => {
  const [one, two] = await sites();
  const askAs = async (peer: PeerKey): Promise<RecoverAnswer> => {
    const { channels } = channelPair(recoverProtocol, { peers: [peerKeyOf(one.author.log), peer] });
    const { membership, ledger, author } = one;
    const [answer] = await Promise.all([
      askLost(channels[0], { log: two.author.log }),
      answerRecover(channels[1], { membership, ledger, log: author.log }),
    ]);
    return answer;
  };
  const answer = await askAs(peerKeyOf(two.author.log));
  assert.equal(answer.siteId, two.siteId);
  assert.equal(answer.rosters.length, one.membership.roster!.number + 1);
  await assert.rejects(askAs(self), refusedWith("peer-refused"));
});

test("a kit of no site here is refused", async () => {
  const [one] = await sites();
  await assert.rejects(ask(one, deriveRecoveryKey(Buffer.alloc(32, 1))), refusedWith("peer-refused"));
});

test("who cannot sign by the key, or asks by another's signature, is turned away", async () => {
  const [one, two] = await sites();
  const { publicKey, seed } = secondKey;
  const asked = peerKeyOf(one.author.log);
  const domain = Buffer.from("costor/v1/recover\0");
  const signed = (asker: PeerKey, answerer: PeerKey): Buffer =>
    Buffer.concat([domain, Buffer.from(asker, "hex"), Buffer.from(answerer, "hex")]);
  const other = peerKeyOf(two.author.log);
  for (const frame of [
    encodeCbor({ key: publicKey, signature: signEd25519(machineSeed, signed(self, asked)) }),
    encodeCbor({ key: publicKey, signature: signEd25519(seed, signed(other, asked)) }),
    encodeCbor({ key: publicKey, signature: signEd25519(seed, signed(self, other)) }),
    encodeCbor({ key: publicKey, signature: Buffer.alloc(63) }),
    encodeCbor([]),
    Buffer.alloc(limits.helloFrameBytes + 1),
  ]) {
    const { channels } = channelPair(recoverProtocol, { peers: [asked, self] });
    await channels[0].send(frame);
    const { membership, ledger, author } = one;
    await assert.rejects(
      answerRecover(channels[1], { membership, ledger, log: author.log }),
      refusedWith("peer-misbehaved"),
    );
  }
});

test("an answer with another's logs, entries, rosters or key is none", async () => {
  const [one, two] = await sites();
  const recovery = secondKey;
  const rosters = await Array.fromAsync(one.membership.rosters());
  const site = Buffer.from(two.siteId, "hex");
  const good = {
    state: "known",
    certificate: one.author.log.bytes,
    site,
    chain: [],
    logs: [two.author.log.bytes],
    head: null,
  };
  const thief = new LedgerAuthor("thief");
  const hasAnswer = async (answer: object, chain: readonly Uint8Array[]): Promise<RecoverAnswer> => {
    const { channels } = channelPair(recoverProtocol, { peers: [peerKeyOf(one.author.log), self] });
    await channels[1].send(encodeCbor(answer as never));
    for (const roster of chain) await channels[1].send(roster);
    await channels[1].close();
    return askRecover(channels[0], { recovery, self });
  };
  assert.equal((await hasAnswer(good, rosters)).siteId, two.siteId);
  const bad: [object, readonly Uint8Array[]][] = [
    [{ ...good, certificate: two.author.log.bytes }, rosters],
    [{ ...good, site: Buffer.from(one.siteId, "hex") }, rosters],
    [{ ...good, logs: [one.author.log.bytes] }, rosters],
    [{ ...good, logs: [thief.log.bytes] }, rosters],
    [{ ...good, head: one.author.entry({ seq: 1 }) }, rosters],
    [{ ...good, chain: [Buffer.alloc(3)] }, rosters],
    [{ state: "known" }, rosters],
    [good, []],
    [good, rosters.toReversed()],
  ];
  for (const [answer, chain] of bad) await assert.rejects(hasAnswer(answer, chain), refusedWith("peer-misbehaved"));
  await assert.rejects(hasAnswer({ state: "refused" }, []), refusedWith("peer-refused"));
});

test.run();
