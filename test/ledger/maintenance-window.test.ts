/** Goal: a window is open by the wall clock of its zone, whatever is done to clocks. Method: known nights, and a search minute by minute as the model. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { type MaintenanceWindow, MaintenanceWindows } from "#ledger/maintenance-window.ts";
import { isCostorError } from "#protocol/errors.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("maintenance-window");

const MINUTE_MS = 60_000;
const at = (text: string): number => Date.parse(text);
const nightly: MaintenanceWindow = { fromMinutes: 22 * 60, toMinutes: 6 * 60 };

test("a window that crosses midnight is open on both sides of it", () => {
  const windows = new MaintenanceWindows([nightly], "Europe/Berlin");
  assert.deepEqual(windows.at(at("2026-01-10T12:00:00Z")), { isOpen: false, changesMs: at("2026-01-10T21:00:00Z") });
  assert.deepEqual(windows.at(at("2026-01-10T21:00:00Z")), { isOpen: true, changesMs: at("2026-01-11T05:00:00Z") });
  assert.deepEqual(windows.at(at("2026-01-11T04:59:59Z")), { isOpen: true, changesMs: at("2026-01-11T05:00:00Z") });
});

test("a night in which clocks are set ends by the wall clock", () => {
  const windows = new MaintenanceWindows([nightly], "Europe/Berlin");
  assert.equal(windows.at(at("2026-03-28T23:00:00Z")).changesMs, at("2026-03-29T04:00:00Z"), "an hour less");
  assert.equal(windows.at(at("2026-10-24T23:00:00Z")).changesMs, at("2026-10-25T05:00:00Z"), "an hour more");
});

test("an hour that the clock leaves out opens nothing, and one that it shows twice opens twice", () => {
  const windows = new MaintenanceWindows([{ fromMinutes: 150, toMinutes: 170 }], "Europe/Berlin");
  const spring = windows.at(at("2026-03-29T00:00:00Z"));
  assert.deepEqual(spring, { isOpen: false, changesMs: at("2026-03-30T00:30:00Z") });
  const first = windows.at(at("2026-10-25T00:00:00Z"));
  assert.equal(first.changesMs, at("2026-10-25T00:30:00Z"));
  assert.equal(windows.at(at("2026-10-25T00:50:00Z")).changesMs, at("2026-10-25T01:30:00Z"));
});

test("who is asked minute by minute, through nights in which clocks are set, says what one says who is asked once", () => {
  for (const [zone, from] of [
    ["Europe/Berlin", "2026-03-28T22:00:00Z"],
    ["Europe/Berlin", "2026-10-24T22:00:00Z"],
    // By half an hour.
    ["Australia/Lord_Howe", "2026-04-04T12:00:00Z"],
    ["Asia/Kathmandu", "2026-04-04T12:00:00Z"],
  ] as const) {
    const window = { fromMinutes: 2 * 60 + 15, toMinutes: 3 * 60 + 5 };
    const asked = new MaintenanceWindows([window], zone);
    for (let minute = 0; minute < 8 * 60; minute++) {
      const nowMs = at(from) + minute * MINUTE_MS;
      assert.equal(asked.isOpenAt(nowMs), new MaintenanceWindows([window], zone).isOpenAt(nowMs), `${zone} ${minute}`);
    }
  }
});

test("days are those on which a window starts", () => {
  const windows = new MaintenanceWindows([{ ...nightly, days: [5] }], "UTC");
  // 2026-01-09 is a Friday.
  assert.equal(windows.at(at("2026-01-09T23:00:00Z")).isOpen, true);
  assert.equal(windows.at(at("2026-01-10T05:00:00Z")).isOpen, true);
  assert.deepEqual(windows.at(at("2026-01-10T23:00:00Z")), { isOpen: false, changesMs: at("2026-01-16T22:00:00Z") });
});

test("without windows, and with one over the whole day, it never closes", () => {
  assert.deepEqual(new MaintenanceWindows([], "UTC").at(0), { isOpen: true, changesMs: undefined });
  for (const window of [
    { fromMinutes: 0, toMinutes: 1440 },
    { fromMinutes: 600, toMinutes: 600 },
  ])
    assert.deepEqual(new MaintenanceWindows([window], "Asia/Kolkata").at(0), { isOpen: true, changesMs: undefined });
});

test("windows that no day has are refused", () => {
  const isRefused = (window: MaintenanceWindow, zone = "UTC") =>
    assert.throws(
      () => new MaintenanceWindows([window], zone),
      (error) => isCostorError(error, "bad-config"),
    );
  isRefused({ fromMinutes: -1, toMinutes: 5 });
  isRefused({ fromMinutes: 0, toMinutes: 1441 });
  isRefused({ fromMinutes: 1440, toMinutes: 5 });
  isRefused({ fromMinutes: 0.5, toMinutes: 5 });
  isRefused({ fromMinutes: 0, toMinutes: 5, days: [0] });
  isRefused(nightly, "Mars/Olympus");
});

test("the next change is the first minute at which it is otherwise", () => {
  const zones = fc.constantFrom("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC");
  const window = fc.record({
    fromMinutes: fc.nat(1439),
    toMinutes: fc.integer({ min: 1, max: 1440 }),
    days: fc.option(fc.uniqueArray(fc.integer({ min: 1, max: 7 })), { nil: undefined }),
  });
  // Around the nights in 2026 on which one of the zones sets its clocks.
  const nights = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2026-06-01"];
  const starts = fc.tuple(fc.constantFrom(...nights), fc.integer({ min: -2000, max: 1500 }));
  fc.assert(
    fc.property(fc.array(window, { minLength: 1, maxLength: 2 }), zones, starts, (windows, zone, [night, offset]) => {
      const tested = new MaintenanceWindows(windows, zone);
      const startMs = at(night) + offset * MINUTE_MS;
      const { isOpen, changesMs } = tested.at(startMs);
      const searchedMs = Math.min(changesMs ?? Number.POSITIVE_INFINITY, startMs + 600 * MINUTE_MS);

      for (let ms = startMs; ms < searchedMs; ms += MINUTE_MS) assert.equal(tested.isOpenAt(ms), isOpen);
      if (changesMs !== undefined) assert.equal(tested.isOpenAt(changesMs), !isOpen);
    }),
    { numRuns: 60 },
  );
});

test.run();
