/**
 * Goal: a table keeps its invariants whatever happens to sites: never the owner, never two guests, nobody without room, what
 * holds well goes on holding, and draws follow free space. Method: one case a rule, and random histories of federations.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  HOLDERS_COUNT,
  type Candidate,
  type PlacementInput,
  type SliceToPlace,
  planPlacement,
} from "#ledger/plan-placement.ts";
import { SLICES_COUNT } from "#ledger/slice.ts";
import type { SiteId } from "#protocol/ids.ts";
import { sampleSiteId } from "#test/support/sample-sites.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("plan-placement");

const DAY_MS = 24 * 3_600_000;
const owner = sampleSiteId("owner");

const site = (name: string, changes: Partial<Candidate> = {}): Candidate => ({
  siteId: sampleSiteId(name),
  isGuest: false,
  domain: `place of ${name}`,
  freeBytes: 1e12,
  silentMs: 0,
  failsAudits: false,
  refuses: false,
  isLeaving: false,
  ...changes,
});

const empty: SliceToPlace = { bytes: 1000, holders: [], stored: new Set() };

function plan(candidates: readonly Candidate[], init: Partial<PlacementInput> & { seed?: number } = {}) {
  const slices = init.slices ?? Array.from({ length: SLICES_COUNT }, () => empty);
  return planPlacement({ owner, candidates, copiesCount: 2, ...init, slices }, new SeededRng(init.seed ?? 1));
}

/** What a plan becomes when every holder of it has given its receipts. */
const confirmed = (table: readonly (readonly SiteId[])[]): SliceToPlace[] =>
  table.map((holders) => ({ bytes: 1000, holders, stored: new Set(holders) }));

const named = (...names: string[]): Candidate[] => names.map((name) => site(name));
const fourSites = named("a", "b", "c", "d");

test("every slice gets two holders, and again the same when nothing changes", () => {
  const first = plan(fourSites);
  for (const holders of first.table) assert.equal(new Set(holders).size, 2);
  const again = plan(fourSites, { slices: confirmed(first.table), seed: 2 });
  assert.deepEqual(again.table, first.table);
  assert.deepEqual(again.changes, []);
});

test("the owner is never drawn, and leaves a table that names it", () => {
  const candidates = [...fourSites, { ...site("owner"), freeBytes: 1e15 }];
  for (const holders of plan(candidates).table) assert.ok(!holders.includes(owner));
  const slices = [{ bytes: 1, holders: [owner, sampleSiteId("a")], stored: new Set([owner, sampleSiteId("a")]) }];
  assert.ok(!plan(candidates, { slices }).table[0]!.includes(owner));
});

test("a site that comes moves nothing", () => {
  const { table } = plan(fourSites);
  const grown = plan([...fourSites, site("e", { freeBytes: 1e15 })], { slices: confirmed(table), seed: 7 });
  assert.deepEqual(grown.table, table);
});

test("a site that is expelled moves its own slices and no others, at once", () => {
  const { table } = plan(fourSites);
  const gone = sampleSiteId("a");
  const next = plan(fourSites.slice(1), { slices: confirmed(table), seed: 3 });
  for (const [slice, holders] of table.entries()) {
    if (!holders.includes(gone)) assert.deepEqual(next.table[slice], holders);
    else {
      assert.ok(!next.table[slice]!.includes(gone));
      assert.equal(next.table[slice]!.length, 2);
      assert.ok(holders.filter((holder) => holder !== gone).every((holder) => next.table[slice]!.includes(holder)));
    }
  }
  assert.ok(next.changes.every(({ why }) => why === "gone"));
});

test("a holder that fails audits stays until another has given its receipt", () => {
  const [a, b, c] = ["a", "b", "c"].map(sampleSiteId) as [SiteId, SiteId, SiteId];
  const candidates = [site("a", { failsAudits: true }), site("b"), site("c")];
  const first = plan(candidates, { slices: [{ bytes: 1, holders: [a, b], stored: new Set([b]) }] });
  assert.deepEqual(first.table[0], [a, b, c].sort());
  assert.deepEqual(first.changes, [{ slice: 0, holder: c, what: "added", why: "audit-failed" }]);
  const waiting = plan(candidates, { slices: [{ bytes: 1, holders: [a, b, c], stored: new Set([b]) }] });
  assert.deepEqual(waiting.changes, []);
  const done = plan(candidates, { slices: [{ bytes: 1, holders: [a, b, c], stored: new Set([b, c]) }] });
  assert.deepEqual(done.changes, [{ slice: 0, holder: a, what: "removed", why: "audit-failed" }]);
});

