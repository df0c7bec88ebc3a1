/**
 * Goal: a holder drops what its owner left out for 45 days by the holder's own clock, and nothing else: an owner that is damaged, recovers,
 * is forked, thrown out or renamed never makes it drop anything early. Method: whole sites, each doubt beside the case without it.
 */
import assert from "node:assert/strict";
import { sliceOf } from "#ledger/slice.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { Departures } from "#node/replication/departures.ts";
import { Dropping } from "#node/replication/dropping.ts";
import { reportForgotten } from "#node/replication/losses.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";
import { federationOf, ownerProgram } from "./site-program.ts";
import { DAY_MS } from "./test-clock.ts";

const test = suite("dropping");

const LOCK_MS = 45 * DAY_MS;

/** An owner that has left out `gone` of what `holder` keeps. */
async function leftOut() {
  const all = new ReplicatingFederation();
  const [owner, holder] = [await all.add("owner"), await all.add("holder")];
  const ids = await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const gone = ids.filter((_, at) => at % 4 === 0);
  await owner.expire(gone);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const rest = ids.filter((id) => !gone.includes(id));
  return { all, owner, holder, ids, gone, rest, dropping: droppingOf(holder) };
}

function droppingOf(site: ReplicatingSite, suspicion?: string, hearsMost = true): Dropping {
  const { siteId: self, view: sites, ledger, entries, store, kept, omissions, heldClock, ownerTurns } = site;
  const departures = new Departures({ store, heldClock });
  return new Dropping({
    ...{ self, sites, ledger, entries, store, kept, omissions, heldClock, ownerTurns, departures },
    suspicion: () => suspicion,
    hearsMost: () => hearsMost,
  });
}

const keeps = async (holder: ReplicatingSite, owner: ReplicatingSite, ids: readonly PrimeId[], why?: string) =>
  assert.deepEqual(await holder.keptFor(owner.siteId), ids, why);

test("what was left out for 45 days is dropped, not a moment earlier, and nothing else", async () => {
  const { owner, holder, ids, gone, rest, dropping } = await leftOut();
  holder.clock.pass(LOCK_MS - 1);
  assert.equal((await dropping.drop()).lock, gone.length);
  await keeps(holder, owner, ids);
  holder.clock.pass(1);
  assert.equal((await dropping.drop()).droppedCount, gone.length);
  await keeps(holder, owner, rest);
  for (const id of gone) await assert.rejects(holder.store.get(id));
  assert.equal((await dropping.drop()).droppedCount, 0);
  assert.deepEqual(await Array.fromAsync(holder.omissions.notes()), []);
  const reports = await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.ok(reports.every(({ end }) => end === "received"));
});

test("who is cut off from most others drops nothing, however long", async () => {
  const { owner, holder, ids, rest } = await leftOut();
  const cutOff = droppingOf(holder, undefined, false);
  holder.clock.pass(2 * LOCK_MS);
  assert.equal((await cutOff.drop()).droppedCount, 0);
  await keeps(holder, owner, ids);
  await droppingOf(holder).drop();
  await keeps(holder, owner, rest);
});

test("what came into a live set again is not dropped, and its lock starts anew when it is left out again", async () => {
  const { owner, holder, ids, gone, dropping } = await leftOut();
  holder.clock.pass(30 * DAY_MS);
  await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  await owner.expire(gone);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  holder.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  await keeps(holder, owner, ids);
  holder.clock.pass(1);
  assert.equal((await dropping.drop()).droppedCount, gone.length);
});

test("what is live again stays when its holder is cut between its receipt and what it notes after it", async () => {
  const { owner, holder, ids, rest, dropping } = await leftOut();
  await owner.backUp("first", 100);
  await owner.expire(rest);
  const slices = await owner.slicesFor([holder]);
  const { generation } = slices[0]!;
  const appendFacts = holder.store.appendFacts.bind(holder.store);
  holder.store.appendFacts = async (facts) => {
    if (allSlices.some((slice) => holder.receiptFor(owner.siteId, slice)?.statement.generation === generation))
      throw new CostorError("store-failed", "for a test");
    return appendFacts(facts);
  };
  await owner.replicate(holder, slices).catch(() => undefined);
  holder.store.appendFacts = appendFacts;
  const cut = allSlices.filter((slice) => holder.receiptFor(owner.siteId, slice)?.statement.generation === generation);
  assert.ok(cut.length > 0);
  holder.clock.pass(LOCK_MS);
  await dropping.drop();
  for (const slice of cut)
    assert.deepEqual(
      await holder.kept.slice(owner.siteId, slice),
      ids.filter((id) => sliceOf(id) === slice),
    );
});

