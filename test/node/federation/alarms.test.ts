/** What people should look at, and since when. */
import assert from "node:assert/strict";
import { Alarms, fullLedgerAlarms } from "#node/federation/alarms.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("alarms");

test("an alarm stands since it was first seen, and after a pause since it came again", () => {
  let nowMs = 1000;
  const alarms = new Alarms({ clock: { now: () => nowMs } });
  const one = { code: "fork", text: "two machines write as Hill" };
  const other = { code: "damaged", text: "three pieces" };
  assert.deepEqual(alarms.list([one]), [{ ...one, sinceMs: 1000 }]);
  nowMs = 2000;
  assert.deepEqual(
    alarms.list([other, one]).map(({ sinceMs }) => sinceMs),
    [2000, 1000],
  );
  assert.deepEqual(alarms.list([]), []);
  nowMs = 3000;
  assert.deepEqual(alarms.list([one]), [{ ...one, sinceMs: 3000 }]);
});

test("a site is told before the ledger takes no more of it", () => {
  assert.deepEqual(fullLedgerAlarms(0.79), []);
  const [alarm] = fullLedgerAlarms(0.805);
  assert.equal(alarm!.code, "ledger-nearly-full");
  assert.match(alarm!.text, /take 80 % of the room/);
});

test.run();
