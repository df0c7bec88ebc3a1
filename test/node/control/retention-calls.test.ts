/**
 * Goal: people name snapshots by as much of their ids as they like, and never mean another one by it. Method: the calls as commands give them,
 * on a site whose agents back up on a clock that the test moves.
 */
import assert from "node:assert/strict";
import { type CallArguments, type CallContext, callSite } from "#node/control/calls.ts";
import { isCostorError } from "#protocol/errors.ts";
import { HOUR_MS, RetainedSite } from "#test/node/retention/retained-site.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("retention calls");

/** Two within a minute, whose ids begin alike, and one of an hour later. */
async function setUp() {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  const ids = [await site.backUp(agent, ["a"])];
  site.clock.pass(1);
  ids.push(await site.backUp(agent, ["b"]));
  site.clock.pass(HOUR_MS);
  ids.push(await site.backUp(agent, ["c"]));
  const context = { site: { agents: { list: () => site.agents } }, retention: async () => site.retention };
  const call = <Name extends "snapshotMark" | "snapshotRemove" | "snapshotRestore">(
    name: Name,
    args: CallArguments<Name>,
  ) => callSite(name, args, context as unknown as CallContext);
  const pinned = async () => (await site.retention.snapshots()).filter(({ isPinned }) => isPinned).map(({ id }) => id);
  return { site, agent, ids, call, pinned };
}

test("a snapshot is named by the beginning of its id, and what was done is told by whole ids", async () => {
  const { site, agent, ids, call, pinned } = await setUp();
  const last = ids[2]!;
  const texts = [ids[0]!, last.slice(0, 8).toUpperCase()];
  assert.deepEqual(await call("snapshotMark", { snapshots: texts, isPinned: true }), { changed: [ids[0], last] });
  assert.deepEqual(await pinned(), [ids[0], last]);
  await call("snapshotMark", { snapshots: texts, isPinned: false });
  assert.deepEqual(await call("snapshotRemove", { snapshots: [last.slice(0, 13)] }), { removed: [last] });
  assert.deepEqual(await site.listed(agent), ids.slice(0, 2));
  assert.deepEqual(await call("snapshotRestore", { snapshots: [last.slice(0, 13)] }), { restored: [last] });
  assert.deepEqual(await site.listed(agent), ids);
});

test("a beginning of several, of none, or of seven characters changes nothing, not even what is named beside it", async () => {
  const { ids, call, pinned } = await setUp();
  for (const [wrong, code, message] of [
    [ids[0]!.slice(0, 8), "bad-id", /^2 snapshots' ids start with .*: give more of it$/],
    ["ffffffff", "snapshot-unknown", /no snapshot's id starts with/],
    [".*......", "snapshot-unknown", /no snapshot's id starts with/],
    [ids[2]!.slice(0, 7), "bad-usage", /give 8 characters of a snapshot's id, or more$/],
  ] as const)
    await assert.rejects(
      call("snapshotMark", { snapshots: [ids[2]!, wrong], isPinned: true }),
      (error) => isCostorError(error, code) && message.test(error.message),
      wrong,
    );
  assert.deepEqual(await pinned(), []);
});

test.run();
