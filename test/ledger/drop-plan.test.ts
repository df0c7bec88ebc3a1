/** Goal: nothing is dropped early, or while anything is in doubt. Method: one case a rule, each beside the one in which all is well. */
import assert from "node:assert/strict";
import { LOCK_MS, type OwnerState, keptReason, mayDropDeparted } from "#ledger/drop-plan.ts";
import { parseLogId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("drop-plan");

const logId = parseLogId("1".repeat(64));
const omission = { sinceMs: 1000, logId };
const owner: OwnerState = { currentLogId: logId, hasFork: false, departedSinceMs: undefined };
const late = { nowMs: 1000 + LOCK_MS, isSuspect: false };

test("what was left out for 45 days may be dropped, and not a moment earlier", () => {
  assert.equal(LOCK_MS, 45 * 24 * 3_600_000);
  assert.equal(keptReason(omission, owner, late), undefined);
  assert.equal(keptReason(omission, owner, { ...late, nowMs: late.nowMs - 1 }), "lock");
});

test("nothing is dropped while the owner's site has a fork", () => {
  assert.equal(keptReason(omission, { ...owner, hasFork: true }, late), "fork");
});

test("nothing is dropped that was left out in another log than the current one", () => {
  assert.equal(keptReason(omission, { ...owner, currentLogId: parseLogId("2".repeat(64)) }, late), "other-log");
});

test("nothing is dropped while the holder's own clock is under suspicion", () => {
  assert.equal(keptReason(omission, owner, { ...late, isSuspect: true }), "own-clock");
});

test("what a departed owner left may be dropped after the lock, and what it had left out with the rest", () => {
  const departed = { currentLogId: undefined, hasFork: false, departedSinceMs: 1000 };
  assert.equal(mayDropDeparted(departed, late), true);
  assert.equal(mayDropDeparted(departed, { ...late, nowMs: late.nowMs - 1 }), false);
  assert.equal(mayDropDeparted({ ...departed, hasFork: true }, late), false);
  assert.equal(mayDropDeparted(departed, { ...late, isSuspect: true }), false);
  assert.equal(mayDropDeparted(owner, late), false, "one that has not departed");
  assert.equal(keptReason(omission, departed, late), "other-log");
});

test.run();
