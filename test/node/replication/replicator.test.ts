/**
 * Goal: an owner gets all it has to two holders in different places and keeps it there, whoever fills up, fails, lies, falls silent or goes;
 * and does nothing while it is under suspicion. Method: whole sites whose turns are taken by hand, in virtual time.
 */
import assert from "node:assert/strict";
import { safeSnapshotsOf, snapshotStatusOf } from "#ledger/copies.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { ReplicatorEvent } from "#node/replication/replicator.ts";
import { isCostorError } from "#protocol/errors.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";
import { DAY_MS } from "./test-clock.ts";
import { federationOf, ownerProgram, safety, statesOf, tableOf } from "./site-program.ts";

const test = suite("replicator");

test("after one turn all slices have two copies elsewhere, and the snapshot is safe", async () => {
  const { owner, holders, program } = await federationOf("a", "b", "c");
  const ids = await owner.backUp("first", 150);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 0);
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  const status = snapshotStatusOf(1, statesOf(program), tableOf(program), safety);
  assert.deepEqual(status, { state: "safe", copiesCount: 2, behind: [] });
  const counts = new Map<string, number>();
  for (const holder of holders)
    for (const id of await holder.keptFor(owner.siteId)) counts.set(id, (counts.get(id) ?? 0) + 1);
  assert.deepEqual([...counts.keys()].toSorted(), ids);
  assert.ok([...counts.values()].every((count) => count === 2));
});

test("much goes to one holder by two runs at once, which are told as one; little by one", async () => {
  for (const [primeBytes, entriesCount] of [
    [100, 1],
    [2 ** 20, 2],
  ] as const) {
    const { owner, holders, program } = await federationOf("a");
    owner.primeBytes = primeBytes;
    await owner.backUp("first", 150);
    await program.turn();
    const ended = program.events.flatMap((event) => (event.event === "run-ended" ? [event.reports] : []));
    assert.equal(ended.length, 1);
    assert.deepEqual(
      ended[0]!.map(({ slice }) => slice).toSorted((one, other) => one - other),
      allSlices,
    );
    assert.ok(ended[0]!.every(({ end }) => end === "received"));
    const places = owner.ledger.statements(holders[0]!.siteId, "receipt").map(({ seq }) => seq);
    assert.equal(places.length, allSlices.length);
    assert.equal(new Set(places).size, entriesCount);
    const kept = program.events.flatMap((event) => (event.event === "run-progress" ? [event.progress.keptCount] : []));
    assert.equal(Math.max(...kept), 150);
  }
});

test("a turn without anything new says and sends nothing", async () => {
  const { owner, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 50);
  await program.turn();
  const digest = owner.ledger.digest();
  program.events.length = 0;
  await program.turn();
  assert.equal(owner.ledger.digest(), digest);
  assert.deepEqual(program.events, []);
});

test("a process that starts anew compares, and says nothing new", async () => {
  const { owner, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 50);
  await program.turn();
  const digest = owner.ledger.digest();
  const again = await ownerProgram(owner);
  await again.turn();
  assert.equal(owner.ledger.digest(), digest);
  assert.ok(again.events.every(({ event }) => event === "run-ended"));
});

test("a further backup takes a new generation of what has changed, and is safe after the next turn", async () => {
  const { owner, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 50);
  await program.turn();
  await owner.backUp("second", 3);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1, "the second is not signed yet");
  owner.clock.pass(DAY_MS);
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 2);
});

test("a generation that is signed again, of the same primes after one more snapshot, gets new receipts", async () => {
  const { owner, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 50);
  await program.turn();
  // As by a machine whose disk came back without the live sets that its holders have seen.
  const signed = owner.ledger.statements(owner.siteId, "live-set").map(({ statement }) => statement);
  owner.snapshotsCount++;
  await owner.say(...signed.map((liveSet) => ({ ...liveSet, snapshots: owner.snapshotsCount })));
  const again = await ownerProgram(owner);
  await again.turn();
  assert.equal(safeSnapshotsOf(statesOf(again), safety), 2);
  const hasSent = again.events.some((event) => event.event === "run-progress" && event.progress.keptCount > 0);
  assert.equal(hasSent, false, "no prime is sent twice");
});

