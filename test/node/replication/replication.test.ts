/**
 * Goal: what a holder has given a receipt for is durable there, whole and as it was; a run that is cut anywhere goes on where it was;
 * and nobody gets a holder to keep what it should not. Method: several sites over a network in memory, cut at every
 * frame; forged frames.
 */
import assert from "node:assert/strict";
import { isCostorError } from "#protocol/errors.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

const test = suite("replication");

async function federation(...names: string[]) {
  const all = new ReplicatingFederation();
  const sites: ReplicatingSite[] = [];
  for (const name of names) sites.push(await all.add(name));
  return { all, sites: sites as [ReplicatingSite, ReplicatingSite, ReplicatingSite, ReplicatingSite, ReplicatingSite] };
}

test("two owners replicate to three holders, and each has exactly what it was sent", async () => {
  const { sites } = await federation("owner-1", "owner-2", "a", "b", "c");
  const [one, two, ...holders] = sites;
  for (const owner of [one, two]) {
    const ids = await owner.backUp("first", 200);
    const slices = await owner.slicesFor(holders);
    await Promise.all(
      holders.map(async (holder) => {
        const reports = await owner.replicate(holder, slices);
        assert.ok(reports.every(({ end }) => end === "received"));
        assert.deepEqual(await holder.keptFor(owner.siteId), ids);
        for (const { slice, hash } of slices) {
          assert.equal(holder.receiptFor(owner.siteId, slice)?.statement.hash, hash);
          const known = owner.ledger.statement(holder.siteId, "receipt", `${owner.siteId}/${slice}`);
          assert.equal(known?.statement.hash, hash);
        }
        for (const id of ids) assert.deepEqual(await holder.store.get(id), await owner.store.get(id));
      }),
    );
  }
});

test("what is left out is noted, and what comes again is noted no more", async () => {
  const { sites } = await federation("owner", "a");
  const [owner, holder] = sites;
  const ids = await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const gone = ids.filter((_, at) => at % 5 === 0);
  await owner.expire(gone);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const noted = async () => {
    const notes = await Array.fromAsync(holder.omissions.notes(owner.siteId));
    return notes.flatMap((note) => note.ids ?? []).toSorted();
  };
  assert.deepEqual(await noted(), gone);
  assert.deepEqual(await holder.keptFor(owner.siteId), ids, "it is kept all the same");
  await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.deepEqual(await noted(), []);
});

test.run();
