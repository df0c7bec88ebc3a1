/**
 * Goal: whoever says by a receipt that counts that it has something is asked for it each day, whatever is backed up, forgotten or not taken
 * since; and nobody is asked for what it need not have. Method: an owner's turns in virtual time.
 */
import assert from "node:assert/strict";
import { failsAudit } from "#ledger/audit-sample.ts";
import { safeSnapshotsOf } from "#ledger/copies.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import { AuditQuestions } from "#node/replication/audit-questions.ts";
import { auditProtocol } from "#node/replication/primes-messages.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type PrimeId, parsePrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { suite } from "#test/support/suite.ts";
import type { ReplicatingSite } from "./replicating-site.ts";
import { type OwnerProgram, federationOf, ownerProgram, safety, statesOf, tableOf } from "./site-program.ts";
import { TestClock } from "./test-clock.ts";

const test = suite("audits of receipts");

const HOUR_MS = 3_600_000;

const auditOf = (owner: ReplicatingSite, holder: ReplicatingSite) =>
  owner.ledger.statement(owner.siteId, "audit", `${holder.siteId}/${owner.siteId}`)?.statement;

/** When each holder was asked, in hours. */
function noteAudits(owner: ReplicatingSite): Map<string, number[]> {
  const { peers, clock } = owner;
  const hours = new Map<string, number[]>();
  const open = peers.open.bind(peers);
  peers.open = (peer, protocol, signal) => {
    if (protocol === auditProtocol) hours.set(peer, [...(hours.get(peer) ?? []), clock.elapsedMs() / HOUR_MS]);
    return open(peer, protocol, signal);
  };
  return hours;
}

async function passDays(program: OwnerProgram, count: number, each: (day: number) => Promise<void>): Promise<void> {
  for (let day = 0; day < count; day++) {
    await each(day);
    for (let hour = 0; hour < 24; hour++) {
      program.site.clock.pass(HOUR_MS);
      await program.turn();
      await program.site.federation.spread();
    }
  }
}

test("with a window at night and backups all day, each holder is asked within each 24 hours", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 200);
  await program.turn();
  const hoursOf = noteAudits(owner);
  for (let hour = 0; hour < 12 * 24; hour++) {
    const ofDay = hour % 24;
    program.mayMove = ofDay >= 22 || ofDay < 6;
    if (ofDay >= 8 && ofDay <= 18) await owner.backUp(`hour ${hour}`, 1);
    await program.turn();
    owner.clock.pass(HOUR_MS);
  }
  for (const holder of holders) {
    const hours = [0, ...hoursOf.get(holder.peerKey)!, 12 * 24];
    const pauses = hours.slice(1).map((hour, at) => hour - hours[at]!);
    assert.ok(Math.max(...pauses) <= 24, `a pause of ${Math.max(...pauses)} hours`);
    assert.ok(!failsAudit(auditOf(owner, holder)!));
  }
});

test("a holder that takes its first fill, drops it and takes nothing from then on counts no more within a day", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 100);
  await program.turn();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
  const [liar] = holders;
  await liar!.store.release(owner.siteId, await liar!.keptFor(owner.siteId));
  liar!.offeredBytes = 0;
  // Nothing is known any more of what was in which set, but what is on the disk.
  const again = await ownerProgram(owner);
  await passDays(again, 2, async (day) => void (await owner.backUp(`day ${day}`, 20)));
  assert.ok(again.refusals.refuses(liar!.siteId), "it has room for nothing");
  assert.ok(failsAudit(auditOf(owner, liar!)!));
  assert.ok(!failsAudit(auditOf(owner, holders[1]!)!));
  assert.equal(safeSnapshotsOf(statesOf(again), safety), 0);
});

test("an honest holder that has room for nothing new is asked each day for what it has, and its old copies go on counting", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 100);
  await program.turn();
  holders[0]!.offeredBytes = 0;
  await passDays(program, 10, async (day) => void (await owner.backUp(`day ${day}`, 20)));
  const { askedCount, rightCount } = auditOf(owner, holders[0]!)!;
  assert.ok(askedCount >= 7 * 60, `${askedCount} asked`);
  assert.equal(rightCount, askedCount);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("nobody is asked for what a live set left out that it has a receipt for, though it is live again", async () => {
  const { owner, holders, program } = await federationOf("a", "b");
  const ids = await owner.backUp("first", 100);
  await program.turn();
  const expired = ids.slice(0, 50);
  await owner.expire(expired);
  await owner.backUp("second", 30);
  owner.clock.pass(2 * HOUR_MS);
  await program.turn();
  // As after the lock.
  const [holder] = holders;
  await holder!.store.release(owner.siteId, expired);
  await owner.backUp("first", 100);
  holder!.offeredBytes = 0;
  await passDays(program, 10, async (day) => void (await owner.backUp(`day ${day}`, 20)));
  const { askedCount, rightCount } = auditOf(owner, holder!)!;
  assert.ok(askedCount >= 7 * 60, `${askedCount} asked`);
  assert.equal(rightCount, askedCount);
});

