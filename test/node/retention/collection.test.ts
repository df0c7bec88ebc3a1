/**
 * Goal: nothing that is acknowledged and still wanted is ever taken, whatever comes while it is collected; what is dead goes in the end. Method: agents
 * that remember what they have sent back up at random moments of collections, on a store whose answers come late; then all is read.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { Rng } from "#ledger/rng.ts";
import { LivePrimes } from "#node/retention/live-primes.ts";
import { WalkedMarks } from "#node/retention/walked-marks.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SessionId, SnapshotId } from "#protocol/ids.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { level } from "#test/support/level.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { samplePrimes, wireBatch } from "#test/support/store-samples.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS, RetainedSite } from "./retained-site.ts";

const test = suite("collection");

/** The same store, each of whose calls begins and ends after others have had turns. */
function late(store: PrimeStore, rng: Rng): PrimeStore {
  const wait = async (): Promise<void> => {
    for (let turns = Math.floor(rng.fraction() * 4); turns > 0; turns--) await setImmediate();
  };
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function" || ["kept", "sent", "facts", "lostOf"].includes(String(name))) return value;
      return async (...args: unknown[]) => {
        await wait();
        const result: unknown = await (value as (...args: unknown[]) => unknown).apply(target, args);
        await wait();
        return result;
      };
    },
  });
}

const draw = (rng: Rng, count: number): number => Math.floor(rng.fraction() * count);

async function run(seed: number, open: () => Promise<PrimeStore>): Promise<void> {
  const rng = new SeededRng(seed);
  await using store = await open();
  const site = await RetainedSite.open({ store: late(store, rng) });
  const agents = Array.from({ length: 3 }, () => ({ id: site.enrol(), remembered: new Set<PrimeId>() }));
  const removable: SnapshotId[] = [];
  const backUp = async (agent: (typeof agents)[number]): Promise<void> => {
    for (let waits = draw(rng, 30); waits > 0; waits--) await setImmediate();
    const names = Array.from({ length: 1 + draw(rng, 5) }, () => `${draw(rng, 12)}`);
    removable.push(await site.backUp(agent.id, [...new Set(names)], { remembered: agent.remembered }));
  };
  for (let round = 0; round < 12; round++) {
    const removed = removable.splice(0, draw(rng, removable.length));
    if (removed.length > 0) await site.retention.remove(removed);
    site.clock.pass(8 * DAY_MS);
    await Promise.all([
      site.retention.turn(),
      ...agents.flatMap((agent) => (draw(rng, 3) > 0 ? [backUp(agent).then(() => backUp(agent))] : [])),
    ]);
    await site.verify();
  }
  await site.retention.collect({});
  await site.verify();
  const wanted = new Set([...(await site.retention.snapshots())].flatMap(({ id }) => site.names.get(id)!));
  const roots = (await site.retention.snapshots()).length;
  // A directory and a file for each name, and at most a root for each snapshot.
  assert.ok((await site.primesCount()) <= wanted.size * 2 + roots, "what is dead is gone");
}

test("backups that come while it is collected lose nothing, and what is dead goes", async () => {
  for (let seed = 1; seed <= (level === "full" ? 300 : 25); seed++)
    await run(seed, async () => createMemoryStore()).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
});

test("the same on the store of a site", async () => {
  for (let seed = 1; seed <= (level === "full" ? 30 : 2); seed++)
    await run(seed, async () =>
      SegmentStore.open({
        directory: await scratchDirectory("collection"),
        segmentBytes: 64 * 1024,
        reserveFileBytes: 0,
      }),
    ).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
});

test("what was sent in a session stays while the session may be gone on with, and goes when it is over", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  await site.backUp(agent, ["a"]);
  const before = await site.primesCount();
  const session = await site.sessions.start(agent, { job: "all", snapshotId: makeUuidV7(site.clock.now()) });
  const primes = samplePrimes(7, 5, 100);
  await site.sessions.putBatch(agent, session.id as SessionId, wireBatch(primes));
  await site.days(29);
  assert.equal(await site.primesCount(), before + 5);
  await site.days(3);
  assert.equal(await site.primesCount(), before);
  await site.verify();
});

