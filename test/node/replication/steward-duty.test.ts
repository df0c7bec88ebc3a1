/** Goal: a silent owner's copies are looked after by its holders, and by nobody too early or too long. Method: whole sites whose turns are taken by hand, in virtual time. */
import assert from "node:assert/strict";
import { safeSnapshotsOf } from "#ledger/copies.ts";
import { sliceOf } from "#ledger/slice.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { reportLosses } from "#node/replication/losses.ts";
import { suite } from "#test/support/suite.ts";
import type { ReplicatingFederation, ReplicatingSite } from "./replicating-site.ts";
import { DAY_MS } from "./test-clock.ts";
import { federationOf, safety, statesOf, stewardDutyOf, tableOf } from "./site-program.ts";

const test = suite("steward-duty");

/** Turns of the holders of an owner that is silent for eight days; after each one all know what it has said. */
async function haveTurns(
  all: ReplicatingFederation,
  holders: readonly ReplicatingSite[],
  owner: ReplicatingSite,
  turnsCount: number,
): Promise<void> {
  const duties = holders.map((holder) => stewardDutyOf(holder, new Map([[owner.siteId, 8 * DAY_MS]])));
  for (let turn = 0; turn < turnsCount; turn++)
    for (const duty of duties) {
      await duty.turn(new AbortController().signal);
      await all.spread();
    }
}

test("when an owner is silent and one of its holders has gone, the steward finds another and sends what it has", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c", "d");
  const ids = await owner.backUp("first", 120);
  await program.turn();
  // So that something is left out that the steward must not send as live.
  await owner.expire(ids.slice(0, 20));
  owner.snapshotsCount++;
  owner.clock.pass(DAY_MS);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  const gone = holders[0]!;
  gone.role = "none";
  gone.peers.stop();
  const live = holders.slice(1);
  await haveTurns(all, live, owner, 3);
  const rest = ids.slice(20);
  for (const slice of allSlices) {
    const copies = live.filter((holder) => holder.receiptFor(owner.siteId, slice) !== undefined);
    assert.ok(copies.length >= 2, `slice ${slice} has ${copies.length} copies`);
    const wanted = rest.filter((id) => id.startsWith(slice.toString(16)));
    for (const holder of copies) {
      const kept = await holder.kept.slice(owner.siteId, slice);
      assert.ok(wanted.every((id) => kept.includes(id)));
    }
  }
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 2);
});

test("nobody acts for an owner that is silent for less than a week, and a steward ends its work when the owner is back", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 60);
  await program.turn();
  await all.spread();
  holders[0]!.role = "none";
  const silence = new Map([[owner.siteId, 7 * DAY_MS - 1]]);
  const duties = holders.slice(1).map((holder) => ({ holder, duty: stewardDutyOf(holder, silence) }));
  const turn = async () => {
    for (const { duty } of duties) await duty.turn(new AbortController().signal);
    await all.spread();
  };
  const stewardships = () => duties.flatMap(({ holder }) => owner.ledger.statements(holder.siteId, "steward")).length;
  await turn();
  assert.equal(stewardships(), 0);
  silence.set(owner.siteId, 7 * DAY_MS);
  await turn();
  await turn();
  assert.ok(stewardships() > 0);
  // Back again: it takes over whom the steward has found.
  silence.set(owner.siteId, 0);
  await turn();
  await program.turn();
  assert.ok(tableOf(program).every((named) => named.length === 2));
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  for (const { holder } of duties) holder.clock.pass(DAY_MS);
  await turn();
  assert.equal(stewardships(), 0);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("before a run a steward hears what the holder knows, and sends nothing when that tells against it", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 60);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  holders[0]!.role = "none";
  const silence = new Map([[owner.siteId, 8 * DAY_MS]]);
  const live = holders.slice(1);
  const duties = live.map((holder) => {
    let suspicion: string | undefined;
    const catchUp = async (): Promise<void> => void (suspicion = "a newer log");
    return stewardDutyOf(holder, silence, { suspicion: () => suspicion, catchUp });
  });
  const countOf = async (): Promise<number> => {
    const kept = await Promise.all(live.map((holder) => holder.keptFor(owner.siteId)));
    return kept.flat().length;
  };
  const before = await countOf();
  for (let count = 0; count < 2; count++) {
    for (const duty of duties) await duty.turn(new AbortController().signal);
    await all.spread();
  }
  assert.equal(await countOf(), before);
  const others = live.map((holder) => stewardDutyOf(holder, silence));
  for (const duty of others) await duty.turn(new AbortController().signal);
  assert.ok((await countOf()) > before);
});

