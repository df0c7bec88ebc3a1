/** Goal: other sites prove this machine's clock by what they have written, and no minority does. Method: a federation's answers as they would be. */
import { equal } from "node:assert/strict";
import { doClocksAgree } from "#node/federation/agreeing-clocks.ts";
import type { Federation } from "#node/federation/federation.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("agreeing-clocks");

const DAY_MS = 24 * 3_600_000;
const nowMs = Date.UTC(2026, 10, 27);

/** By when each other site has written last; undefined: nothing is known of it. */
const agree = (...times: readonly (number | undefined)[]): boolean =>
  doClocksAgree(
    {
      siteId: "self",
      parts: {
        membership: { sites: () => ["self", ...times.keys()] },
        ledger: {
          currentLog: (site: number | "self") => {
            const timeMs = site === "self" ? nowMs : times[site];
            return timeMs === undefined ? undefined : { known: { last: 7 }, held: () => ({ timeMs }) };
          },
        },
      },
    } as unknown as Federation,
    nowMs,
  );

test("at least half of the others have written within a day of it", () => {
  equal(agree(nowMs - 1000), true);
  equal(agree(nowMs - 1000, nowMs - 300 * DAY_MS), true);
  equal(agree(nowMs - 1000, nowMs - 300 * DAY_MS, nowMs - DAY_MS), false, "a minority");
  equal(agree(nowMs - 700 * DAY_MS, nowMs - 700 * DAY_MS), false, "it was set ahead");
  equal(agree(nowMs + DAY_MS, nowMs + 5 * DAY_MS), false, "or is behind");
});

test("its own entries, and sites of which nothing is known, prove nothing", () => {
  equal(agree(), false);
  equal(agree(undefined, undefined), false);
});

test.run();
