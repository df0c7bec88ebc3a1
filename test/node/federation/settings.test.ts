import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import * as v from "valibot";
import { SettingsFact, initialSettings, settingsChangeSchema } from "#node/federation/settings.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("federation settings");

test("a change is kept over a restart, and leaves the rest as it was", async () => {
  const store = createMemoryStore();
  const settings = await SettingsFact.open(store);
  deepEqual(settings.current, initialSettings);
  await settings.change({ place: "Bozen", window: { begins: "22:00", ends: "06:00" } });
  await settings.change({ quotaBytes: 5 });
  deepEqual((await SettingsFact.open(store)).current, {
    ...initialSettings,
    place: "Bozen",
    window: { begins: "22:00", ends: "06:00" },
    quotaBytes: 5,
  });
});

test("a window that begins when it ends is refused, and changes nothing", async () => {
  const settings = await SettingsFact.open(createMemoryStore());
  await rejects(settings.change({ window: { begins: "22:00", ends: "22:00" } }), { code: "bad-usage" });
  equal(settings.current.window, null);
});

test("wrong values are refused by name", () => {
  const wrong: Record<string, unknown>[] = [
    { window: { begins: "24:00", ends: "06:00" } },
    { timeZone: "Mars/Olympus" },
    { offeredBytes: -1 },
    { bytesPerSecond: limits.leastBytesPerSecond - 1 },
    { place: "a\u001b[31m" },
    { announcedAddresses: Array.from({ length: limits.ledgerAddressesCount + 1 }, () => "/dns4/a/tcp/1") },
    { colour: "red" },
  ];
  for (const change of wrong) throws(() => v.parse(settingsChangeSchema, change), v.ValiError, JSON.stringify(change));
});

test.run();
