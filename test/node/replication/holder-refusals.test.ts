/** Goal: nobody gets a holder to keep what it should not, or to say what is not so. Method: a conversation with a real holder, one case a rule. */
import assert from "node:assert/strict";
import { failsAudit } from "#ledger/audit-sample.ts";
import { decodeMessage, encodeBatch, encodeMessage } from "#node/replication/frame-codec.ts";
import type { SliceToSend } from "#node/replication/owner-run.ts";
import { replicateAnswer, replicateProtocol } from "#node/replication/replicate-messages.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";
import { DAY_MS } from "./test-clock.ts";

/** When everything that follows in memory has followed. */
const settled = () => new Promise((resolve) => void setImmediate(resolve));

const test = suite("holder-refusals");

/** A channel from `owner` to `holder`, and how to say something on it. */
async function conversation(owner: ReplicatingSite, holder: ReplicatingSite) {
  const channel = await owner.peers.open(holder.peerKey, replicateProtocol);
  const ask = async (frame: Uint8Array) => {
    await channel.send(frame);
    const answer = await channel.receive();
    return decodeMessage(answer!, replicateAnswer);
  };
  const reserve = ({ slice, bytes, namingEntry }: SliceToSend, ownerId = owner.siteId) =>
    ask(encodeMessage({ kind: "reserve", owner: Buffer.from(ownerId, "hex"), slice, bytes, entry: namingEntry }));
  return { channel, ask, reserve };
}

const codeOf = (answer: { kind: string; code?: string }): string | undefined =>
  answer.kind === "refused" ? answer.code : answer.kind;

async function ownerWithSlice(init: { offeredBytes?: number; ownerBytes?: number } = {}) {
  const all = new ReplicatingFederation();
  const owner = await all.add("owner");
  const holder = await all.add("holder", init);
  const ids = await owner.backUp("first", 40, 1000);
  const slices = await owner.slicesFor([holder]);
  const [first] = slices.filter((slice) => slice.ids.length > 1);
  const primes = await Promise.all(first!.ids.map(async (id) => ({ id, stored: await owner.store.get(id) })));
  return { all, owner, holder, ids, slices, first: first!, primes };
}

/** The steward has named a further holder of the first slice, reserved it there, and has its own receipt to send. */
async function stewardship(sites: {
  readonly all: ReplicatingFederation;
  readonly owner: ReplicatingSite;
  readonly steward: ReplicatingSite;
  readonly further: ReplicatingSite;
  readonly first: SliceToSend;
}) {
  const { all, owner, steward, further, first } = sites;
  const { slice } = first;
  const namingEntry = await steward.say({ kind: "steward", owner: owner.siteId, slice, holders: [further.siteId] });
  await all.spread();
  const receipt = steward.receiptFor(owner.siteId, slice)!;
  const entry = (await steward.ledger.entry(receipt.logId, receipt.seq))!;
  const { ask, reserve } = await conversation(steward, further);
  await reserve({ ...first, namingEntry }, owner.siteId);
  return { ask, receipt, entry };
}

test("a frame that is larger than a batch may be is not sent", async () => {
  const { owner, holder } = await ownerWithSlice();
  const { channel } = await conversation(owner, holder);
  const frame = Buffer.alloc(limits.replicateFrameBytes + 1, 0xff);
  await assert.rejects(channel.send(frame), (error) => isCostorError(error, "limit-exceeded"));
});

test("primes without a reservation are refused", async () => {
  const { owner, holder, primes } = await ownerWithSlice();
  const { ask } = await conversation(owner, holder);
  assert.equal(codeOf(await ask(encodeBatch(primes))), "peer-misbehaved");
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
});

test("whoever signs anew without end gets as many receipts as there are in a day, and goes on on the next", async () => {
  const { owner, holder, first } = await ownerWithSlice();
  await owner.replicate(holder, [first]);
  for (let generation = 2; ; generation++) {
    const next = await owner.signed(first.slice, generation, first.namingEntry);
    const [report] = await owner.replicate(holder, [next]);
    if (report!.end === "received") continue;
    assert.equal(generation - 1, limits.receiptEntriesPerDayCount);
    assert.equal(codeOf(await (await conversation(owner, holder)).reserve(next)), "too-many-requests");
    holder.clock.pass(DAY_MS);
    assert.equal((await owner.replicate(holder, [next]))[0]!.end, "received");
    return;
  }
});

test("a slice that is finished again and again is receipted once", async () => {
  const { owner, holder, primes, first } = await ownerWithSlice();
  const { ask, reserve } = await conversation(owner, holder);
  await reserve(first);
  await ask(encodeBatch(primes));
  const finish = encodeMessage({ kind: "finish", entry: first.entry, extras: Buffer.alloc(0) });
  for (let at = 0; at <= limits.statementsPerEntryCount; at++) assert.equal(codeOf(await ask(finish)), "received");
  const answer = await ask(encodeMessage({ kind: "end" }));
  assert.equal(answer.kind === "receipts" && answer.entries.length, 1);
  assert.equal(holder.receiptFor(owner.siteId, first.slice)?.statements.length, 1);
});

