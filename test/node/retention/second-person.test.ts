/**
 * Goal: what would keep less never counts without the second person, however long one waits or restarts. Method: a site on a store in memory,
 * opened anew between the steps, whose days the test lets pass.
 */
import assert from "node:assert/strict";
import { stateFacts } from "#node/federation/site-statements.ts";
import { type CostorError, isCostorError } from "#protocol/errors.ts";
import type { AgentId, SnapshotId } from "#protocol/ids.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { RestartedSite, withSecondPerson } from "./restarted-site.ts";
import { DAY_MS } from "./retained-site.ts";

const test = suite("second person", { timeoutMs: 60_000 });
const code = (wanted: CostorError["code"]) => (error: unknown) => isCostorError(error, wanted);
const LOCK_DAYS = 45;
const WRONG = "abandon ability able about above absent";
const less = { daily: 5 };

test("vector 9: a shortened policy tells what it takes, waits for the second person and the grace, and can be taken back until then", async () => {
  const { world, words } = await withSecondPerson();
  const agent = world.site.enrol();
  await world.site.days(50, (day) => world.site.backUp(agent, ["always", `day ${day}`]));
  const { snapshots, bytes } = await world.site.retention.preview({}, less);
  assert.ok(snapshots.length >= 18 && bytes > 0);
  for (const isTakenBack of [true, false]) {
    world.site.clock.pass(1);
    await world.site.retention.decide({}, less);
    await world.site.retention.secondPerson.approve({}, await world.decidedMs(), words);
    await world.site.days(6);
    assert.equal((await world.site.listed(agent)).length, 50);
    if (isTakenBack) await world.site.retention.undo({});
    await world.site.days(2);
    assert.equal((await world.site.listed(agent)).length < 50, !isTakenBack);
  }
  await world.site.verify();
});

test("what nobody approves never counts, however long it waits, and both policies keep meanwhile", async () => {
  const { world } = await withSecondPerson();
  const agent = world.site.enrol();
  await world.site.days(40, (day) => world.site.backUp(agent, [`day ${day}`]));
  await world.site.retention.decide({}, less);
  await world.days(120);
  assert.deepEqual(await world.policy(), { policy: {}, next: less, needsApproval: true });
  assert.equal((await world.site.listed(agent)).length, 40);
});

test("what is approved counts a week after it was decided, at whatever time of the week that was", async () => {
  for (const approvedDay of [0, 6, 9]) {
    const { world, words } = await withSecondPerson();
    const agent = world.site.enrol();
    await world.site.days(40, (day) => world.site.backUp(agent, [`day ${day}`]));
    await world.site.retention.decide({}, less);
    const decidedMs = await world.decidedMs();
    await world.days(approvedDay);
    assert.equal((await world.policy()).needsApproval, true);
    await world.site.retention.secondPerson.approve({}, decidedMs, words);
    assert.deepEqual(await world.policy(), { policy: {}, next: less, needsApproval: false });
    await world.days(Math.max(0, 6 - approvedDay));
    assert.deepEqual((await world.policy()).policy, {}, "not before the grace is over");
    await world.days(1);
    assert.deepEqual(await world.policy(), { policy: less, next: undefined, needsApproval: undefined });
    assert.ok((await world.site.listed(agent)).length < 40);
  }
});

test("rules that keep more count at once, without anybody", async () => {
  const { world } = await withSecondPerson();
  const agent = world.site.enrol();
  await world.site.retention.decide({ agent }, {});
  await world.site.retention.decide({}, less);
  await world.site.retention.decide({}, {});
  assert.deepEqual(await world.policy(), { policy: {}, next: undefined, needsApproval: undefined });
});

