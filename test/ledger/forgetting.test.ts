/** Goal: what is withdrawn is forgotten after the lock period, not before, and nothing of the ledger changes by it. */
import assert from "node:assert/strict";
import { forgetWithdrawn } from "#ledger/forgetting.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, pull } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("forgetting");

const lockMs = 45 * 24 * 3600 * 1000;
const say = (slice: number) => ({ kind: "placement", slice, holders: [] }) as const;
const entriesCount = ({ store }: Replica): number =>
  [...store.values.keys()].filter((key) => key.startsWith("entry/")).length;

test("entries are forgotten a lock period after they were found withdrawn, and never come back", async () => {
  const replica = await Replica.found("founder");
  const { own, ledger } = replica;
  const written: Uint8Array[] = [];
  for (let count = 0; count < 10; count++) written.push(await own.write(say(1)));
  written.push(...(await own.withdrawIdle({ leastCount: 1 })));
  const forget = (nowMs: number) => forgetWithdrawn(replica, { nowMs, lockMs });
  assert.equal(await forget(0), 0);
  written.push(await own.write(say(1)), ...(await own.withdrawIdle({ leastCount: 1 })));
  assert.equal(await forget(lockMs - 1), 0);
  const digest = ledger.digest();
  const { known } = ledger.currentLog(replica.siteId)!;
  assert.equal(await forget(lockMs), 9, "and not what was withdrawn since");
  assert.equal(entriesCount(replica), written.length - 9);
  assert.equal(await forget(2 * lockMs - 1), 0);
  assert.equal(await forget(2 * lockMs), 2, "a placement and the former retire");
  for (const { ledger: each } of [replica, await replica.reopened()]) {
    assert.equal(each.digest(), digest);
    assert.deepEqual(each.currentLog(replica.siteId)!.known.ranges, known.ranges);
    const admissions = await each.offer({ entries: written });
    assert.ok(admissions.every((admission) => admission === "withdrawn" || admission === "known"));
    assert.equal(each.digest(), digest);
  }
  const guest = await Replica.open("guest");
  await replica.letIn(guest);
  await pull(guest, replica);
  assert.equal(guest.ledger.digest(), ledger.digest());
});

test("a retire that the newest one does not contain is kept", async () => {
  const author = new LedgerAuthor("founder");
  const replica = await Replica.found("founder");
  const late = author.entry();
  author.entry();
  const entries = [author.retire(author.log, [0, 0]), author.retire(author.log, [2, 2])];
  await replica.ledger.offer({ entries });
  for (const nowMs of [0, lockMs, 2 * lockMs]) assert.equal(await forgetWithdrawn(replica, { nowMs, lockMs }), 0);
  assert.deepEqual(await (await replica.reopened()).ledger.offer({ entries: [late] }), ["withdrawn"]);
});

test("a clock that goes back forgets nothing", async () => {
  const replica = await Replica.found("founder");
  for (let count = 0; count < 3; count++) await replica.own.write(say(1));
  await replica.own.withdrawIdle({ leastCount: 1 });
  await forgetWithdrawn(replica, { nowMs: lockMs, lockMs });
  assert.equal(await forgetWithdrawn(replica, { nowMs: 0, lockMs }), 0);
  assert.equal(await forgetWithdrawn(replica, { nowMs: 2 * lockMs, lockMs }), 2);
});

test.run();
