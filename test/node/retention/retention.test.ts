/**
 * Goal: what people want is there, what they no longer want goes in time and can be taken back before, and in doubt all stays. Method: a
 * site on a store in memory, whose days the test lets pass.
 */
import assert from "node:assert/strict";
import { forgetUnread, noteUnread } from "#node/site/unread-snapshots.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { CostorError } from "#protocol/errors.ts";
import { type AgentId, type PrimeId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, HOUR_MS, RetainedSite, aged } from "./retained-site.ts";

const test = suite("retention");

const code = (wanted: CostorError["code"]) => (error: unknown) => isCostorError(error, wanted);

test("whatever the rules, nothing expires for thirty days; then it leaves the list, a week later it is gone with its data", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.retention.decide({}, { daily: 1 });
  await site.days(8);
  const first = await site.backUp(agent, ["always", "first"]);
  const full = await site.primesCount();
  await site.days(30, (day) => site.backUp(agent, ["always", `day ${day}`]));
  assert.ok((await site.listed(agent)).includes(first));
  await site.days(1);
  assert.ok(!(await site.listed(agent)).includes(first));
  await assert.rejects(site.snapshots.get(agent, first), code("snapshot-unknown"));
  await site.verify();
  await site.days(6);
  assert.ok(await site.snapshots.completed(agent, first), "still there to be put back");
  await site.days(1);
  assert.equal(await site.snapshots.completed(agent, first), undefined);
  await site.verify();
  await site.days(40);
  assert.equal((await site.listed(agent)).length, 1);
  assert.equal(await site.primesCount(), full, "two directories, two files and a root");
});

test("the last complete snapshot stays for ever, also when its agent was revoked or makes only incomplete ones", async () => {
  const site = await RetainedSite.open();
  const [revoked, broken] = [site.enrol(), site.enrol()];
  await site.retention.decide({}, { last: 1 });
  await site.days(10);
  const kept = [await site.backUp(revoked, ["a"]), await site.backUp(broken, ["b"])];
  await site.days(1);
  site.agents[0] = { ...site.agents[0]!, revokedMs: site.clock.now() };
  await site.days(100, () => site.backUp(broken, ["b", "c"], { unreadableCount: 1 }));
  assert.deepEqual(await site.listed(revoked), [kept[0]]);
  assert.ok((await site.listed(broken)).includes(kept[1]!));
  await site.verify();
});

test("pins, tags and holds keep, bring back what has expired, and last over a restart", async () => {
  const { site, agent, ids } = await aged(29);
  await site.retention.mark([ids[0]!], { isPinned: true });
  await site.retention.mark([ids[1]!], { tags: ["exams"] });
  const heldUntilMs = site.clock.now() + 20 * DAY_MS;
  await site.retention.mark([ids[2]!], { heldUntilMs });
  await site.days(10, (day) => site.backUp(agent, [`later ${day}`]));
  assert.deepEqual((await site.listed(agent)).slice(0, 3), ids.slice(0, 3));
  await site.retention.mark([ids[3]!], { isPinned: true });
  assert.ok((await site.listed(agent)).includes(ids[3]!), "it had left the list");
  const again = await RetainedSite.open({ store: site.store, clock: site.clock });
  const [pinned, tagged, held] = await again.retention.snapshots();
  assert.deepEqual([pinned!.isPinned, tagged!.tags, held!.heldUntilMs], [true, ["exams"], heldUntilMs]);
  assert.deepEqual(
    [pinned, tagged, held].map((snapshot) => snapshot!.reasons.map(({ rule }) => rule)),
    [["pinned"], ["tagged"], ["held"]],
  );
  await site.retention.mark(ids.slice(0, 2), { isPinned: false, tags: [] });
  await site.days(60, (day) => site.backUp(agent, [`more ${day}`]));
  assert.deepEqual((await site.listed(agent)).slice(0, 1), [ids[3]]);
  await site.verify();
});

test("tags are bounded", async () => {
  const { site, ids } = await aged(1);
  const tags = Array.from({ length: limits.snapshotTagsCount + 1 }, (_, number) => `${number}`);
  await assert.rejects(site.retention.mark([ids[0]!], { tags }), code("limit-exceeded"));
});