test("an approval is of one decision: not of a later one in its place, nor of the same that is made again after undo", async () => {
  const { world, words } = await withSecondPerson();
  const decide = async (policy: object) => {
    world.site.clock.pass(1);
    await world.site.retention.decide({}, policy);
    return world.decidedMs();
  };
  const first = await decide(less);
  await world.site.retention.secondPerson.approve({}, first, words);
  await decide({ last: 1 });
  assert.equal((await world.policy()).needsApproval, true);
  await assert.rejects(world.site.retention.secondPerson.approve({}, first, words), code("not-found"));
  await world.site.retention.undo({});
  await assert.rejects(world.site.retention.secondPerson.approve({}, first, words), code("not-found"));
  await decide(less);
  await assert.rejects(world.site.retention.secondPerson.approve({}, first, words), code("not-found"));
  await world.days(30);
  assert.deepEqual(await world.policy(), { policy: {}, next: less, needsApproval: true });
});

test("an approval is of one policy: not of an agent's, nor of a job's", async () => {
  const { world, words } = await withSecondPerson();
  const agent = world.site.enrol();
  const scopes: { agent?: AgentId; job?: string }[] = [{}, { agent }, { agent, job: "mail" }];
  for (const scope of scopes) await world.site.retention.decide(scope, less);
  await world.site.retention.secondPerson.approve({ agent }, await world.decidedMs(), words);
  await world.days(8);
  const { policies } = await (await world.again()).state();
  assert.deepEqual(
    policies.map(({ policy, next }) => [policy, next?.needsApproval]),
    [
      [{}, true],
      [less, undefined],
      [null, true],
    ],
  );
});

test("what keeps less at once takes the code at once: removing, and taking pins, tags and holds away; what keeps more takes none", async () => {
  const { world, words } = await withSecondPerson();
  const agent = world.site.enrol();
  const ids: SnapshotId[] = [];
  await world.site.days(5, async (day) => ids.push(await world.site.backUp(agent, [`day ${day}`])));
  const { retention, clock } = world.site;
  const [removed, pinned, tagged, held] = ids as [SnapshotId, SnapshotId, SnapshotId, SnapshotId];
  const untilMs = clock.now() + 20 * DAY_MS;
  await retention.mark([pinned], { isPinned: true });
  await retention.mark([tagged], { tags: ["exams", "final"] });
  await retention.mark([held], { heldUntilMs: untilMs });
  const before = await retention.snapshots();
  const attempts: ((given?: string) => Promise<void>)[] = [
    (given) => retention.remove([removed], given),
    (given) => retention.mark([removed, pinned], { isPinned: false }, given),
    (given) => retention.mark([tagged], { tags: [] }, given),
    (given) => retention.mark([held], { heldUntilMs: null }, given),
    (given) => retention.mark([held], { heldUntilMs: untilMs - 1 }, given),
    (given) => retention.mark([held], { isPinned: true, heldUntilMs: null }, given),
  ];
  for (const attempt of attempts) {
    await assert.rejects(attempt(), code("second-person-needed"));
    await assert.rejects(attempt(WRONG), code("wrong-code"));
  }
  assert.deepEqual(await retention.snapshots(), before);
  await retention.mark([removed], { isPinned: false, tags: [], heldUntilMs: null });
  await retention.mark([tagged], { tags: ["exams"] });
  await retention.mark([held], { heldUntilMs: untilMs + 1 });
  await retention.mark(ids, { isPinned: true });
  await retention.mark([held], { heldUntilMs: null }, words);
  await retention.mark(ids, { isPinned: false, tags: [] }, words);
  await retention.remove([removed], words);
  assert.deepEqual(await world.site.listed(agent), ids.slice(1));
  await retention.keepRemoved([removed]);
  assert.deepEqual(await world.site.listed(agent), ids);
});

test("what had been decided before there was a second person has to be approved too", async () => {
  const world = await RestartedSite.open();
  await world.site.retention.decide({}, {});
  await world.site.retention.decide({}, less);
  await world.days(6);
  const words = await world.site.retention.secondPerson.set();
  await world.days(10);
  assert.deepEqual((await world.policy()).policy, {});
  await world.site.retention.secondPerson.approve({}, await world.decidedMs(), words.join(" "));
  await world.days(1);
  assert.deepEqual((await world.policy()).policy, less);
});

