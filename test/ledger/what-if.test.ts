/** Goal: a forecast promises nothing that the copies left could not give. Method: one case a rule, and a search for contradictions. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { HolderState, SliceState } from "#ledger/copies.ts";
import { whatIf } from "#ledger/what-if.ts";
import type { SiteId } from "#protocol/ids.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("what-if");

const hash = "5".repeat(64);
const [a, b, c, d] = ["a", "b", "c", "d"].map(sampleSiteId) as [SiteId, SiteId, SiteId, SiteId];
const holder = (siteId: SiteId, snapshots = 9, changes: Partial<HolderState> = {}): HolderState => ({
  ...{ siteId, isGuest: false, domain: siteId, hasLoss: false, failsAudits: false },
  receipt: { generation: snapshots === 9 ? 5 : 4, hash, snapshots, bytes: 0 },
  ...changes,
});
const slice = (bytes: number, ...holders: HolderState[]): SliceState => ({
  liveSet: { generation: 5, count: 1, bytes, hash, snapshots: 9 },
  holders,
});
const init = (...burnt: SiteId[]) => ({
  burnt: new Set(burnt),
  bytesPerSecond: (one: SiteId) => (one === b ? 10 : one === c ? 30 : undefined),
  copiesCount: 2,
});

test("what two holders have comes back from both, the faster one more, and all at once", () => {
  const slices = Array.from({ length: 16 }, () => slice(60, holder(b), holder(c)));
  const [outcome] = whatIf([{ siteId: a, slices }], init(a)).burnt;
  assert.deepEqual(outcome, {
    ...{ siteId: a, bytes: 960, lostSlices: [], lostBytes: 0, snapshots: 9, newestSnapshots: 9 },
    sources: [
      { siteId: c, bytes: 720, bytesPerSecond: 30 },
      { siteId: b, bytes: 240, bytesPerSecond: 10 },
    ],
    seconds: 24,
  });
});

test("a slice whose holders burn too is lost, and no snapshot comes back whole", () => {
  const outcome = whatIf([{ siteId: a, slices: [slice(60, holder(b), holder(c)), slice(50, holder(b), holder(d))] }], {
    ...init(a, b, d),
  }).burnt[0]!;
  assert.deepEqual([outcome.lostSlices, outcome.lostBytes, outcome.snapshots], [[1], 50, 0]);
  assert.deepEqual(outcome.sources, [{ siteId: c, bytes: 60, bytesPerSecond: 30 }]);
});

test("an older copy brings older snapshots back, and one that does not count none", () => {
  const older = whatIf([{ siteId: a, slices: [slice(1, holder(b, 7)), slice(1, holder(c))] }], init(a)).burnt[0]!;
  assert.deepEqual([older.snapshots, older.newestSnapshots], [7, 9]);
  const failing = holder(b, 9, { failsAudits: true });
  assert.deepEqual(whatIf([{ siteId: a, slices: [slice(1, failing)] }], init(a)).burnt[0]?.lostSlices, [0]);
});

test("no time is told when the speed of a source is not known", () => {
  const outcome = whatIf([{ siteId: a, slices: [slice(60, holder(d))] }], init(a)).burnt[0]!;
  assert.equal(outcome.seconds, undefined);
  assert.deepEqual(outcome.sources, [{ siteId: d, bytes: 60, bytesPerSecond: undefined }]);
});

test("a site that is left sends again what it has too few copies of", () => {
  const slices = [
    slice(60, holder(b), holder(c)),
    slice(50, holder(c), holder(d)),
    slice(40, holder(b), holder(c), holder(d)),
  ];
  assert.deepEqual(whatIf([{ siteId: a, slices }], init(b)), {
    burnt: [],
    left: [{ siteId: a, holders: [b], bytes: 60 }],
  });
});

test("whatever burns, sources are left, have what they send, and send all that is not lost", () => {
  const sites = [a, b, c, d];
  const holders = fc
    .subarray([b, c, d])
    .chain((ids) => fc.tuple(...ids.map((id) => fc.constantFrom(7, 9).map((snapshots) => holder(id, snapshots)))));
  const slices = fc.array(fc.tuple(fc.integer({ min: 0, max: 100 }), holders), { minLength: 1, maxLength: 16 });
  fc.assert(
    fc.property(slices, fc.subarray(sites), (drawn, burnt) => {
      const states = drawn.map(([bytes, having]) => slice(bytes, ...(having as HolderState[])));
      const [outcome] = whatIf([{ siteId: a, slices: states }], init(a, ...burnt)).burnt;
      const sentBytes = outcome!.sources.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.equal(sentBytes + outcome!.lostBytes, outcome!.bytes);
      for (const { siteId } of outcome!.sources) assert.ok(!burnt.includes(siteId) && siteId !== a);
      assert.ok(outcome!.snapshots <= 9 && (outcome!.lostSlices.length === 0 || outcome!.snapshots === 0));
    }),
  );
});

test.run();