test("a silent holder is replaced after three days and no later than after four, not all at one moment", () => {
  const { table } = plan(fourSites);
  const replacedAfter = (silentMs: number) =>
    plan([site("a", { silentMs }), ...fourSites.slice(1)], { slices: confirmed(table) }).changes.length;
  const heldCount = table.filter((holders) => holders.includes(sampleSiteId("a"))).length;
  assert.equal(replacedAfter(3 * DAY_MS), 0);
  assert.equal(replacedAfter(4 * DAY_MS), heldCount);
  const between = replacedAfter(3.5 * DAY_MS);
  assert.ok(between > 0 && between < heldCount, `${between} of ${heldCount} slices`);
});

test("a silent holder that comes back before its replacement is filled keeps its place", () => {
  const [a, b, c] = ["a", "b", "c"].map(sampleSiteId) as [SiteId, SiteId, SiteId];
  const { table, changes } = plan(named("a", "b", "c"), {
    slices: [{ bytes: 1, holders: [a, b, c], stored: new Set([a, b]) }],
  });
  assert.deepEqual(table[0], [a, b].sort());
  assert.deepEqual(changes, [{ slice: 0, holder: c, what: "removed", why: "surplus" }]);
});

test("a holder that refuses what is new is replaced, and one that has all of it is not", () => {
  const [a, b, c] = ["a", "b", "c"].map(sampleSiteId) as [SiteId, SiteId, SiteId];
  const candidates = [site("a", { refuses: true }), site("b"), site("c")];
  const full = plan(candidates, { slices: [{ bytes: 1, holders: [a, b], stored: new Set([b]) }] });
  assert.deepEqual(full.changes, [{ slice: 0, holder: c, what: "added", why: "refused" }]);
  const stored = plan(candidates, { slices: [{ bytes: 1, holders: [a, b], stored: new Set([a, b]) }] });
  assert.deepEqual(stored.changes, []);
});

test("when everybody is silent nothing moves", () => {
  const { table } = plan(fourSites);
  const silent = fourSites.map((candidate) => ({ ...candidate, silentMs: 30 * DAY_MS }));
  assert.deepEqual(plan(silent, { slices: confirmed(table) }).table, table);
});

test("two guests never hold one slice, and a guest is not placed beside its inviter where others can do it", () => {
  const guests = ["g", "h"].map((name) => site(name, { isGuest: true, domain: "x" }));
  const candidates = [site("a", { domain: "x" }), site("b"), ...guests];
  for (let seed = 0; seed < 50; seed++)
    for (const holders of plan(candidates, { seed }).table) {
      const domains = holders.map((holder) => candidates.find(({ siteId }) => siteId === holder)!.domain);
      assert.equal(new Set(domains).size, 2);
    }
  const lacking = plan(guests);
  assert.ok(lacking.table.every(({ length }) => length === 1));
  assert.ok(lacking.lackingCounts.every((count) => count === 1));
});

test("sites of one domain share a slice only until a site of another domain comes", () => {
  const together = [site("a", { domain: "Kiel" }), site("b", { domain: "Kiel" })];
  const first = plan(together);
  assert.ok(first.table.every(({ length }) => length === 2));
  const candidates = [...together, site("c", { domain: "Bonn" })];
  const filling = plan(candidates, { slices: confirmed(first.table) });
  assert.ok(filling.table.every(({ length }) => length === 3));
  const stored = filling.table.map((holders, slice) => ({
    bytes: 1,
    holders,
    stored: new Set(first.table[slice]),
  }));
  assert.deepEqual(plan(candidates, { slices: stored }).table, filling.table, "nothing goes before c has it");
  const done = plan(candidates, { slices: confirmed(filling.table) });
  assert.ok(done.table.every((holders) => holders.length === 2 && holders.includes(sampleSiteId("c"))));
  assert.deepEqual(plan(candidates, { slices: confirmed(done.table), seed: 9 }).table, done.table);
});

test("nobody is drawn without room for the slice, after a refusal, silent, or failing audits", () => {
  const candidates = [
    site("full", { freeBytes: 999 }),
    site("refusing", { refuses: true }),
    site("silent", { silentMs: DAY_MS }),
    site("failing", { failsAudits: true }),
    site("good"),
  ];
  const { table, lackingCounts } = plan(candidates);
  assert.ok(table.every((holders) => holders.length === 1 && holders[0] === sampleSiteId("good")));
  assert.ok(lackingCounts.every((count) => count === 1));
});

test("what is drawn for one slice is not free for the next", () => {
  const { table } = plan([site("small", { freeBytes: 2500 })]);
  assert.equal(table.filter(({ length }) => length > 0).length, 2);
});

test("three copies are placed when three are wanted", () => {
  for (const holders of plan(fourSites, { copiesCount: 3 }).table) assert.equal(holders.length, 3);
});