test("with the code another second person comes at once: the former code and what it approved are worth nothing", async () => {
  const { world, words } = await withSecondPerson();
  await world.site.retention.decide({}, less);
  await world.site.retention.secondPerson.approve({}, await world.decidedMs(), words);
  const next = (await (await world.again()).secondPerson.set(words)).join(" ");
  assert.notEqual(next, words);
  await world.days(20);
  assert.deepEqual(await world.policy(), { policy: {}, next: less, needsApproval: true });
  const decidedMs = await world.decidedMs();
  await assert.rejects(world.site.retention.secondPerson.approve({}, decidedMs, words), code("wrong-code"));
  await world.site.retention.secondPerson.approve({}, decidedMs, next);
  await world.days(1);
  assert.deepEqual((await world.policy()).policy, less);
});

test("when the second person ends, what was approved counts, and what was not is taken back and has its grace when it is decided again", async () => {
  const { world, words } = await withSecondPerson();
  const agent = world.site.enrol();
  await world.site.retention.decide({}, less);
  await world.site.retention.decide({ agent }, { daily: 9 });
  await world.site.retention.secondPerson.approve({ agent }, await world.decidedMs(), words);
  await world.days(5);
  await (await world.again()).secondPerson.end(words);
  assert.equal((await (await world.again()).state()).secondPerson, undefined);
  await world.days(30);
  const { policies } = await world.site.retention.state();
  assert.deepEqual(
    policies.map(({ policy, next }) => [policy, next]),
    [
      [{}, undefined],
      [{ daily: 9 }, undefined],
    ],
  );
  await world.site.retention.decide({}, less);
  await world.days(6);
  assert.deepEqual(await world.policy(), { policy: {}, next: less, needsApproval: false });
  await world.days(2);
  assert.deepEqual((await world.policy()).policy, less);
});

test("a machine's clock that was set ahead by years brings neither grace nor lock to an end", async () => {
  const { world, words } = await withSecondPerson();
  await world.site.retention.decide({}, less);
  await world.site.retention.secondPerson.approve({}, await world.decidedMs(), words);
  await world.site.retention.secondPerson.end();
  world.site.clock.jumpTo(world.site.clock.now() + 10 * 365 * DAY_MS);
  await world.site.days(60);
  const { policies, secondPerson } = await world.site.retention.state();
  assert.deepEqual(policies[0]!.policy, {});
  assert.ok(secondPerson);
});

test("on another machine, whose clock has run for less or more, the code and approvals count and the times begin anew", async () => {
  for (const [ranDays, waitedDays] of [
    [0, 3],
    [300, 3],
  ] as const) {
    const { world, words } = await withSecondPerson();
    await world.days(100 + ranDays);
    await world.site.retention.decide({}, less);
    await world.site.retention.secondPerson.approve({}, await world.decidedMs(), words);
    await world.site.retention.secondPerson.end();
    await world.days(waitedDays);
    const store = createMemoryStore();
    for (const { kind, key } of stateFacts) {
      const value = await world.site.store.fact(kind, key);
      if (value !== undefined) await store.appendFacts([{ kind, key, value }]);
    }
    await world.again({ store });
    await world.days(7);
    assert.deepEqual((await world.policy()).policy, {}, "first it learns that the times are another clock's");
    await world.days(1);
    assert.deepEqual((await world.policy()).policy, less);
    await world.days(LOCK_DAYS - 9);
    assert.ok((await world.site.retention.state()).secondPerson);
    await assert.rejects(world.site.retention.secondPerson.set(WRONG), code("wrong-code"));
    await world.days(3);
    assert.equal((await world.site.retention.state()).secondPerson, undefined);
  }
});

test.run();
