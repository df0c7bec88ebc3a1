/** Goal: the ledger learns bad news of audits at once, good news once a week, and no count is lost. Method: an owner that audits night after night. */
import assert from "node:assert/strict";
import { failsAudit } from "#ledger/audit-sample.ts";
import { sliceOf } from "#ledger/slice.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { ReplicatingFederation } from "./replicating-site.ts";
import { DAY_MS } from "./test-clock.ts";

const test = suite("auditor");

async function audited() {
  const federation = new ReplicatingFederation();
  const [owner, holder] = [await federation.add("owner"), await federation.add("holder")];
  const ids = await owner.backUp("first", 40);
  await owner.replicate(holder, await owner.slicesFor([holder]));
  await federation.spread();
  const { ledger, store, siteId: self, view: sites, peers, rng, entries } = owner;
  const clock = owner.patientClock;
  // The entry's own time is the clock's, as OwnLog writes it.
  const auditor = new Auditor({ ledger, store, entries, self, sites, peers, clock, rng });
  return {
    ...{ owner, holder, ids },
    seqOfRecord: () => ledger.statement(self, "audit", `${holder.siteId}/${self}`)?.seq,
    record: () => ledger.statement(self, "audit", `${holder.siteId}/${self}`)?.statement,
    night: async (asked: readonly PrimeId[] = ids) => {
      owner.clock.pass(DAY_MS);
      const counts = await auditor.audit(holder.siteId, self, [{ count: asked.length, ids: async () => asked }]);
      await federation.spread();
      return counts;
    },
  };
}

test("a holder that answers right is told of once a week, with all that it was asked", async () => {
  const { night, record, seqOfRecord } = await audited();
  const seqs: (number | undefined)[] = [];
  for (let count = 0; count < 15; count++) {
    await night();
    seqs.push(seqOfRecord());
  }
  assert.equal(new Set(seqs).size, 3);
  assert.deepEqual([record()!.askedCount, record()!.rightCount], [15 * 40, 15 * 40]);
});

test("a wrong or lacking answer is told of the same night, with the good ones before it", async () => {
  const { night, record, holder, ids } = await audited();
  for (let count = 0; count < 3; count++) await night();
  assert.equal(record()!.askedCount, 40);
  // It hides that it has lost it.
  holder.store.lose(ids[7]!);
  (holder.store as { keptTotals: unknown }).keptTotals = async () => [];
  await night();
  const { askedCount, rightCount, wrongCount } = record()!;
  assert.deepEqual([askedCount, rightCount, wrongCount], [4 * 40, 4 * 40 - 1, 1]);
});

test("a holder that says what it has lost when it is asked for it is not told against, and its copy counts no more", async () => {
  const { night, record, holder, owner, ids } = await audited();
  holder.store.lose(ids[7]!);
  await night();
  const { askedCount, rightCount, wrongCount, silentCount } = record()!;
  assert.deepEqual([askedCount, rightCount, wrongCount, silentCount], [40, 39, 0, 1]);
  assert.ok(!failsAudit(record()!));
  const lossAt = (slice: number) => owner.ledger.statement(holder.siteId, "loss", `${owner.siteId}/${slice}`);
  assert.equal(lossAt(sliceOf(ids[7]!))?.statement.count, 1);
  for (const id of ids.slice(8)) holder.store.lose(id);
  for (let count = 0; count < 6; count++) await night();
  assert.ok(failsAudit(record()!), "who loses all that it is sent is told against");
});

test("a loss of another slice, or what is no entry, is no excuse", async () => {
  const { night, record, holder, owner, ids } = await audited();
  const [lost] = ids;
  const other = (sliceOf(lost!) + 1) % 16;
  await holder.say({ kind: "loss", owner: owner.siteId, slice: other, count: 1 });
  holder.store.lose(lost!);
  (holder.store as { keptTotals: unknown }).keptTotals = async () => [];
  await night();
  assert.equal(record()!.wrongCount, 1);
});

test("a holder that cannot say now what it has lost, since its disk takes nothing, is not told against either", async () => {
  const { night, record, holder, ids } = await audited();
  await night();
  holder.store.lose(ids[7]!);
  const entries = holder.entries as { writeAll: unknown };
  const { writeAll } = entries;
  entries.writeAll = () => Promise.reject(new CostorError("store-failed", "as the test wants it"));
  await night();
  assert.ok(!failsAudit(record()!));
  assert.ok(record()!.silentCount > 0);
  entries.writeAll = writeAll;
  await night();
  assert.ok(!failsAudit(record()!));
});

test("a holder that does not answer is told of the same night", async () => {
  const { night, record, holder } = await audited();
  await night();
  (holder.store as { hasKept: unknown }).hasKept = () => Promise.reject(new Error("for a test"));
  await night();
  assert.equal(record()!.silentCount, 40);
});

test.run();
