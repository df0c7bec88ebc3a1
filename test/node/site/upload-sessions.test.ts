/** Upload sessions: idempotent, bounded, and nothing completed that is not whole. */
import assert from "node:assert/strict";
import { ReceivedClock } from "#node/site/received-clock.ts";
import { type RootSealer, SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import { UploadSessions } from "#node/site/upload-sessions.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { CommitRequest } from "#protocol/http.ts";
import { type AgentId, type SessionId, type SnapshotId, makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { type MemoryStore, createMemoryStore } from "#test/support/memory-store.ts";
import { sampleSite } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("upload sessions");
const agent = makeUuidV7(1) as AgentId;
const other = makeUuidV7(2) as AgentId;
const newSnapshot = () => makeUuidV7(Date.now()) as SnapshotId;
const sealer: RootSealer = { seal: async (plain) => plain, open: async (sealed) => sealed };
const isUnknown = (error: unknown) => isCostorError(error, "session-unknown");

async function make(store: MemoryStore = createMemoryStore(), clockMs = { now: 1_000_000 }) {
  const now = () => clockMs.now;
  const snapshots = new SnapshotRegistry({ store, sealer });
  const clock = await ReceivedClock.open(store, now);
  return {
    store,
    snapshots,
    clockMs,
    sessions: await UploadSessions.open({
      store,
      snapshots,
      clock,
      keep: (ids) => store.keep(sampleSite(1), ids),
      now,
    }),
  };
}

function commitOf(snapshotId: SnapshotId, maker: TreeMaker, names = ["a", "b"]): CommitRequest {
  const root = nodePointerToWire(maker.node(names.map((name) => maker.file(name))));
  return {
    snapshotId,
    job: "home",
    roots: [Buffer.from("/home").toString("base64")],
    startedMs: 5,
    objectsCount: 2,
    filesCount: 2,
    bytes: 200,
    unreadableCount: 0,
    root,
  };
}

test("opening again gives the same session, over a restart too", async () => {
  const { sessions, store } = await make();
  const request = { job: "home", snapshotId: newSnapshot() };
  const [first, second] = await Promise.all([sessions.start(agent, request), sessions.start(agent, request)]);
  assert.deepEqual(first, second);
  const restarted = await make(store);
  assert.deepEqual(await restarted.sessions.start(agent, request), first);
});

test("a session is its agent's alone, and unknown alike to others", async () => {
  const { sessions } = await make();
  const { id } = await sessions.start(agent, { job: "home", snapshotId: newSnapshot() });
  await assert.rejects(sessions.missing(other, id as SessionId, []), isUnknown);
  await assert.rejects(sessions.putBatch(other, id as SessionId, Buffer.alloc(0)), isUnknown);
  await assert.rejects(sessions.missing(agent, makeUuidV7(3) as SessionId, []), isUnknown);
});

test("the oldest session makes room, and an expired one is unknown", async () => {
  const { sessions, clockMs } = await make();
  const ids: SessionId[] = [];
  for (let i = 0; i <= limits.sessionsPerAgentCount; i++)
    ids.push((await sessions.start(agent, { job: "home", snapshotId: newSnapshot() })).id as SessionId);
  await assert.rejects(sessions.missing(agent, ids[0]!, []), isUnknown);
  assert.deepEqual(await sessions.missing(agent, ids[1]!, []), []);
  clockMs.now += limits.sessionLifeMs + 1;
  await assert.rejects(sessions.missing(agent, ids[1]!, []), isUnknown);
});

test("a commit is refused until the last prime is there, then answers the same for ever", async () => {
  const { sessions, snapshots, store, clockMs } = await make();
  const maker = new TreeMaker();
  const snapshot = newSnapshot();
  const commit = commitOf(snapshot, maker);
  const id = (await sessions.start(agent, { job: "home", snapshotId: snapshot })).id as SessionId;
  await store.put(agent, maker.primes.slice(1));
  await assert.rejects(sessions.commit(agent, id, commit), (error) => isCostorError(error, "commit-incomplete"));
  assert.deepEqual(await snapshots.list(agent), []);
  await store.put(agent, maker.primes);
  const answers = await Promise.all([sessions.commit(agent, id, commit), sessions.commit(agent, id, commit)]);
  clockMs.now += 1000;
  answers.push(await sessions.commit(agent, id, commit));
  const restarted = await make(store, clockMs);
  answers.push(await restarted.sessions.commit(agent, id, commit));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assert.equal(store.appended.filter((fact) => fact.kind === "snapshot").length, 1);
  assert.equal(restarted.sessions.openCount, 0);

  const again = await restarted.sessions.start(agent, { job: "home", snapshotId: snapshot });
  assert.equal(again.id, id, "an agent that lost the answer finds its session again");
  const changed = { ...commit, bytes: 201 };
  await assert.rejects(restarted.sessions.commit(agent, id, changed), (error) =>
    isCostorError(error, "snapshot-exists"),
  );
});

test("an agent has one commit under way; another one is asked to come again, and other agents are not", async () => {
  const { sessions, store } = await make();
  const maker = new TreeMaker();
  const opened = async (sender: AgentId) => {
    const commit = commitOf(newSnapshot(), maker);
    await store.put(sender, maker.primes);
    const { id } = await sessions.start(sender, { job: "home", snapshotId: commit.snapshotId });
    return () => sessions.commit(sender, id as SessionId, commit);
  };
  const [first, second, others] = [await opened(agent), await opened(agent), await opened(other)];
  const underWay = [first(), first(), others()];
  await assert.rejects(second(), (error) => isCostorError(error, "too-many-requests") && error.retryable);
  await Promise.all(underWay);
  await second();
});

test("a commit for another snapshot than the session's is refused", async () => {
  const { sessions, store } = await make();
  const maker = new TreeMaker();
  const id = (await sessions.start(agent, { job: "home", snapshotId: newSnapshot() })).id as SessionId;
  const commit = commitOf(newSnapshot(), maker);
  await store.put(agent, maker.primes);
  await assert.rejects(sessions.commit(agent, id, commit), (error) => isCostorError(error, "bad-request"));
});

test("received times grow, through clock jumps and restarts", async () => {
  const clockMs = { now: 5_000_000 };
  const store = createMemoryStore();
  const times: number[] = [];
  for (const nowMs of [5_000_000, 1_000, 5_000_000, 9_000_000, 2_000]) {
    clockMs.now = nowMs;
    const { sessions } = await make(store, clockMs);
    const maker = new TreeMaker();
    const snapshot = newSnapshot();
    const commit = commitOf(snapshot, maker);
    await store.put(agent, maker.primes);
    const id = (await sessions.start(agent, { job: "home", snapshotId: snapshot })).id as SessionId;
    times.push((await sessions.commit(agent, id, commit)).receivedMs);
  }
  assert.deepEqual(times, [5_000_000, 5_000_001, 5_000_002, 9_000_000, 9_000_001]);
  const { snapshots } = await make(store, clockMs);
  assert.deepEqual(
    (await snapshots.list(agent)).map((snapshot) => snapshot.receivedMs),
    times,
  );
});

test("a snapshot shows its agent all it said, and others nothing", async () => {
  const { sessions, snapshots, store } = await make();
  const maker = new TreeMaker();
  const snapshot = newSnapshot();
  const commit = commitOf(snapshot, maker);
  await store.put(agent, maker.primes);
  const id = (await sessions.start(agent, { job: "home", snapshotId: snapshot })).id as SessionId;
  await sessions.commit(agent, id, commit);
  const { snapshotId: _, ...facts } = commit;
  const { receivedMs, ...shown } = await snapshots.get(agent, snapshot);
  assert.deepEqual(shown, { id: snapshot, ...facts });
  assert.equal(typeof receivedMs, "number");
  await assert.rejects(snapshots.get(other, snapshot), (error) => isCostorError(error, "snapshot-unknown"));
  assert.deepEqual(await snapshots.list(other), []);
});

test.run();