test("what a steward brings as live is dropped by no older note", async () => {
  const { all, owner, holder, ids, dropping } = await leftOut();
  const steward = await all.add("steward");
  await owner.backUp("first", 100);
  await owner.replicate(steward, await owner.slicesFor([steward]));
  for (const slice of allSlices) {
    const namingEntry = await steward.say({
      ...{ kind: "steward", owner: owner.siteId, slice, holders: [holder.siteId] },
    });
    const { logId, seq, statement } = steward.receiptFor(owner.siteId, slice)!;
    const { hash, bytes, generation, snapshots } = statement;
    const entry = (await steward.ledger.entry(logId, seq))!;
    await all.spread();
    const toSend = {
      slice,
      ids: ids.filter((id) => sliceOf(id) === slice),
      hash,
      bytes,
      generation,
      snapshots,
      entry,
      namingEntry,
    };
    const [report] = await steward.replicate(holder, [toSend], { owner: owner.siteId });
    assert.equal(report?.end, "received");
  }
  holder.clock.pass(2 * LOCK_MS);
  await dropping.drop();
  await keeps(holder, owner, ids);
});

test("live sets that leave out the same again do not move the lock", async () => {
  const { owner, holder, rest, gone, dropping } = await leftOut();
  for (let night = 0; night < 45; night++) {
    holder.clock.pass(DAY_MS);
    if (night % 15 === 0) await owner.replicate(holder, await owner.slicesFor([holder]));
  }
  assert.equal((await dropping.drop()).droppedCount, gone.length);
  await keeps(holder, owner, rest);
});

test("a clock of the machine that jumps drops nothing, and one that was off counts a day", async () => {
  const { owner, holder, ids, dropping } = await leftOut();
  holder.clock.wallMs += 10 * 365 * DAY_MS;
  assert.ok((await dropping.drop())["own-clock"] > 0);
  await holder.heldClock.confirm();
  assert.ok((await dropping.drop()).lock > 0, "the lock has not passed by it");
  await keeps(holder, owner, ids);
});

test("an owner whose store has lost everything makes no holder drop anything: it signs no smaller live set", async () => {
  const { owner, holder, ids, rest, dropping } = await leftOut();
  for (const id of rest) owner.store.lose(id);
  // What is lost stays in the owner's own set, so its live set is as it was.
  const slices = await owner.slicesFromKept([holder]);
  await owner.replicate(holder, slices).catch(() => undefined);
  holder.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  await keeps(holder, owner, ids);
  holder.clock.pass(10 * LOCK_MS);
  await dropping.drop();
  await keeps(holder, owner, rest, "and for ever what it had not left out before");
});

test("what an owner left out before it was recovered is kept, until its new machine has left it out for the lock", async () => {
  const { all, owner, holder, ids, rest, gone, dropping } = await leftOut();
  const recovered = new LedgerAuthor("owner", 2);
  await holder.ledger.offer({ certificates: [recovered.log.bytes] });
  holder.clock.pass(2 * LOCK_MS);
  assert.equal((await dropping.drop())["other-log"], gone.length);
  await keeps(holder, owner, ids);
  owner.author = recovered;
  await owner.ledger.offer({ certificates: [recovered.log.bytes] });
  owner.moveTo(all.network);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  holder.clock.pass(LOCK_MS - 1);
  assert.equal((await dropping.drop()).lock, gone.length);
  holder.clock.pass(1);
  await dropping.drop();
  await keeps(holder, owner, rest);
});

test("a holder that was replaced drops the slices after the lock, though the owner has a new machine since", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b");
  const ids = await owner.backUp("first", 60);
  await program.turn();
  await (await all.add("c")).sayProfile();
  await all.spread();
  const [replaced] = holders;
  program.silentMs.set(replaced!.siteId, 5 * DAY_MS);
  for (let turn = 0; turn < 2; turn++) await program.turn();
  await all.spread();
  const dropping = droppingOf(replaced!);
  assert.equal((await dropping.drop()).lock, allSlices.length);
  owner.author = new LedgerAuthor("owner", 2);
  for (const { ledger } of all.sites) await ledger.offer({ certificates: [owner.author.log.bytes] });
  owner.moveTo(all.network);
  await (await ownerProgram(owner)).turn();
  await all.spread();
  await dropping.drop();
  replaced!.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  await keeps(replaced!, owner, ids);
  replaced!.clock.pass(1);
  await dropping.drop();
  await keeps(replaced!, owner, []);
});

test("while the owner's site has a fork nothing is dropped", async () => {
  const { owner, holder, ids, dropping } = await leftOut();
  const clone = new LedgerAuthor("owner");
  const seq = holder.ledger.currentLog(owner.siteId)!.seqs()[0]!;
  const admissions = await holder.ledger.offer({ entries: [clone.entry({ seq })] });
  assert.deepEqual(admissions, ["fork"]);
  holder.clock.pass(2 * LOCK_MS);
  assert.ok((await dropping.drop()).fork > 0);
  await keeps(holder, owner, ids);
});

