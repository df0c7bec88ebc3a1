/** Goal: days are dates and dates days. Method: the platform's own calendar over four centuries and far from them. */
import assert from "node:assert/strict";
import { dateOfDays, daysOfDate } from "#ledger/calendar-date.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("calendar-date");
const DAY_MS = 24 * 3_600_000;

test("each day of four hundred years is what the platform's calendar says, and so back", () => {
  for (let days = -73_000; days < 73_100; days++) {
    const date = new Date(days * DAY_MS);
    const expected = { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
    assert.deepEqual(dateOfDays(days), expected);
    assert.equal(daysOfDate(expected), days);
  }
  assert.deepEqual(dateOfDays(daysOfDate({ year: 9999, month: 2, day: 28 }) + 1), { year: 9999, month: 3, day: 1 });
});

test.run();
