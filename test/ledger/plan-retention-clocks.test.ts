/** Goal: a clock of the site's machine that was wrong for a while costs no snapshot. Method: random series, policies and errors, against the same series without the error. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { periods } from "#ledger/retention-policy.ts";
import { DAY_MS, at, kept, keptOf, made, plan, policies, series, zones } from "#test/ledger/judged-snapshots.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("plan-retention-clocks");

/** While the machine's clock was ahead of what it should show, some were received; then it was set right. */
const misclocked = fc
  .record({
    honest: series,
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 1, max: 20 }),
    aheadMs: fc.integer({ min: 2 * DAY_MS, max: 75 * 365 * DAY_MS }),
  })
  .map(({ honest, from, length, aheadMs }) => {
    const first = Math.floor(from * honest.length);
    let floorMs = 0;
    const snapshots = honest.map((snapshot, at) => {
      const isAhead = at >= first && at < first + length;
      const wallMs = snapshot.receivedMs + (isAhead ? aheadMs : 0);
      floorMs = Math.max(wallMs, floorMs + 1);
      return { ...snapshot, receivedMs: floorMs, ...(wallMs < floorMs && { wallMs }), isAhead };
    });
    return { honest, snapshots, nowMs: honest.at(-1)!.receivedMs };
  });

test("vector 12: snapshots that were received while the clock was ahead take no place of others, nor those after it", () => {
  const rules = fc.oneof(
    ...["last", ...periods].map((rule) => fc.integer({ min: 1, max: 8 }).map((count) => ({ [rule]: count }))),
    fc.constantFrom("3d", "2w", "1m").map((within) => ({ within })),
  );
  fc.assert(
    fc.property(misclocked, rules, zones, ({ honest, snapshots, nowMs }, policy, zone) => {
      const names = new Set(kept(snapshots, policy, { zone, nowMs }));
      const isAhead = new Set(snapshots.filter((snapshot) => snapshot.isAhead).map(({ name }) => name));
      for (const name of kept(honest, policy, { zone, nowMs })) assert.ok(names.has(name) || isAhead.has(name), name);
    }),
    { numRuns: 300 },
  );
});

test("vector 12: a clock that shows another future at each start takes no day's place", () => {
  const day = (number: number) => at("2026-01-01T20:00:00Z") + number * DAY_MS;
  const days = [1, 2, 3, 4, 5].map((number) => made(day(number), { name: `day ${number}` }));
  const ahead = [1, 2, 3].map((years) => made(day(6 + years * 365), { name: `ahead ${years}` }));
  const next = made(ahead.at(-1)!.receivedMs + 1, { name: "day 6", wallMs: day(6) });
  const names = kept([...days, ...ahead, next], { daily: 3 }, { nowMs: day(6) });
  for (const name of ["day 4", "day 5", "day 6"]) assert.ok(names.includes(name), name);
});

test("vector 12: nor does a clock that was behind for a while, and planning again takes nothing more", () => {
  fc.assert(
    fc.property(misclocked, policies, zones, ({ snapshots, nowMs }, policy, zone) => {
      const once = keptOf(plan(snapshots, policy, { zone, nowMs }));
      assert.deepEqual(keptOf(plan(once, policy, { zone, nowMs })), once);
      // By the time that never goes back alone, as if no other were known.
      const byFloor = snapshots.map((snapshot) => ({ ...snapshot, wallMs: undefined }));
      const names = new Set(once.map(({ name }) => name));
      for (const name of kept(byFloor, policy, { zone, nowMs })) assert.ok(names.has(name), name);
    }),
    { numRuns: 300 },
  );
});

test.run();