test("what a person removes goes in a week unless it is put back, people are told, and pinned ones are refused", async () => {
  const { site, agent, ids } = await aged(10);
  await site.retention.remove(ids.slice(0, 4));
  assert.deepEqual(await site.listed(agent), ids.slice(4));
  assert.match((await site.retention.state()).alarms.join(), /removed snapshots .4./);
  await site.retention.keepRemoved(ids.slice(0, 1));
  await site.retention.mark([ids[1]!], { isPinned: true });
  await assert.rejects(site.retention.remove([ids[1]!]), code("bad-usage"));
  await site.days(8, () => site.backUp(agent, ["always"]));
  assert.deepEqual((await site.listed(agent)).slice(0, 3), [ids[0], ids[1], ids[4]]);
  assert.equal(await site.snapshots.completed(agent, ids[2]!), undefined);
  await site.verify();
});

test("rules that keep less are told of before, count after a week, and can be taken back until then", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.retention.decide({}, {});
  await site.days(50, (day) => site.backUp(agent, ["always", `day ${day}`]));
  assert.equal((await site.listed(agent)).length, 50);
  const preview = await site.retention.preview({}, { daily: 5 });
  assert.ok(preview.snapshots.length >= 18 && preview.snapshots.length <= 21, "those that are not young");
  assert.ok(preview.bytes > 0);
  const before = await site.primesCount();
  await site.retention.decide({}, { daily: 5 });
  assert.equal((await site.retention.state()).policies[0]!.next?.policy?.daily, 5);
  await site.days(6);
  assert.equal((await site.listed(agent)).length, 50);
  await site.retention.undo({});
  await assert.rejects(site.retention.undo({}), code("not-found"));
  await site.days(20);
  assert.equal((await site.listed(agent)).length, 50);
  await site.retention.decide({}, { daily: 5 });
  await site.days(8);
  assert.ok((await site.listed(agent)).length < 50);
  await site.retention.decide({}, {});
  await site.days(1);
  assert.equal((await site.listed(agent)).length, 50, "what has expired comes back with rules that keep it");
  assert.equal(await site.primesCount(), before);
  await site.verify();
});

test("an agent's policy beats the site's, a job's the agent's, and null gives it up", async () => {
  const { site, agent } = await aged(1);
  await site.retention.decide({ agent }, {});
  await site.retention.decide({ agent, job: "mail" }, { last: 2 });
  const shown = (await site.retention.state()).policies;
  assert.deepEqual(
    shown.map(({ agent: of, job, policy, next }) => [of, job, policy, next?.policy]),
    [
      [undefined, undefined, { daily: 30, weekly: 13, monthly: 24, yearly: 10 }, { daily: 1 }],
      [agent, undefined, {}, undefined],
      [agent, "mail", null, { last: 2 }],
    ],
  );
  await assert.rejects(site.retention.decide({}, null), code("bad-usage"));
  await assert.rejects(
    site.retention.decide({ agent: "0199c0de-0000-7000-8000-000000000000" as AgentId }, {}),
    code("not-found"),
  );
  await site.retention.decide({ agent }, null);
  await site.days(8);
  const later = (await site.retention.state()).policies;
  assert.deepEqual(
    later.map(({ agent: of, job, policy }) => [of, job, policy]),
    [
      [undefined, undefined, { daily: 1 }],
      [agent, "mail", { last: 2 }],
    ],
  );
  const again = await RetainedSite.open({ store: site.store, clock: site.clock });
  assert.deepEqual((await again.retention.state()).policies, later);
});

test("policies are bounded", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  for (let job = 1; job < limits.retentionPoliciesCount; job++)
    await site.retention.decide({ agent, job: `${job}` }, {});
  await assert.rejects(
    Promise.all(["one", "two"].map((job) => site.retention.decide({ agent, job }, {}))),
    code("limit-exceeded"),
  );
});

test("snapshots that say to be from the future, by the hundred, take nothing, and people are told", async () => {
  const { site, agent, ids } = await aged(25);
  const startedMs = site.clock.now() + 75 * 365 * DAY_MS;
  for (let number = 0; number < 120; number++) await site.backUp(agent, ["planted"], { startedMs });
  const { alarms } = await site.retention.state();
  assert.match(alarms.join("\n"), /ahead in 120 snapshots/);
  assert.match(alarms.join("\n"), /has made 12\d snapshots within a day/);
  await site.days(3);
  assert.deepEqual((await site.listed(agent)).slice(0, ids.length), ids);
});

test("a snapshot of the ledger that no key opens stops nothing once it is put aside, and people are told", async () => {
  const key = `${makeUuidV7(1)}/${makeUuidV7(2)}`;
  const site = await RetainedSite.open({
    doubt: async (known) => ((await known()).has(key) ? undefined : "the ledger tells of more"),
  });
  assert.equal((await site.retention.state()).paused, "the ledger tells of more");
  await noteUnread(site.store, key);
  const { paused, alarms } = await site.retention.state();
  assert.equal(paused, undefined);
  assert.match(alarms.join(), /snapshots \(1\) that no key of this site opens/);
  await forgetUnread(site.store, key);
  assert.deepEqual((await site.retention.state()).alarms, []);
});

