/**
 * Goal: what people ask for is done now: an audit says of each holder what is so, and nobody is left alone for having failed.
 * Method: whole sites in memory, turns taken by hand.
 */
import assert from "node:assert/strict";
import { allSlices } from "#node/replication/all-slices.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation } from "./replicating-site.ts";
import { ownerProgram } from "./site-program.ts";

const test = suite("replication on demand");

async function backedUp() {
  const all = new ReplicatingFederation();
  const owner = await all.add("owner");
  const holders = [];
  for (const name of ["a", "b", "c", "d"]) holders.push(await all.add(name));
  for (const site of all.sites) await site.sayProfile();
  await all.spread();
  const program = await ownerProgram(owner);
  await owner.backUp("first", 200);
  assert.deepEqual(await program.audit(), [], "nobody is named yet");
  await program.turn();
  const named = () => new Set(allSlices.flatMap((slice) => program.placement.toPlace(owner.siteId, slice).holders));
  assert.equal(named().size, holders.length);
  const audits = async () => new Map((await program.audit()).map((audit) => [audit.holder, audit]));
  return { all, owner, holders, program, named, audits };
}

test("holders that have everything prove it", async () => {
  const { holders, audits } = await backedUp();
  const found = await audits();
  for (const { siteId } of holders) {
    const { isReached, counts } = found.get(siteId)!;
    assert.ok(isReached && counts!.askedCount > 0);
    assert.equal(counts!.rightCount, counts!.askedCount);
  }
});

test("one that lies is found at once, and replaced at the next turn", async () => {
  const { all, owner, holders, program, named, audits } = await backedUp();
  const [liar, ...honest] = holders;
  for (const id of await liar!.keptFor(owner.siteId)) await liar!.store.release(owner.siteId, [id]);
  const found = await audits();
  const { counts } = found.get(liar!.siteId)!;
  assert.ok(counts!.askedCount > 0);
  assert.equal(counts!.wrongCount, counts!.askedCount);
  for (const { siteId } of honest) assert.equal(found.get(siteId)!.counts!.wrongCount, 0);
  await program.turn();
  await all.spread();
  await program.turn();
  assert.ok(!named().has(liar!.siteId));
});

test("one that is not reached is told apart from one that lies", async () => {
  const { owner, holders, audits } = await backedUp();
  const [gone, ...others] = holders;
  gone!.peers.stop();
  const found = await audits();
  assert.deepEqual(found.get(gone!.siteId), { holder: gone!.siteId, isReached: false, counts: undefined });
  for (const { siteId } of others) assert.ok(found.get(siteId)!.isReached);
  assert.equal(owner.ledger.statement(owner.siteId, "audit", `${gone!.siteId}/${owner.siteId}`), undefined);
});

test("a holder that has failed is tried again at once when people ask to send", async () => {
  const { owner, holders, program } = await backedUp();
  holders[0]!.peers.stop();
  await owner.backUp("second", 50);
  const failures = () => program.events.filter(({ event }) => event === "run-failed").length;
  owner.clock.pass(3_600_000);
  await program.turn();
  assert.equal(failures(), 1);
  await program.turn();
  assert.equal(failures(), 1, "it waits");
  program.hurry();
  await program.turn();
  assert.equal(failures(), 2);
});

test.run();
