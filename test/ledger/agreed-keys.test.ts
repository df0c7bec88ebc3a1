/**
 * Goal: a recovery key on which members have agreed counts where a roster says so, whatever came before, and nowhere else; then nobody gets anything by the
 * former one. Method: rosters that members have signed, machines that claim a key without one, all through the doors that strangers have.
 */
import assert from "node:assert/strict";
import { answerHello, helloProtocol, sayHello } from "#ledger/hello.ts";
import { answerJoin, joinProtocol } from "#ledger/join.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { answerRecover, askRecover, recoverProtocol } from "#ledger/recover.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { RecoveryKey } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { signRecoveryLink } from "#protocol/recovery-chain.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { federationOf, rosterAfter, settle } from "#test/support/federation.ts";
import { LedgerAuthor, recoveryKeyOf } from "#test/support/ledger-author.ts";
import { linkOf, newKit } from "#test/support/lost-kit.ts";
import { type Replica, pull, signedRoster } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("agreed keys");

const LOST = "site 0";
type Three = [Replica, Replica, Replica];
const threeMembers = async (): Promise<Three> => {
  const replicas = (await federationOf(3)) as Three;
  await settle(replicas);
  return replicas;
};

/** As the two others sign it. */
const rekeyed = ([lost, one, other]: Three): Buffer =>
  signedRoster(rosterAfter(one, { rekey: linkOf(lost) }), [one.author, other.author]);
/** A machine of the key on which they agree, or would. */
const machineOf = (lost: Replica, epoch = 2, name = "new"): LedgerAuthor =>
  new LedgerAuthor(LOST, epoch, name, { seed: newKit(1).seed, chain: [linkOf(lost).bytes] });

async function says(answerer: Replica, machine: LedgerAuthor): Promise<boolean> {
  const peers = [peerKeyOf(answerer.author.log), peerKeyOf(machine.log)] as const;
  const { channels } = channelPair(helloProtocol, { peers: [...peers] });
  const [{ isKnown }] = await Promise.all([sayHello(channels[0], machine.log), answerHello(channels[1], answerer)]);
  return isKnown;
}

test("where no roster has it, a chain by majority opens no log, at no door, and changes nothing", async () => {
  const [lost, one, other] = await threeMembers();
  const thief = machineOf(lost);
  const before = one.ledger.digest();
  assert.equal(await says(one, thief), false);
  const offer = { certificates: [thief.log.bytes], entries: [thief.entry()] };
  assert.deepEqual(await one.ledger.offer(offer), ["not-allowed"]);
  const again = new LedgerAuthor(LOST, 1, "machine", { seed: newKit(1).seed, chain: [linkOf(lost).bytes] });
  await one.ledger.offer({ certificates: [again.log.bytes] });
  await lost.own.write({ kind: "recovery-key", site: lost.siteId, chain: [linkOf(lost).bytes as Buffer] });
  await settle([lost, one, other]);
  for (const replica of [one, other, await one.reopened()]) {
    assert.equal(replica.ledger.recoveryKeys.chainOf(lost.siteId).length, 0);
    assert.ok(!replica.ledger.recoveryKeys.hasRival(lost.siteId));
    assert.ok(!replica.membership.peerMayConnect(peerKeyOf(thief.log)));
  }
  assert.notEqual(one.ledger.digest(), before, "the entry is kept, and says nothing");
  const body = rosterAfter(one, { members: one.membership.roster!.members.slice(0, 2) });
  await assert.rejects(one.membership.offer([signedRoster(body, [thief, one.author])]));
});

test("nobody joins as another site by a chain that no roster here has", async () => {
  const [lost, one] = await threeMembers();
  const thief = machineOf(lost);
  const peers = [peerKeyOf(thief.log), peerKeyOf(one.author.log)] as [PeerKey, PeerKey];
  const { channels } = channelPair(joinProtocol, { peers });
  const invitations = { show: () => assert.fail("the secret is not looked at") };
  await channels[0].send(encodeCbor({ secret: Buffer.alloc(16), certificate: thief.log.bytes, name: "Hill School" }));
  await assert.rejects(
    answerJoin(channels[1], { membership: one.membership, log: one.author.log, invitations: invitations as never }),
    { code: "peer-misbehaved" },
  );
});