test("while the site is in doubt nothing expires, ends or is taken, and afterwards it does", async () => {
  let doubt: string | undefined = "another machine may act as this site";
  const site = await RetainedSite.open({ doubt: async () => doubt });
  const agent = site.enrol();
  await site.retention.decide({}, { daily: 1 });
  await site.days(60, (day) => site.backUp(agent, [`day ${day}`]));
  assert.equal((await site.listed(agent)).length, 60);
  assert.equal((await site.retention.state()).paused, doubt);
  doubt = undefined;
  await site.days(2);
  assert.ok((await site.listed(agent)).length < 40);
});

test("while something is damaged that may come back only what people remove goes", async () => {
  let damage: string | undefined = "a piece is damaged";
  const site = await RetainedSite.open({ damage: async () => damage });
  const agent = site.enrol();
  await site.retention.decide({}, { daily: 1 });
  await site.days(60, (day) => site.backUp(agent, [`day ${day}`]));
  const [first, second] = await site.listed(agent);
  assert.equal((await site.listed(agent)).length, 60);
  assert.equal((await site.retention.state()).paused, damage);
  const before = await site.primesCount();
  await site.retention.remove([first as SnapshotId]);
  await site.days(9);
  assert.equal(await site.snapshots.completed(agent, first as SnapshotId), undefined);
  assert.ok(await site.snapshots.completed(agent, second as SnapshotId));
  assert.ok((await site.primesCount()) < before, "what only that one reached is taken");
  damage = undefined;
  await site.days(2);
  assert.ok((await site.listed(agent)).length < 40);
});

test("while an alarm about a machine stands nothing of it expires, and of others it does", async () => {
  const { site, agent } = await aged(35);
  const other = site.enrol();
  site.alarmed.push(agent);
  const before = await site.listed(agent);
  await site.days(45, (day) => Promise.all([site.backUp(agent, [`a ${day}`]), site.backUp(other, [`b ${day}`])]));
  assert.ok(new Set(before).isSubsetOf(new Set(await site.listed(agent))));
  assert.ok((await site.listed(other)).length < 35);
  site.alarmed.pop();
  await site.days(1);
  assert.ok((await site.listed(agent)).length < 35);
});

test("a tree that cannot be read lets nothing be taken", async () => {
  const store = createMemoryStore();
  const site = await RetainedSite.open({ store });
  const agent = site.enrol();
  await site.retention.decide({}, { daily: 1 });
  await site.days(38, (day) => site.backUp(agent, ["always", `day ${day}`]));
  const [first] = await site.retention.snapshots();
  const root = await site.snapshots.root(agent, (await site.listed(agent)).at(-1) as SnapshotId);
  assert.ok("slice" in root);
  const before = await site.primesCount();
  store.lose(root.slice.id as PrimeId);
  for (let day = 0; day < 12; day++) {
    site.clock.pass(DAY_MS);
    await assert.rejects(site.retention.turn(), code("prime-missing"));
  }
  assert.equal(await site.snapshots.completed(agent, first!.id), undefined, "snapshots end all the same");
  assert.equal(await site.primesCount(), before - 1);
});

test("the ledger is told to forget a snapshot when the lock after its end is over, and only then", async () => {
  const withdrawn: string[] = [];
  const site = await RetainedSite.open({ withdraw: async (keys) => void withdrawn.push(...keys) });
  const agent = site.enrol();
  const first = await site.backUp(agent, ["a"]);
  await site.backUp(agent, ["b"]);
  await site.retention.remove([first]);
  await site.days(8);
  assert.equal(await site.snapshots.completed(agent, first), undefined);
  await site.days(43);
  assert.deepEqual(withdrawn, []);
  await site.days(2);
  assert.deepEqual(withdrawn, [`${agent}/${first}`]);
  await site.days(50);
  assert.equal(withdrawn.length, 1);
});

test("the daily work is done once a day, however often it is asked for and the site restarts", async () => {
  const { site } = await aged(3);
  const changes: string[] = [];
  let walks = 0;
  const { get } = site.store;
  site.store.get = (id) => (walks++, get(id));
  for (let hour = 0; hour < 23; hour++) {
    const again = await RetainedSite.open({ store: site.store, clock: site.clock });
    again.changes.onChange(({ kind }) => changes.push(kind));
    await again.retention.turn();
    site.clock.pass(HOUR_MS);
  }
  assert.ok(walks > 0 && walks < 10, `${walks}`);
});

test.run();
