/** Goal: a machine's clock that is wrong, jumps or is set right costs no snapshot. Method: as in retention.test.ts. */
import assert from "node:assert/strict";
import { isCostorError } from "#protocol/errors.ts";
import type { CostorError } from "#protocol/errors.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { ManualClock } from "#test/support/manual-clock.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, RetainedSite, aged } from "./retained-site.ts";

const test = suite("retention-clocks");

const code = (wanted: CostorError["code"]) => (error: unknown) => isCostorError(error, wanted);

test("a clock that jumps while the site runs stops everything, until a person says that it is right", async () => {
  const { site, agent } = await aged(60);
  const before = await site.listed(agent);
  site.clock.jumpTo(site.clock.now() + 75 * 365 * DAY_MS);
  await site.days(60);
  assert.deepEqual(await site.listed(agent), before);
  assert.match((await site.retention.state()).paused!, /clock/);
  await assert.rejects(site.retention.collect({}), code("deletion-paused"));
  await site.retention.collect({ isDry: true });
  await site.retention.confirmClock();
  assert.equal((await site.retention.state()).paused, undefined);
  await site.retention.collect({});
});

test("backups after a clock was ahead for a while are kept as before, each by its own day", async () => {
  const { site, agent } = await aged(60);
  const first = site.clock.now();
  site.clock.jumpTo(first + 2 * 365 * DAY_MS);
  const ahead = await site.backUp(agent, ["ahead"]);
  site.clock.jumpTo(first);
  await site.retention.decide({}, { daily: 50 });
  await site.retention.confirmClock();
  const ids: SnapshotId[] = [];
  await site.days(80, async (day) => ids.push(await site.backUp(agent, ["always", `later ${day}`])));
  assert.equal((await site.retention.state()).paused, undefined);
  const listed = await site.listed(agent);
  assert.deepEqual(listed.slice(-50), ids.slice(-50));
  assert.ok(!listed.includes(ids[0]!));
  assert.ok(listed.includes(ahead), "until its time has come");
  const shown = await site.retention.snapshots();
  assert.equal(shown.at(-1)!.wallMs, site.clock.now() - DAY_MS);
  assert.doesNotMatch((await site.retention.state()).alarms.join(), /within a day/);
  // Still strictly growing: what is safe is told by these numbers.
  const numbers = shown.map(({ receivedMs }) => receivedMs);
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((one, other) => one - other),
  );
});

test("a clock that was set ahead by years while the site was off makes nothing older", async () => {
  const { site, agent } = await aged(60);
  const before = await site.listed(agent);
  const clock = new ManualClock(site.clock.now() + 75 * 365 * DAY_MS);
  const later = await RetainedSite.open({ store: site.store, clock });
  for (const [id, names] of site.names) later.names.set(id, names);
  await later.days(6);
  // Those that were due within these days by time that has really passed.
  const due = 8;
  assert.deepEqual((await later.listed(agent)).slice(-before.length + due), before.slice(due));
  await later.verify();
});

/** Off for a long time by its clock, whether that is so or not, with rules and holds that go by time. It backs up once a day from then on. */
async function afterDaysOff(doClocksAgree?: () => boolean) {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.retention.decide({}, { within: "40d" });
  const ids: SnapshotId[] = [];
  await site.days(60, async (day) => ids.push(await site.backUp(agent, ["always", `day ${day}`])));
  const [held] = await site.listed(agent);
  await site.retention.mark([held as SnapshotId], { heldUntilMs: site.clock.now() + 20 * DAY_MS });
  const before = await site.listed(agent);
  const clock = new ManualClock(site.clock.now() + 2 * 365 * DAY_MS);
  const later = await RetainedSite.open({ store: site.store, clock, ...(doClocksAgree && { doClocksAgree }) });
  for (const [id, names] of site.names) later.names.set(id, names);
  const run = (days: number) => later.days(days, (day) => later.backUp(agent, [`later ${day}`]));
  return { site: later, agent, before, run };
}

test("a clock that was set ahead while the site was off takes nothing by a rule of time or the end of a hold", async () => {
  const { site, agent, before, run } = await afterDaysOff(() => false);
  await run(25);
  assert.deepEqual((await site.listed(agent)).slice(0, before.length), before);
  assert.match((await site.retention.state()).paused!, /off for days, or the machine's clock was set ahead/);
  await site.verify();
  const again = await RetainedSite.open({ store: site.store, clock: site.clock });
  assert.ok((await again.retention.state()).paused, "nor does a restart end it");
});

test("after days off it goes on when a person confirms the clock, other sites' clocks do, or the site has run for long", async () => {
  const confirmed = await afterDaysOff();
  await confirmed.site.retention.confirmClock();
  const agreed = await afterDaysOff(() => true);
  const left = await afterDaysOff();
  await left.run(30);
  for (const { site, agent, before, run } of [confirmed, agreed, left]) {
    await run(1);
    assert.equal((await site.retention.state()).paused, undefined);
    await run(1);
    assert.equal((await site.listed(agent)).filter((id) => before.includes(id)).length < before.length, true);
    const again = await RetainedSite.open({ store: site.store, clock: site.clock });
    assert.equal((await again.retention.state()).paused, undefined);
  }
});

test.run();