test("from the roster on a machine of the new key is the site, and the former key opens nothing, after restarts too", async () => {
  const three = await threeMembers();
  const [lost, one, other] = three;
  assert.ok(await one.membership.offer([rekeyed(three)]));
  assert.deepEqual(one.events.at(-1), { event: "recovery-key", siteId: lost.siteId, number: 2 });
  await pull(other, one);
  for (const replica of [one, other, await other.reopened()]) {
    assert.equal(replica.membership.peerOf(lost.siteId), peerKeyOf(lost.author.log), "its log goes on");
    assert.equal(await says(replica, new LedgerAuthor(LOST, 9, "thief with the former kit")), false);
    assert.equal(await says(replica, machineOf(lost)), true);
    assert.equal(replica.membership.peerOf(lost.siteId), peerKeyOf(machineOf(lost).log));
  }
});

test("it counts more than what the former key has signed, whichever came first", async () => {
  const three = await threeMembers();
  const [lost, one, other] = three;
  const byFormer = [signRecoveryLink(linkOf(lost, 2), recoveryKeyOf(LOST).seed)];
  const thief = new LedgerAuthor(LOST, 5, "thief", { seed: newKit(2).seed, chain: byFormer });
  assert.equal(await says(one, thief), true);
  const roster = rekeyed(three);
  await one.membership.offer([roster]);
  await other.membership.offer([roster]);
  assert.equal(await says(other, thief), false);
  for (const replica of [one, other, await one.reopened(), await other.reopened()]) {
    assert.ok(replica.ledger.recoveryKeys.isNewest(lost.siteId, newKit(1).publicKey));
    assert.ok(!replica.membership.peerMayConnect(peerKeyOf(thief.log)));
    assert.equal(replica.membership.peerOf(lost.siteId), peerKeyOf(lost.author.log));
  }
});

test("a stop between the roster and what the ledger keeps of it loses nothing", async () => {
  const three = await threeMembers();
  const [lost, one] = three;
  const { store } = one;
  const write = store.write.bind(store);
  store.write = (changes) =>
    changes.some(({ key }) => key.startsWith("chain/"))
      ? Promise.reject(new Error("the power is cut"))
      : write(changes);
  await assert.rejects(one.membership.offer([rekeyed(three)]), /power/);
  store.write = write;
  const again = await one.reopened();
  assert.ok(again.ledger.recoveryKeys.isNewest(lost.siteId, newKit(1).publicKey));
  assert.equal(await says(again, new LedgerAuthor(LOST, 9, "thief")), false);
});

test("a roster that another branch takes the place of does not bring the former key back where it was known", async () => {
  const three = await threeMembers();
  const [lost, one, other] = three;
  await one.membership.offer([rekeyed(three)]);
  const { members } = other.membership.roster!;
  // Of two rosters of one number the one with the lower hash counts.
  for (let at = 0; one.membership.agreedLinks(lost.siteId).length > 0; at++) {
    const { siteId } = new LedgerAuthor(`guest ${at}`);
    const admitted = [...members, { siteId, inviter: null }].sort((left, right) =>
      left.siteId < right.siteId ? -1 : 1,
    );
    const body = rosterAfter(other, { members: admitted });
    await one.membership.offer([signedRoster(body, [one.author, other.author, lost.author])]);
  }
  assert.ok(one.ledger.recoveryKeys.isNewest(lost.siteId, newKit(1).publicKey));
});

test("with the new kit a machine learns the federation; the former kit is refused, and a liar without a roster is believed nothing", async () => {
  const three = await threeMembers();
  const [lost, one, other] = three;
  await one.membership.offer([rekeyed(three)]);
  const machineSeed = Buffer.alloc(32, 9);
  const self = publicKeyOf("ed25519", machineSeed).toString("hex") as PeerKey;
  const askOf = async (answerer: Replica, recovery: RecoveryKey, recoveryKeys = answerer.ledger.recoveryKeys) => {
    const { channels } = channelPair(recoverProtocol, { peers: [peerKeyOf(answerer.author.log), self] });
    const { ledger, membership, author } = answerer;
    const told = {
      logsOf: ledger.logsOf.bind(ledger),
      keptEntry: ledger.keptEntry.bind(ledger),
      recoveryKeys,
    };
    const [answer] = await Promise.all([
      askRecover(channels[0], { recovery, self }),
      answerRecover(channels[1], { membership, ledger: told, log: author.log }),
    ]);
    return answer;
  };
  const answer = await askOf(one, newKit(1));
  assert.equal(answer.siteId, lost.siteId);
  assert.deepEqual(
    answer.chain.map((link) => Buffer.from(link)),
    [Buffer.from(linkOf(lost).bytes)],
  );
  await assert.rejects(askOf(one, recoveryKeyOf(LOST)), { code: "peer-refused" });
  await assert.rejects(askOf(other, newKit(1)), { code: "peer-refused" }, "it has not heard of the roster");
  await assert.rejects(askOf(other, newKit(1), one.ledger.recoveryKeys), { code: "peer-misbehaved" });
});

test.run();