test("what an interrupted agent believes to be here and is not is found out at its commit, and sent again", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  const remembered = new Set<PrimeId>();
  const old = await site.backUp(agent, ["a", "b"], { remembered });
  await site.backUp(agent, ["a"], { remembered });
  await site.retention.remove([old]);
  await site.days(9);
  await site.backUp(agent, ["a", "b"], { remembered });
  await site.verify();
});

test("doubt that comes while it is collected ends it", async () => {
  let doubt: string | undefined;
  const site = await RetainedSite.open({ doubt: async () => doubt });
  const agent = site.enrol();
  const old = await site.backUp(agent, ["old"]);
  await site.backUp(agent, ["new"]);
  await site.retention.remove([old]);
  site.clock.pass(8 * DAY_MS);
  const before = await site.primesCount();
  const { get } = site.store;
  site.store.get = (id) => ((doubt = "a fork"), get(id));
  await assert.rejects(site.retention.turn(), (error) => isCostorError(error, "deletion-paused"));
  assert.equal(await site.primesCount(), before);
});

test("a session that was opened while the clock was years ahead ends once the clock is right", async () => {
  const site = await RetainedSite.open();
  const agent = site.enrol();
  const nowMs = site.clock.now();
  site.clock.jumpTo(nowMs + 20 * 365 * DAY_MS);
  const session = await site.sessions.start(agent, { job: "all", snapshotId: makeUuidV7(site.clock.now()) });
  await site.sessions.putBatch(agent, session.id as SessionId, wireBatch(samplePrimes(7, 5, 100)));
  site.clock.jumpTo(nowMs);
  await site.retention.confirmClock();
  await site.days(40);
  assert.equal(await site.primesCount(), 0);
  assert.throws(() => site.sessions.require(agent, session.id as SessionId), /is open/);
});

test("an agent's tree that is too large to be walked keeps all that the agent has sent, and nothing of others", async () => {
  const site = await RetainedSite.open();
  const [large, other] = [site.enrol(), site.enrol()];
  const names = Array.from({ length: 40 }, (_, at) => `${at}`);
  const gone = [await site.backUp(large, [...names, "gone"]), await site.backUp(other, ["a", "b", "0"])];
  await site.backUp(large, names);
  await site.backUp(other, ["a", "0"]);
  await site.retention.remove(gone);
  const before = await site.primesCount();
  const most = limits as { commitSlicesCount: number };
  const usualCount = most.commitSlicesCount;
  try {
    most.commitSlicesCount = names.length / 2;
    await site.days(9);
  } finally {
    most.commitSlicesCount = usualCount;
  }
  await site.verify();
  assert.equal(before - (await site.primesCount()), 3, "a root, a directory and a file of the other agent");
});

test("the filter has all that was added, and few others", () => {
  const random = new SeededRng(3).bytes(24);
  const ids = (seed: number) => Array.from({ length: 20_000 }, () => rngOf(seed).bytes(32).toString("hex") as PrimeId);
  const chance = new Map<number, Rng>();
  const rngOf = (seed: number): Rng => {
    const known = chance.get(seed) ?? new SeededRng(`ids ${seed}`);
    chance.set(seed, known);
    return known;
  };
  const live = new LivePrimes({ primesCount: 20_000, random });
  const added = ids(1);
  for (const id of added) live.add(id);
  assert.ok(added.every((id) => live.mayHave(id)));
  const others = ids(2).filter((id) => live.mayHave(id)).length;
  assert.ok(others < 20, `${others} of 20,000 others`);
});

test("marks that were walked are a set, however many", () => {
  const rng = new SeededRng(4);
  const marks = Array.from({ length: 20_000 }, () => rng.bytes(20).toString("base64url"));
  const walked = new WalkedMarks();
  for (const mark of marks.slice(0, 10_000)) walked.add(mark);
  for (const mark of marks.slice(0, 10)) walked.add(mark);
  assert.deepEqual(
    marks.map((mark) => walked.has(mark)),
    marks.map((_, at) => at < 10_000),
  );
});

test.run();