test("primes of a slice that was not reserved are refused, with all of their batch", async () => {
  const { owner, holder, primes, slices, first } = await ownerWithSlice();
  const { ask, reserve } = await conversation(owner, holder);
  assert.equal(codeOf(await reserve(slices.find(({ slice }) => slice !== first.slice)!)), "granted");
  assert.equal(codeOf(await ask(encodeBatch(primes))), "peer-misbehaved");
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
});

test("a prime whose bytes are not those of its id is refused, with all of its batch", async () => {
  const { owner, holder, primes, first } = await ownerWithSlice();
  const { ask, reserve } = await conversation(owner, holder);
  await reserve(first);
  const wrong = [{ ...primes[0]!, stored: primes[1]!.stored }, primes[1]!];
  assert.equal(codeOf(await ask(encodeBatch(wrong))), "prime-mismatch");
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
});

test("more than was reserved is refused", async () => {
  const { owner, holder, primes, first } = await ownerWithSlice();
  const { ask, reserve } = await conversation(owner, holder);
  await reserve({ ...first, bytes: 1500 });
  assert.equal(codeOf(await ask(encodeBatch(primes.slice(0, 1)))), "kept");
  assert.equal(codeOf(await ask(encodeBatch(primes.slice(1)))), "quota-exceeded");
  assert.equal((await holder.keptFor(owner.siteId)).length, 1);
});

test("what is above a quota is refused when it is reserved, and when it is sent all the same", async () => {
  for (const init of [{ ownerBytes: 5000 }, { offeredBytes: 5000 }]) {
    const { owner, holder, first, slices } = await ownerWithSlice(init);
    const { channel, reserve } = await conversation(owner, holder);
    assert.equal(codeOf(await reserve({ ...first, bytes: 5001 })), "quota-exceeded");
    assert.equal(codeOf(await reserve({ ...first, bytes: 1000 })), "granted", "a refusal leaves the run as it was");
    channel.abort();
    await settled();
    const reports = await owner.replicate(holder, slices);
    assert.ok(reports.some(({ end }) => end === "refused"));
    const kept = await holder.store.keptTotals();
    assert.ok(kept.every(({ bytes }) => bytes <= 5000));
  }
});

test("without a placement an owner may look at what is here of it, and nobody else; nothing is kept by that", async () => {
  const { all, owner, first, primes } = await ownerWithSlice();
  const holder = await all.add("named by nobody");
  const thief = await all.add("thief");
  const look = (ownerId = owner.siteId, bytes = 0) =>
    encodeMessage({ kind: "reserve", owner: Buffer.from(ownerId, "hex"), slice: first.slice, bytes });
  const { ask } = await conversation(owner, holder);
  assert.equal(codeOf(await ask(look(owner.siteId, 1))), "peer-refused");
  assert.equal(codeOf(await ask(look())), "granted");
  assert.equal(codeOf(await ask(encodeBatch(primes))), "quota-exceeded");
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
  const other = await conversation(thief, holder);
  assert.equal(codeOf(await other.ask(look())), "peer-refused");
});

test("two owners are not promised the same room", async () => {
  const all = new ReplicatingFederation();
  const holder = await all.add("holder", { offeredBytes: 10_000 });
  const answers: (string | undefined)[] = [];
  for (const name of ["one", "two"]) {
    const owner = await all.add(name);
    await owner.backUp("first", 40);
    const [slice] = await owner.slicesFor([holder], [0]);
    const { reserve } = await conversation(owner, holder);
    answers.push(codeOf(await reserve({ ...slice!, bytes: 6000 })));
  }
  assert.deepEqual(answers, ["granted", "quota-exceeded"]);
});

test("two owners are filled for the first time at once, and the third when one has gone", async () => {
  const all = new ReplicatingFederation();
  const holder = await all.add("holder");
  const talks: Awaited<ReturnType<typeof conversation>>[] = [];
  const answers: (string | undefined)[] = [];
  const slices: SliceToSend[] = [];
  for (const name of ["one", "two", "three"]) {
    const owner = await all.add(name);
    slices.push(...(await owner.slicesFor([holder], [0])));
    talks.push(await conversation(owner, holder));
    answers.push(codeOf(await talks.at(-1)!.reserve(slices.at(-1)!)));
  }
  assert.deepEqual(answers, ["granted", "granted", "too-many-requests"]);
  talks[0]!.channel.abort();
  await settled();
  assert.equal(codeOf(await talks[2]!.reserve(slices[2]!)), "granted");
});

test("a site that the owner's placement does not name keeps nothing for it", async () => {
  const all = new ReplicatingFederation();
  const [owner, named, other] = [await all.add("owner"), await all.add("a"), await all.add("b")];
  await owner.backUp("first", 40);
  const [slice] = await owner.slicesFor([named], [0]);
  const { reserve } = await conversation(owner, other);
  assert.equal(codeOf(await reserve(slice!)), "peer-refused");
});

