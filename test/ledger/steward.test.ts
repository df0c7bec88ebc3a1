/** Goal: for a silent owner exactly one of its live holders acts, for each slice. Method: one case a rule. */
import assert from "node:assert/strict";
import { type SilentOwner, stewardOf, stewardedSlices } from "#ledger/steward.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("steward");

const [a, b, c] = ["a", "b", "c"].map(sampleSiteId).sort();
const owner: SilentOwner = {
  owner: sampleSiteId("owner"),
  silentMs: 7 * 24 * 3_600_000,
  table: [[b!, a!], [b!, c!], []],
};

test("the lowest live holder of a slice is its steward", () => {
  assert.equal(
    stewardOf(owner, 0, () => true),
    a,
  );
  assert.equal(
    stewardOf(owner, 0, (site) => site !== a),
    b,
  );
  assert.equal(
    stewardOf(owner, 0, () => false),
    undefined,
  );
  assert.equal(
    stewardOf(owner, 2, () => true),
    undefined,
  );
  assert.deepEqual(
    stewardedSlices(owner, b!, () => true),
    [1],
  );
  assert.deepEqual(
    stewardedSlices(owner, b!, (site) => site !== a),
    [0, 1],
  );
});

test("a holder that does not have a slice is not its steward", () => {
  assert.equal(
    stewardOf(owner, 1, (site, slice) => site !== b || slice !== 1),
    c,
  );
});

test("nobody acts for an owner before it was silent for seven days", () => {
  assert.equal(
    stewardOf({ ...owner, silentMs: owner.silentMs - 1 }, 0, () => true),
    undefined,
  );
});

test.run();