test("a steward fills also those that the owner has named and did not come to fill", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 60);
  await program.turn();
  holders[0]!.role = "none";
  program.mayMove = false;
  await program.turn();
  await all.spread();
  owner.peers.stop();
  assert.ok(tableOf(program).every((named) => !named.includes(holders[0]!.siteId) && named.length === 2));
  const live = holders.slice(1);
  await haveTurns(all, live, owner, 2);
  for (const slice of allSlices)
    for (const holder of live) assert.ok(holder.receiptFor(owner.siteId, slice) !== undefined, `slice ${slice}`);
});

test("a holder that has lost some of a slice is no steward of it, and gets it back from a whole one", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b");
  const ids = await owner.backUp("first", 120);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  const [lowest] = holders.toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1));
  for (const slice of allSlices) lowest!.store.lose(ids.find((id) => sliceOf(id) === slice)!);
  await reportLosses({ ...lowest!.holderComponents(), store: lowest!.store });
  await all.spread();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 0);
  await haveTurns(all, holders, owner, 2);
  assert.deepEqual(await lowest!.keptFor(owner.siteId), ids);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("a holder that is behind is no steward, and gets what is newer, whatever else it keeps", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b");
  const ids = await owner.backUp("first", 120);
  await program.turn();
  const [lowest] = holders.toSorted((one, other) => (one.siteId < other.siteId ? -1 : 1));
  await owner.expire(ids.slice(0, 20));
  await owner.backUp("second", 20);
  owner.clock.pass(DAY_MS);
  all.network.cut(owner.peerKey, lowest!.peerKey);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  await haveTurns(all, holders, owner, 2);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 2);
});

test("a further holder that has no room after all is followed by another one", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c", "d");
  await owner.backUp("first", 120);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  const gone = holders[0]!;
  gone.role = "none";
  gone.peers.stop();
  const full = holders[1]!;
  full.offeredBytes = 0;
  const live = holders.slice(1);
  await haveTurns(all, live, owner, 3);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("co-holders of a silent owner find out one that has lost its primes, and replace it", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 100);
  await program.turn();
  await all.spread();
  owner.peers.stop();
  const [liar] = holders;
  for (const id of await liar!.keptFor(owner.siteId)) await liar!.store.release(owner.siteId, [id]);
  const silence = new Map([[owner.siteId, 8 * DAY_MS]]);
  const duties = holders.slice(1).map((holder) => stewardDutyOf(holder, silence));
  for (let turn = 0; turn < 4; turn++)
    for (const duty of duties) {
      await duty.turn(new AbortController().signal);
      await all.spread();
    }
  for (const slice of allSlices) {
    const held = await Promise.all(holders.slice(1).map((holder) => holder.kept.slice(owner.siteId, slice)));
    const isSteward = holders.slice(1).some((holder) => holder.receiptFor(owner.siteId, slice) !== undefined);
    assert.ok(isSteward);
    const lowest = holders.map(({ siteId }) => siteId).toSorted()[0];
    // A liar that is the steward itself adds nobody; the owner's own audits find it.
    if (lowest !== liar!.siteId) assert.ok(held.every((ids) => ids.length > 0));
  }
});

test.run();