test("draws follow free space", () => {
  const weights = [1, 2, 3, 4];
  const candidates = fourSites.map((candidate, index) => ({ ...candidate, freeBytes: weights[index]! * 1e12 }));
  const counts = [0, 0, 0, 0];
  const draws = 4000;
  for (let seed = 0; seed < draws; seed++) {
    const [first] = plan(candidates, { seed, copiesCount: 1, slices: [empty] }).table[0]!;
    counts[candidates.findIndex(({ siteId }) => siteId === first)]!++;
  }
  for (const [index, count] of counts.entries()) {
    const expected = (weights[index]! / 10) * draws;
    const deviation = Math.sqrt(expected * (1 - weights[index]! / 10));
    assert.ok(Math.abs(count - expected) < 4 * deviation, `${count} draws of ${fourSites[index]!.siteId}`);
  }
});

test("of hundreds of sites eight hold for an owner, others only where these have no room or share a place", () => {
  const candidates = Array.from({ length: 500 }, (_, at) => site(`${at}`));
  const { table } = plan(candidates);
  const holding = new Set(table.flat());
  assert.equal(holding.size, HOLDERS_COUNT);
  const withRoom = plan(candidates.map((each) => ({ ...each, freeBytes: 2500 })));
  assert.deepEqual(
    withRoom.lackingCounts.filter((count) => count > 0),
    [],
  );
  assert.ok(new Set(withRoom.table.flat()).size > HOLDERS_COUNT, "of 32 copies each has room for two");
  const shared = candidates.map((each) => (holding.has(each.siteId) ? { ...each, domain: "Kiel" } : each));
  const slices = confirmed(table).map((slice, at) =>
    at === 0 ? { ...slice, holders: slice.holders.slice(1) } : slice,
  );
  const apart = plan(shared, { slices, seed: 5 });
  assert.ok(
    apart.table[0]!.some((holder) => !holding.has(holder)),
    "another place counts for more",
  );
  const gone = [...holding].slice(0, 7);
  const grown = plan(
    candidates.filter(({ siteId }) => !gone.includes(siteId)),
    { slices: confirmed(table) },
  );
  assert.equal(new Set(grown.table.flat()).size, HOLDERS_COUNT);
});

const arbitrarySite = fc.record({
  name: fc.constantFrom("owner", ..."abcdefgh"),
  isGuest: fc.boolean(),
  domain: fc.constantFrom("Kiel", "Bonn", "Ulm"),
  freeBytes: fc.nat(5000),
  silentMs: fc.constantFrom(0, DAY_MS, 3.5 * DAY_MS, 5 * DAY_MS),
  failsAudits: fc.boolean(),
  refuses: fc.boolean(),
  isLeaving: fc.boolean(),
});

test("whatever happens to sites, the invariants hold", () => {
  const history = fc.array(fc.uniqueArray(arbitrarySite, { selector: ({ name }) => name, maxLength: 9 }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(history, fc.integer({ min: 1, max: 3 }), fc.nat(), (steps, copiesCount, seed) => {
      let table: readonly (readonly SiteId[])[] = Array.from({ length: 4 }, () => []);
      for (const [step, sites] of steps.entries()) {
        const candidates = sites.map(({ name, ...changes }) => site(name, changes));
        const slices = table.map((holders, slice) => ({
          bytes: 500,
          holders,
          stored: new Set(holders.filter((_, index) => (seed + slice + step + index) % 3 > 0)),
        }));
        const next = plan(candidates, { slices, copiesCount, seed: seed + step });
        for (const [slice, holders] of next.table.entries()) {
          const known = holders.map((holder) => candidates.find(({ siteId }) => siteId === holder));
          assert.ok(!holders.includes(owner));
          assert.ok(known.every((candidate) => candidate !== undefined));
          assert.ok(known.filter((candidate) => candidate!.isGuest).length <= 1);
          assert.equal(new Set(holders).size, holders.length);
          assert.deepEqual([...holders].sort(), holders);
          const before = slices[slice]!;
          for (const [index, holder] of holders.entries())
            if (!before.holders.includes(holder)) assert.ok(known[index]!.freeBytes >= before.bytes);
          const good = (holder: SiteId) => {
            const candidate = candidates.find(({ siteId }) => siteId === holder);
            return candidate !== undefined && !candidate.failsAudits && candidate.silentMs <= 3 * DAY_MS;
          };
          const lost = before.holders.filter((holder) => !holders.includes(holder) && before.stored.has(holder));
          const left = holders.filter((holder) => before.stored.has(holder) && good(holder));
          const isGuest = (holder: SiteId) => candidates.some((one) => one.siteId === holder && one.isGuest);
          if (lost.some((holder) => good(holder) && !isGuest(holder) && holder !== owner))
            assert.ok(left.length >= copiesCount, "a good copy goes only when enough are left");
        }
        table = next.table;
      }
    }),
    { numRuns: 500 },
  );
});

test.run();
