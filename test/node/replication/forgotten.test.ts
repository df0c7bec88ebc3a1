/**
 * Goal: a holder whose disk was set back, or is another one, is believed in nothing that is not there any more, and is filled again
 * without a failed audit. Method: holders whose stores lose what they have given receipts for.
 */
import assert from "node:assert/strict";
import { copiesOf } from "#ledger/copies.ts";
import { sliceOf } from "#ledger/slice.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import { reportForgotten } from "#node/replication/losses.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";
import type { ReplicatingSite } from "./replicating-site.ts";
import { federationOf, statesOf } from "./site-program.ts";

const test = suite("forgotten");

async function replicated() {
  const { all, owner, holders, program } = await federationOf("one", "two");
  const ids = await owner.backUp("first", 80);
  await program.turn();
  await all.spread();
  return { all, owner, holder: holders[0]!, program, ids };
}

/** As a copy of its disk that was made before these came. */
const setBack = ({ store }: ReplicatingSite, owner: ReplicatingSite, ids: readonly PrimeId[]) =>
  store.release(owner.siteId, ids);

const reportOf = (site: ReplicatingSite): Promise<void> => reportForgotten(site.holderComponents());

const lossesOf = (site: ReplicatingSite): (readonly [slice: number, count: number])[] =>
  site.ledger
    .statements(site.siteId, "loss")
    .map(({ statement }) => [statement.slice, statement.count] as const)
    .toSorted(([one], [other]) => one - other);

test("a disk that was set back says once of which slices something is missing, and of no others", async () => {
  const { owner, holder, ids } = await replicated();
  await reportOf(holder);
  assert.deepEqual(lossesOf(holder), []);
  const gone = ids.filter((id) => [3, 9].includes(sliceOf(id))).slice(1);
  await setBack(holder, owner, gone);
  const counts = [3, 9].map((slice) => [slice, gone.filter((id) => sliceOf(id) === slice).length] as const);
  for (const _ of [1, 2]) {
    await reportOf(holder);
    assert.deepEqual(
      lossesOf(holder),
      counts.filter(([, count]) => count > 0),
    );
  }
  assert.equal(holder.ledger.statements(holder.siteId, "loss").length, new Set(gone.map(sliceOf)).size);
});

test("what an owner has left out is missed by nobody", async () => {
  const { owner, holder, program, all, ids } = await replicated();
  await owner.expire(ids.slice(0, 20));
  owner.clock.pass(2 * 3_600_000);
  await program.turn();
  await all.spread();
  assert.ok((await Array.fromAsync(holder.omissions.notes(owner.siteId))).length > 0);
  await reportOf(holder);
  assert.deepEqual(lossesOf(holder), []);
});

test("its copies count for nothing until the owner has sent again what was forgotten, and then no audit tells against it", async () => {
  const { all, owner, holder, program, ids } = await replicated();
  await setBack(holder, owner, ids);
  await reportOf(holder);
  await all.spread();
  const countOf = (): number =>
    statesOf(program).filter((state) => copiesOf(state).some((copy) => copy.holder.siteId === holder.siteId)).length;
  const slices = new Set(ids.map(sliceOf));
  assert.equal(countOf(), allSlices.length - slices.size);
  await program.turn();
  await all.spread();
  assert.equal(countOf(), allSlices.length);
  assert.deepEqual(await holder.keptFor(owner.siteId), ids);
  assert.deepEqual(lossesOf(holder), []);
  const audits = await program.audit();
  assert.equal(audits.find((audit) => audit.holder === holder.siteId)?.counts?.wrongCount, 0);
});

test("the receipts of a machine that is gone count for nothing, and the next one is filled without an audit", async () => {
  const { all, owner, holder, program, ids } = await replicated();
  await setBack(holder, owner, ids);
  holder.author = new LedgerAuthor(holder.name, 2);
  await holder.ledger.offer({ certificates: [holder.author.log.bytes] });
  holder.peers.stop();
  const peers = all.network.join(holder.peerKey);
  new HolderService({ ...holder.holderComponents(), peers, sites: holder.view }).start(new AbortController().signal);
  peers.start();
  await all.spread();
  for (const { stored } of allSlices.map((slice) => program.placement.toPlace(owner.siteId, slice)))
    assert.ok(!stored.has(holder.siteId));
  const [audit] = (await program.audit()).filter(({ holder: site }) => site === holder.siteId);
  assert.equal(audit?.counts, undefined);
  await program.turn();
  await all.spread();
  assert.deepEqual(await holder.keptFor(owner.siteId), ids);
  assert.ok(statesOf(program).every((state) => copiesOf(state).length === 2));
});

test.run();