test("under suspicion nothing is signed, placed or sent", async () => {
  const { owner, program } = await federationOf("a", "b");
  await owner.backUp("first", 50);
  program.suspicion = "a newer log";
  const digest = owner.ledger.digest();
  await program.turn();
  assert.equal(owner.ledger.digest(), digest);
  program.suspicion = undefined;
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("what is sent to all holders together takes as long as the rate says, and comes at once without one", async () => {
  const { owner, program } = await federationOf("a", "b");
  owner.primeBytes = 1000;
  await owner.backUp("first", 300, 1000);
  program.bytesPerSecond = 10_000;
  const keptBytes = new Map<string, number>();
  program.onEvent = (event) => {
    if (event.event === "run-progress") keptBytes.set(event.holder, event.progress.keptBytes);
  };
  const beganMs = owner.clock.elapsedMs();
  await program.turn();
  const sentBytes = [...keptBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(sentBytes >= 2 * 300 * 1000, `${sentBytes} bytes are sent`);
  const tookMs = owner.clock.elapsedMs() - beganMs;
  const dueMs = (sentBytes / 10_000) * 1000;
  // A second's worth may go ahead, and the last batches are not waited for.
  assert.ok(tookMs <= dueMs && tookMs >= dueMs * 0.9, `${tookMs} ms instead of ${dueMs}`);
  program.bytesPerSecond = undefined;
  await owner.backUp("second", 300, 1000);
  owner.clock.pass(2 * 3_600_000);
  const againMs = owner.clock.elapsedMs();
  await program.turn();
  assert.equal(owner.clock.elapsedMs(), againMs);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 2);
});

test("before a run it hears what the holder knows, and signs nothing when that tells against it", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 50);
  const asked: string[] = [];
  program.catchUp = async (holder) => {
    assert.deepEqual(owner.ledger.statements(owner.siteId, "live-set"), []);
    asked.push(holder);
    program.suspicion = "a newer log";
  };
  await program.turn();
  assert.equal(new Set(asked).size, 2);
  assert.deepEqual(owner.ledger.statements(owner.siteId, "live-set"), []);
  for (const holder of holders) assert.deepEqual(await holder.keptFor(owner.siteId), []);
  program.suspicion = undefined;
  program.catchUp = async () => undefined;
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("outside its window it places and sends nothing", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 50);
  program.mayMove = false;
  await program.turn();
  for (const holder of holders) assert.deepEqual(await holder.keptFor(owner.siteId), []);
  program.mayMove = true;
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("a holder that is full is replaced by one that is not", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  const [full] = holders;
  await owner.backUp("first", 150);
  // It says to have room and has none.
  full!.offeredBytes = 0;
  await program.turn();
  await all.spread();
  assert.ok(program.refusals.refuses(full!.siteId));
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  assert.deepEqual(await full!.keptFor(owner.siteId), []);
  assert.ok(tableOf(program).every((named) => !named.includes(full!.siteId)));
});

test("a holder that is not reached is left alone for a while, and the others are served", async () => {
  const { owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 50);
  holders[0]!.peers.stop();
  await program.turn();
  const failures = () => program.events.filter(({ event }) => event === "run-failed").length;
  assert.equal(failures(), 1);
  await program.turn();
  assert.equal(failures(), 1, "it waits");
  owner.clock.pass(3_600_000);
  await program.turn();
  assert.equal(failures(), 2);
  const kept = await Promise.all(holders.slice(1).map((holder) => holder.keptFor(owner.siteId)));
  assert.ok(kept.every((ids) => ids.length > 0));
});

test("a holder that is silent for days is replaced, and its copies go on counting until then", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 100);
  await program.turn();
  const [silent] = holders;
  program.silentMs.set(silent!.siteId, 5 * DAY_MS);
  silent!.peers.stop();
  await program.turn();
  await all.spread();
  await program.turn();
  const table = tableOf(program);
  assert.ok(table.every((named) => named.length === 2 && !named.includes(silent!.siteId)));
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("a holder that lies about what it has is found by an audit and replaced", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 100);
  await program.turn();
  const [liar] = holders;
  const slice = allSlices.find((number) => tableOf(program)[number]!.includes(liar!.siteId))!;
  for (const id of await liar!.kept.slice(owner.siteId, slice)) await liar!.store.release(owner.siteId, [id]);
  for (let night = 0; night < 8; night++) {
    owner.clock.pass(DAY_MS);
    await program.turn();
    await all.spread();
  }
  assert.ok(tableOf(program).every((named) => named.length === 2 && !named.includes(liar!.siteId)));
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("each holder is audited about once a night, on all that is covered", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 200);
  await program.turn();
  // Good news of them is told once a week.
  for (let hour = 0; hour < 24 * 15; hour++) {
    owner.clock.pass(3_600_000);
    await program.turn();
  }
  for (const holder of holders) {
    const audit = owner.ledger.statement(owner.siteId, "audit", `${holder.siteId}/${owner.siteId}`)!.statement;
    assert.equal(audit.rightCount, audit.askedCount);
    assert.ok(audit.askedCount >= 8 * 64 && audit.askedCount <= 16 * 64, `${audit.askedCount} asked`);
  }
});