test("nobody sends in an owner's name but a steward whom the owner's own holders make one", async () => {
  const { all, owner, holder, first } = await ownerWithSlice();
  const stranger = await all.add("stranger");
  const further = await all.add("further");
  const steward = { kind: "steward", owner: owner.siteId, slice: first.slice, holders: [further.siteId] } as const;
  const asStranger = await conversation(stranger, further);
  const namingEntry = await stranger.say(steward);
  assert.equal(codeOf(await asStranger.reserve({ ...first, namingEntry }, owner.siteId)), "peer-refused");
  await all.spread();
  const asHolder = await conversation(holder, further);
  const byHolder = await holder.say(steward);
  const toSend = { ...first, namingEntry: byHolder };
  further.silentMs = 3 * DAY_MS - 1;
  assert.equal(
    codeOf(await asHolder.reserve(toSend, owner.siteId)),
    "peer-refused",
    "of an owner that it hears itself",
  );
  further.silentMs = 3 * DAY_MS;
  assert.equal(codeOf(await asHolder.reserve(toSend, owner.siteId)), "granted");
});

test("what a steward has not stays at a holder, and is not noted as left out", async () => {
  const { all, owner, holder, first, primes } = await ownerWithSlice();
  const further = await all.add("further");
  await owner.replicate(further, await owner.slicesFor([further]));
  await owner.expire(first.ids.slice(0, 1));
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const { slice } = first;
  const { ask, receipt, entry } = await stewardship({ all, owner, steward: holder, further, first });
  const finish = (ids: readonly string[]) =>
    ask(encodeMessage({ kind: "finish", entry, extras: Buffer.from(ids.join(""), "hex") }));
  assert.equal(codeOf(await finish([])), "differs");
  assert.equal(codeOf(await finish(first.ids.slice(0, 1))), "received");
  await ask(encodeMessage({ kind: "end" }));
  assert.equal(further.receiptFor(owner.siteId, slice)!.statement.hash, receipt.statement.hash);
  assert.deepEqual(await Array.fromAsync(further.omissions.notes()), []);
  assert.deepEqual(await further.kept.slice(owner.siteId, slice), primes.map(({ id }) => id).toSorted());
});

test("who has had a later generation of the owner gives a steward no receipt for an earlier one", async () => {
  const { all, owner, holder, first, slices } = await ownerWithSlice();
  const further = await all.add("further");
  await owner.replicate(holder, slices);
  await owner.replicate(further, await owner.slicesFor([further, holder]));
  const { ask, entry } = await stewardship({ all, owner, steward: holder, further, first });
  assert.equal(codeOf(await ask(encodeMessage({ kind: "finish", entry, extras: Buffer.alloc(0) }))), "peer-refused");
});

test("an expelled site is refused", async () => {
  const { owner, holder, first } = await ownerWithSlice();
  owner.role = "none";
  const { reserve } = await conversation(owner, holder);
  await assert.rejects(async () => {
    const answer = await reserve(first);
    assert.equal(codeOf(answer), "peer-refused");
    throw new CostorError("peer-refused", "refused");
  });
});

test("a receipt is given for the newest live set only, and only when the set is equal", async () => {
  const { owner, holder, first, primes } = await ownerWithSlice();
  const { ask, reserve } = await conversation(owner, holder);
  await reserve(first);
  await ask(encodeBatch(primes.slice(1)));
  const finish = (entry: Uint8Array, extras = Buffer.alloc(0)) => ask(encodeMessage({ kind: "finish", entry, extras }));
  assert.equal(codeOf(await finish(first.entry)), "differs");
  assert.equal(holder.receiptFor(owner.siteId, first.slice), undefined);
  const newer = await owner.signed(first.slice, 7, first.namingEntry);
  await ask(encodeBatch(primes.slice(0, 1)));
  assert.equal(codeOf(await finish(newer.entry)), "received");
  assert.equal(codeOf(await ask(encodeMessage({ kind: "end" }))), "receipts");
  assert.equal(holder.receiptFor(owner.siteId, first.slice)!.statement.generation, newer.generation);
  assert.equal(codeOf(await finish(first.entry)), "peer-refused", "an older one");
});

test("the same receipt is given again, not another one", async () => {
  const { owner, holder, slices, first } = await ownerWithSlice();
  await owner.replicate(holder, slices);
  const { seq } = holder.receiptFor(owner.siteId, first.slice)!;
  await owner.replicate(holder, slices);
  assert.equal(holder.receiptFor(owner.siteId, first.slice)!.seq, seq);
});

test("a holder that claims to have what it has not, and gives a receipt for it, is believed until its audit", async () => {
  const { owner, holder, slices, first, all } = await ownerWithSlice();
  await owner.replicate(holder, slices);
  const counts = await owner.audit(holder, owner.siteId, [first.ids]);
  assert.equal(counts!.wrongCount, 0);
  await holder.store.release(owner.siteId, [first.ids[0]!]);
  const later = await owner.audit(holder, owner.siteId, [first.ids]);
  assert.deepEqual([later!.wrongCount, later!.rightCount], [1, first.ids.length - 1]);
  await all.spread();
  const audit = holder.ledger.statement(owner.siteId, "audit", `${holder.siteId}/${owner.siteId}`)!.statement;
  assert.ok(failsAudit(audit));
});

test.run();