test("what a departed owner left is kept for the lock, from when the holder learnt it; one that comes back loses nothing", async () => {
  const { owner, holder, ids, dropping } = await leftOut();
  holder.clock.pass(2 * LOCK_MS);
  owner.role = "none";
  assert.equal((await dropping.drop()).droppedCount, 0, "what was due is due no more");
  holder.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  await keeps(holder, owner, ids);
  owner.role = "member";
  const gone = ids.filter((_, at) => at % 4 === 0);
  assert.equal((await dropping.drop()).droppedCount, gone.length, "by its own live sets");
  owner.role = "none";
  await dropping.drop();
  holder.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  assert.equal((await holder.keptFor(owner.siteId)).length, ids.length - gone.length, "its lock began anew");
  holder.clock.pass(1);
  await dropping.drop();
  await keeps(holder, owner, []);
  assert.equal(holder.receiptFor(owner.siteId, 0), undefined, "it says no more that it has them");
});

/** As {@link leftOut}, on a disk that was set back: what was left out is live again since, and the holder's receipts say that it is here. */
async function setBack() {
  const site = await leftOut();
  const { owner, holder } = site;
  const notes = await Array.fromAsync(holder.store.facts("omitted"));
  await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.deepEqual(await Array.fromAsync(holder.omissions.notes()), []);
  await holder.store.appendFacts(notes.map((note) => ({ kind: "omitted", ...note })));
  return site;
}

test("who may write nothing, or has asked nobody, drops nothing: its receipts may say that it is here", async () => {
  const { owner, holder, ids } = await setBack();
  holder.clock.pass(2 * LOCK_MS);
  assert.equal((await droppingOf(holder, "fork").drop()).droppedCount, 0);
  await keeps(holder, owner, ids);
});

test("on a disk that was set back locks begin anew, so that owners end them before", async () => {
  const { owner, holder, ids, dropping } = await setBack();
  holder.clock.pass(LOCK_MS - 1);
  await dropping.beginAnew();
  await reportForgotten(holder.holderComponents());
  holder.clock.pass(LOCK_MS - 1);
  await droppingOf(holder).drop();
  await keeps(holder, owner, ids, "also after another start");
  await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.deepEqual(await Array.fromAsync(holder.omissions.notes()), []);
  holder.clock.pass(2 * LOCK_MS);
  await dropping.drop();
  await keeps(holder, owner, ids);
});

test("locks that have begun anew end too, of what was left out and of departed owners", async () => {
  const { owner, holder, rest, dropping } = await leftOut();
  const departed = await leftOut();
  departed.owner.role = "none";
  await departed.dropping.drop();
  for (const site of [holder, departed.holder]) site.clock.pass(LOCK_MS - 1);
  for (const begun of [dropping, departed.dropping]) await begun.beginAnew();
  for (const site of [holder, departed.holder]) site.clock.pass(LOCK_MS - 1);
  await departed.dropping.drop();
  await keeps(departed.holder, departed.owner, departed.ids);
  for (const site of [holder, departed.holder]) site.clock.pass(1);
  await dropping.drop();
  await keeps(holder, owner, rest);
  await departed.dropping.drop();
  await keeps(departed.holder, departed.owner, []);
});

test("a slice that the placement names this site for no more is kept for the lock, and its receipt goes first", async () => {
  const { owner, holder, ids, dropping, all } = await leftOut();
  const other = await all.add("other");
  await owner.slicesFor([other], [3]);
  await all.spread();
  await dropping.drop();
  holder.clock.pass(LOCK_MS - 1);
  await dropping.drop();
  const slice = ids.filter((id) => id.startsWith("3"));
  assert.ok(slice.length > 0);
  const keptOfSlice = async () => (await holder.keptFor(owner.siteId)).filter((id) => id.startsWith("3"));
  assert.ok((await keptOfSlice()).length > 0);
  assert.ok(holder.receiptFor(owner.siteId, 3) !== undefined);
  await owner.slicesFor([holder], [3]);
  await all.spread();
  holder.clock.pass(1);
  await dropping.drop();
  assert.ok((await keptOfSlice()).length > 0, "named again in time");
  await owner.slicesFor([other], [3]);
  await all.spread();
  await dropping.drop();
  holder.clock.pass(LOCK_MS);
  await dropping.drop();
  assert.deepEqual(await keptOfSlice(), []);
  assert.equal(holder.receiptFor(owner.siteId, 3), undefined);
});

test.run();