test("what was backed up since the last live set is not asked for by an audit", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 50);
  await program.turn();
  for (let minute = 0; minute < 240; minute += 5) {
    await owner.backUp(`minute ${minute}`, 5);
    owner.clock.pass(5 * 60_000);
    await program.turn();
  }
  for (const holder of holders) {
    const audit = owner.ledger.statement(owner.siteId, "audit", `${holder.siteId}/${owner.siteId}`)?.statement;
    assert.equal(audit?.wrongCount ?? 0, 0);
  }
});

test("an expelled holder is replaced at the next turn", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 100);
  await program.turn();
  holders[0]!.role = "none";
  await program.turn();
  await all.spread();
  assert.ok(tableOf(program).every((named) => named.length === 2 && !named.includes(holders[0]!.siteId)));
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("of two members the one holds for the other, and more are wanted", async () => {
  const { owner, holders, program } = await federationOf("a");
  const ids = await owner.backUp("first", 40);
  await program.turn();
  assert.deepEqual(await holders[0]!.keptFor(owner.siteId), ids);
  assert.equal(snapshotStatusOf(1, statesOf(program), tableOf(program), safety).state, "stored");
});

test("a guest holds one of the copies and never both", async () => {
  const { owner, holders, program } = await federationOf("a", "g", "h");
  for (const guest of holders.slice(1)) guest.role = "guest";
  await owner.backUp("first", 60);
  await program.turn();
  const guests = holders.slice(1).map(({ siteId }) => siteId);
  assert.ok(tableOf(program).every((named) => named.filter((site) => guests.includes(site)).length === 1));
});

test("an end in the middle of a turn ends it, and is no failure", async () => {
  const { owner, program } = await federationOf("a", "b");
  await owner.backUp("first", 60);
  const end = new AbortController();
  program.onEvent = ({ event }: ReplicatorEvent) => {
    if (event === "run-progress") end.abort(new Error("stop"));
  };
  await assert.rejects(program.turn(end.signal), /stop/);
  assert.ok(program.events.every(({ event }) => event !== "run-failed"));
});

test("a ledger that takes nothing ends the turn with its code", async () => {
  const { owner, program } = await federationOf("a", "b");
  await owner.backUp("first", 10);
  owner.hasWriteFailure = true;
  await assert.rejects(program.turn(), (error) => isCostorError(error, "ledger-refused"));
});

test("a machine of a new epoch signs in its own log what the former one has signed, and its holders take it", async () => {
  const { all, owner, program } = await federationOf("one", "two", "three");
  await owner.backUp("first", 40);
  await program.turn();
  await all.spread();
  owner.author = new LedgerAuthor(owner.name, 2);
  await owner.ledger.offer({ certificates: [owner.author.log.bytes] });
  owner.moveTo(all.network);
  await all.spread();
  const next = await ownerProgram(owner);
  await next.turn();
  assert.deepEqual(
    next.events.filter(({ event }) => event === "run-failed"),
    [],
  );
  for (const { liveSet, holders } of statesOf(next)) {
    assert.equal(liveSet!.generation, 2);
    assert.equal(holders.filter(({ receipt }) => receipt?.generation === 2).length, 2);
  }
});

test("a holder that may not write, and is told of what was left out, is known to hold no more", async () => {
  const { all, owner, holders, program } = await federationOf("one", "two", "three");
  const ids = await owner.backUp("first", 60);
  await program.turn();
  await all.spread();
  await owner.expire(ids.slice(0, 30));
  owner.clock.pass(2 * 3_600_000);
  const [holder] = holders;
  holder!.hasWriteFailure = true;
  await program.turn();
  const failed = program.events.find((event) => event.event === "run-failed" && event.holder === holder!.siteId);
  assert.ok(failed?.event === "run-failed" && isCostorError(failed.error, "ledger-refused"));
  assert.ok(program.refusals.refuses(holder!.siteId));
});

test.run();