test("a holder is asked for what it had, whichever earlier generation and count it says to have now", async () => {
  const { all, owner, holders, program } = await federationOf("a", "b");
  await owner.backUp("first", 200);
  await program.turn();
  owner.clock.pass(2 * HOUR_MS);
  await owner.backUp("second", 100);
  await program.turn();
  const [liar] = holders;
  const kept = await liar!.kept.slice(owner.siteId, 0);
  await liar!.store.release(
    owner.siteId,
    (await liar!.keptFor(owner.siteId)).filter((id) => !kept.includes(id)),
  );
  // Of slice 0, which it keeps, it says to have more than there is of all others.
  const said = { kind: "receipt", owner: owner.siteId, generation: 1, bytes: 100, hash: "ab".repeat(32) } as const;
  const countOf = (slice: number): number => (slice === 0 ? 2 ** 40 : 0);
  await liar!.say(...allSlices.map((slice) => ({ ...said, slice, count: countOf(slice), snapshots: 2 ** 40 })));
  await all.spread();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 2);
  await program.audit();
  assert.ok(auditOf(owner, liar!)!.wrongCount > 30);
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 0);
});

test("a holder that has failed an audit is drawn again after thirty days, and counts when a new audit has found it right", async () => {
  const { owner, holders, program } = await federationOf("a", "b", "c");
  await owner.backUp("first", 60);
  await program.turn();
  const [mended, other] = holders;
  const { siteId: holder } = mended!;
  const counts = { askedCount: 64, rightCount: 63, wrongCount: 1, silentCount: 0, sinceMs: owner.clock.now() };
  await owner.say({ kind: "audit", holder, owner: owner.siteId, ...counts });
  for (let turn = 0; turn < 2; turn++) await program.turn();
  assert.ok(!tableOf(program).flat().includes(holder));
  other!.role = "none";
  other!.peers.stop();
  owner.clock.pass(29 * 24 * HOUR_MS);
  await program.turn();
  assert.ok(!tableOf(program).flat().includes(holder));
  owner.clock.pass(24 * HOUR_MS);
  await program.turn();
  assert.ok(tableOf(program).every((named) => named.includes(holder)));
  await program.audit();
  assert.equal(safeSnapshotsOf(statesOf(program), safety), 1);
});

test("under suspicion nobody is asked", async () => {
  const { owner, program } = await federationOf("a", "b");
  await owner.backUp("first", 100);
  await program.turn();
  program.suspicion = "led-back";
  assert.ok((await program.audit()).every(({ counts }) => counts === undefined));
});

const idsOf = (count: number): PrimeId[] =>
  Array.from({ length: count }, (_, at) => parsePrimeId(at.toString(16).padStart(64, "0")));

test("a sample has as many primes as are allowed, and one that has more is refused", async () => {
  const [store, clock] = [createMemoryStore(), new TestClock()];
  const questions = new AuditQuestions({ store, clock, rng: new SeededRng("questions") });
  const { owner } = await federationOf("a");
  const ids = idsOf(limits.auditQuestionsCount + 1);
  const sample = (await questions.prepare(owner.siteId, { slice: 0, generation: 3, ids }))!;
  assert.equal(new Set(sample.ids).size, limits.auditQuestionsCount);
  await questions.note(owner.siteId, [sample]);
  assert.deepEqual(await questions.of(owner.siteId, 0), sample.ids);
  const value = encodeCbor({ count: ids.length, drawn: 0, generation: 3, ids: Buffer.from(ids.join(""), "hex") });
  await store.appendFacts([{ kind: "audit-questions", key: `${owner.siteId}/0`, value }]);
  await assert.rejects(questions.of(owner.siteId, 0), (error) => isCostorError(error, "store-damaged"));
});

test("a sample is drawn anew when it is a day old, the set has grown, or much of it is left out", async () => {
  const [store, clock] = [createMemoryStore(), new TestClock()];
  const questions = new AuditQuestions({ store, clock, rng: new SeededRng("questions") });
  const { owner } = await federationOf("a");
  const isDrawn = async (ids: readonly PrimeId[]): Promise<boolean> => {
    const sample = await questions.prepare(owner.siteId, { slice: 0, generation: 1, ids });
    if (sample !== undefined) await questions.note(owner.siteId, [sample]);
    return sample !== undefined;
  };
  assert.ok(await isDrawn(idsOf(100)));
  assert.ok(!(await isDrawn(idsOf(105))));
  assert.ok(await isDrawn(idsOf(120)));
  clock.pass(21 * HOUR_MS);
  assert.ok(await isDrawn(idsOf(120)));
  assert.ok(await isDrawn(idsOf(2000)));
  assert.ok(!(await isDrawn(idsOf(2000).slice(100))));
  assert.ok(await isDrawn(idsOf(2000).slice(1200)));
  await questions.retain(allSlices.map(() => []));
  assert.deepEqual(await questions.of(owner.siteId, 0), []);
});

test.run();
