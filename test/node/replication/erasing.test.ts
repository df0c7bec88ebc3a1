/**
 * Goal: a holder erases all that it keeps of an owner whose kit orders it, says what that was, once, whatever stops it, and takes nothing of it any more.
 * Method: a holder with its owner's run, and an order as anybody may write it.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { eraseOrderOf, erasedBy } from "#ledger/erasing.ts";
import { Erasing } from "#node/replication/erasing.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { signEraseOrder } from "#protocol/erase-order.ts";
import { CostorError } from "#protocol/errors.ts";
import { recoveryKeyOf } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation, type ReplicatingSite } from "./replicating-site.ts";

const test = suite("erasing");

/** An owner with copies at a holder, some of which it has left out since. */
async function copied() {
  const all = new ReplicatingFederation();
  const [owner, holder] = [await all.add("owner"), await all.add("holder")];
  const ids = await owner.backUp("first", 100);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  await owner.expire(ids.filter((_, at) => at % 4 === 0));
  await owner.replicate(holder, await owner.slicesFor([holder]));
  const other = await holder.backUp("its own", 10);
  return { all, owner, holder, ids, other };
}

async function order(owner: ReplicatingSite, seed = recoveryKeyOf("owner").seed, id = "07"): Promise<Buffer> {
  const logId = owner.ledger.currentLog(owner.siteId)!.log.id;
  const signed = signEraseOrder({ id: id.repeat(16), siteId: owner.siteId, logId }, seed);
  await owner.say({ kind: "erase", order: signed });
  await owner.federation.spread();
  return signed;
}

const erasingOf = ({ siteId: self, view: sites, ...site }: ReplicatingSite): Erasing => {
  const { ledger, entries, store, kept, omissions, ownerTurns } = site;
  return new Erasing({ self, sites, ledger, entries, store, kept, omissions, ownerTurns });
};
const signal = new AbortController().signal;
const saidBy = (holder: ReplicatingSite, owner: ReplicatingSite) =>
  erasedBy(holder, holder.siteId, eraseOrderOf(holder, owner.siteId)!)?.statement;

test("all of it goes, what was left out too, and the receipt says what it was", async () => {
  const { owner, holder, ids, other } = await copied();
  await order(owner);
  await erasingOf(holder).erase(signal);
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
  assert.deepEqual(await Array.fromAsync(holder.omissions.notes()), []);
  for (const id of ids) await assert.rejects(holder.store.get(id));
  for (const id of other) assert.ok((await holder.store.get(id)).length > 0);
  const hash = createHash("sha256");
  for (const id of ids) hash.update(id, "hex");
  const { count, hash: said } = saidBy(holder, owner)!;
  assert.deepEqual([count, said], [100, hash.digest("hex")]);
  for (let slice = 0; slice < 16; slice++) assert.equal(holder.receiptFor(owner.siteId, slice), undefined);
});

test("it is said once, and nothing of the owner is taken afterwards", async () => {
  const { owner, holder } = await copied();
  await order(owner);
  await erasingOf(holder).erase(signal);
  const before = holder.ledger.statement(holder.siteId, "erased", owner.siteId)!;
  await erasingOf(holder).erase(signal);
  assert.equal(holder.ledger.statement(holder.siteId, "erased", owner.siteId)!.seq, before.seq);
  const reports = await owner.replicate(holder, await owner.slicesFor([holder]));
  assert.ok(reports.every(({ refusal }) => refusal?.code === "peer-refused"));
  assert.deepEqual(await holder.keptFor(owner.siteId), []);
});

test("stopped at any step it says in the end what there was at first", async () => {
  for (const step of ["release", "compact", "write"] as const) {
    const { owner, holder } = await copied();
    await order(owner);
    const stop = (): never => {
      throw new CostorError("store-failed", "for a test");
    };
    const { siteId: self, view: sites, ledger, entries, store, kept, omissions, ownerTurns } = holder;
    const broken = {
      ...{ self, sites, ledger, omissions, ownerTurns },
      store: step === "compact" ? failingToCompact(store, stop) : store,
      kept: step === "release" ? { ...kept, release: failsAtSecond(kept, stop) } : kept,
      entries: step === "write" ? { ...entries, write: stop } : entries,
    };
    await assert.rejects(new Erasing(broken).erase(signal), { code: "store-failed" }, step);
    assert.equal(saidBy(holder, owner), undefined, step);
    await erasingOf(holder).erase(signal);
    assert.equal(saidBy(holder, owner)!.count, 100, step);
    assert.deepEqual(await holder.keptFor(owner.siteId), []);
  }
});

const failingToCompact = (store: PrimeStore, stop: () => never): PrimeStore =>
  new Proxy(store, { get: (target, name: keyof PrimeStore) => (name === "compact" ? stop : target[name]) });

function failsAtSecond(kept: ReplicatingSite["kept"], stop: () => never): ReplicatingSite["kept"]["release"] {
  let count = 0;
  return (...args) => (++count > 1 ? stop() : kept.release(...args));
}

test("an order of another key, another log, or another site's erases nothing", async () => {
  const { all, owner, holder, ids } = await copied();
  const stranger = await all.add("stranger");
  await order(owner, recoveryKeyOf("holder").seed);
  await erasingOf(holder).erase(signal);
  assert.equal((await holder.keptFor(owner.siteId)).length, ids.length);
  const signed = await order(owner);
  await owner.entries.withdrawIdle({
    also: [owner.ledger.statement(owner.siteId, "erase", "")!],
    leastCount: 1,
  });
  await stranger.say({ kind: "erase", order: signed });
  await all.spread();
  await erasingOf(holder).erase(signal);
  assert.equal(
    (await holder.keptFor(owner.siteId)).length,
    ids.length,
    "it was withdrawn, and is nobody else's to give",
  );
});

test("an order that is followed by another one is answered for that one", async () => {
  const { owner, holder } = await copied();
  await order(owner);
  await erasingOf(holder).erase(signal);
  await order(owner, recoveryKeyOf("owner").seed, "08");
  await erasingOf(holder).erase(signal);
  assert.equal(
    holder.ledger.statement(holder.siteId, "erased", owner.siteId)!.statement.order.toString("hex"),
    "08".repeat(16),
  );
  assert.equal(saidBy(holder, owner)!.count, 0);
});

test.run();
