/**
 * Goal: a site never writes one seq twice as long as anybody knows the first, and two machines that are one site both stop.
 * Method: replicas whose stores are wiped, rolled back and cloned, each before and after others were asked.
 */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import type { Stated } from "#ledger/site-state.ts";
import type { StatementKind } from "#ledger/statements.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { Replica, exchange, pull } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("own log");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);
const say = (slice: number) => ({ kind: "placement", slice, holders: [] }) as const;

/** A founder, and a guest that has said three things that the founder knows. */
async function two(): Promise<[founder: Replica, site: Replica]> {
  const [founder, site] = [await Replica.found("founder"), await Replica.open("site")];
  await founder.letIn(site);
  await pull(site, founder);
  for (const slice of [1, 2, 3]) await site.own.write(say(slice));
  await pull(founder, site);
  return [founder, site];
}

const copyOf = ({ values }: MemoryLedgerStore): MemoryLedgerStore => {
  const copy = new MemoryLedgerStore();
  for (const [key, value] of values) copy.values.set(key, Buffer.from(value));
  return copy;
};
const seqOf = (bytes: Uint8Array): number => parseEntry(bytes).seq;

test("a site that is alone writes at once; one that is not asks somebody first, at each start", async () => {
  const alone = await Replica.open("alone");
  assert.ok(alone.own.isReady);
  await alone.own.write(say(1));
  const founder = await Replica.found("founder");
  assert.equal(seqOf(await founder.own.write(say(1))), 0);
  const [, site] = await two();
  const again = await site.reopened();
  assert.ok(!again.own.isReady);
  await assert.rejects(again.own.write(say(4)), hasCode("ledger-waiting"));
  again.own.askedPeers(0);
  await assert.rejects(again.own.write(say(4)), hasCode("ledger-waiting"));
  again.own.askedPeers(1);
  assert.equal(seqOf(await again.own.write(say(4))), 3);
});

test("one that was alone when it wrote goes on when others come", async () => {
  const founder = await Replica.found("founder");
  await founder.letIn(await Replica.open("guest"));
  assert.equal(seqOf(await founder.own.write(say(1))), 1);
});

test("a ledger that was wiped is led back, and goes on behind what it had said", async () => {
  const [founder, site] = await two();
  const wiped = await Replica.open(site.author);
  await wiped.membership.enter(await Array.fromAsync(founder.membership.rosters()), founder.membership.federationId!);
  await assert.rejects(wiped.own.write(say(4)), hasCode("ledger-waiting"));
  await exchange(wiped, founder);
  assert.equal(wiped.own.suspicion, undefined);
  assert.equal(seqOf(await wiped.own.write(say(4))), 3);
  await exchange(wiped, founder);
  assert.equal(wiped.ledger.digest(), founder.ledger.digest());
  assert.equal(founder.ledger.forkOf(site.siteId), undefined);
});

test("a ledger that was rolled back is led back", async () => {
  const [founder, site] = await two();
  const old = copyOf(site.store);
  await site.own.write(say(4));
  await site.own.write(say(5));
  await exchange(founder, site);
  const rolledBack = await Replica.open(site.author, old);
  await pull(rolledBack, founder);
  assert.equal(seqOf(await rolledBack.own.write(say(6))), 5);
  assert.equal(rolledBack.own.suspicion, undefined);
});

test("of a machine and its clone the first that sees the other's entry stops, also after a restart", async () => {
  const [founder, site] = await two();
  await site.own.write(say(4));
  await pull(founder, site);
  const clone = await Replica.open(site.author, copyOf(site.store));
  await pull(clone, founder);
  await clone.own.write(say(5));
  await pull(founder, clone);
  await pull(site, founder);
  assert.equal(site.own.suspicion, "foreign-entry");
  await assert.rejects(site.own.write(say(6)), hasCode("ledger-refused"));
  const again = await site.reopened();
  again.own.askedPeers(1);
  assert.equal(again.own.suspicion, "foreign-entry");
  await assert.rejects(again.own.write(say(6)), hasCode("ledger-refused"));
  assert.equal(clone.own.suspicion, undefined);
});

test("a machine and its clone that write the same seq both stop", async () => {
  const [founder, site] = await two();
  const clone = await Replica.open(site.author, copyOf(site.store));
  clone.own.askedPeers(1);
  await clone.own.write(say(5));
  await site.own.write(say(4));
  await exchange(founder, site);
  await exchange(founder, clone);
  await exchange(founder, site);
  for (const replica of [site, clone]) {
    assert.equal(replica.own.suspicion, "fork");
    await assert.rejects(replica.own.write(say(6)), hasCode("ledger-refused"));
  }
  assert.ok(founder.ledger.forkOf(site.siteId));
});

test("the former machine of a site that was recovered writes no more, and the fork ends with its log", async () => {
  const [founder, site] = await two();
  await founder.ledger.offer({ entries: [1, 2].map((timeMs) => site.author.entry({ seq: 20, timeMs })) });
  assert.ok(founder.ledger.forkOf(site.siteId));
  const recovered = new LedgerAuthor("site", 2, "new machine");
  for (const { ledger } of [founder, site]) await ledger.offer({ certificates: [recovered.log.bytes] });
  assert.equal(site.own.suspicion, "newer-log");
  await assert.rejects(site.own.write(say(4)), hasCode("ledger-refused"));
  assert.equal(founder.ledger.forkOf(site.siteId), undefined);
  assert.equal(founder.ledger.currentLog(site.siteId)?.log.id, recovered.log.id);
});

test("what newer entries have made idle is withdrawn when it is much, and each log has one retire in force", async () => {
  const [founder, site] = await two();
  const { own, ledger, siteId } = site;
  for (let count = 1; count < limits.supersededEntriesCount; count++) await own.write(say(1));
  assert.equal(ledger.superseded(siteId).length, limits.supersededEntriesCount - 1);
  assert.deepEqual(await own.withdrawIdle(), []);
  await own.write(say(1));
  assert.equal((await own.withdrawIdle()).length, 1);
  assert.deepEqual(ledger.superseded(siteId), []);
  await own.write(say(2));
  const also = [ledger.statement(siteId, "placement", "3")!];
  assert.equal((await own.withdrawIdle({ also, leastCount: 1 })).length, 1);
  const inForce = ledger.currentLog(siteId)!.seqs();
  assert.equal(inForce.length, 3, "two placements and the retire");
  await exchange(site, founder);
  const fresh = await Replica.open("fresh");
  await founder.letIn(fresh);
  await pull(fresh, founder);
  assert.deepEqual(fresh.ledger.currentLog(siteId)!.seqs(), inForce);
  assert.equal(fresh.ledger.digest(), founder.ledger.digest(), "the entries in force tell all that was withdrawn");
});

test("a retire of too many ranges is made shorter: what is in force between them is said again", async () => {
  const { own, ledger, siteId } = await Replica.found("founder");
  const idle: Stated<StatementKind>[] = [];
  const lossOf = (owner: number) =>
    ({ kind: "loss", owner: parseSiteId(owner.toString(16).padStart(64, "0")), slice: 0, count: owner }) as const;
  for (let owner = 0; owner <= limits.retireRangesCount; owner++) {
    await own.write(lossOf(owner));
    const { seq, logId } = parseEntry(await own.write(say(1)));
    const held = ledger.log(logId)!.held(seq)!;
    idle.push({ ...held, statement: held.statements[0]! });
  }
  await own.withdrawIdle({ also: idle.slice(-1), leastCount: 1 });
  const state = ledger.currentLog(siteId)!;
  assert.ok(state.withdrawn.ranges.length <= limits.retireRangesCount / 2);
  assert.deepEqual(ledger.superseded(siteId), []);
  const said = ledger.statements(siteId, "loss").map(({ statement }) => statement.count);
  assert.equal(said.length, limits.retireRangesCount + 1, "nothing was lost");
  assert.equal(new Set(said).size, said.length);
  assert.equal(ledger.statement(siteId, "loss", `${lossOf(0).owner}/0`)?.statement.count, 0);
});

test("what is said again so is in force still: what a newer entry has made idle in it stays so", async () => {
  const { own, ledger, siteId } = await Replica.found("founder");
  const site = (number: number) => parseSiteId(number.toString(16).padStart(64, "0"));
  const place = (slices: readonly number[], holder: number) =>
    own.writeAll(slices.map((slice) => ({ kind: "placement", slice, holders: [site(holder)] })));
  await place([0, 1, 2], 1);
  for (let owner = 0; owner <= limits.retireRangesCount; owner++) {
    await own.write({ kind: "loss", owner: site(owner), slice: 0, count: 1 });
    await own.write(say(1));
  }
  // Slice 2 is where it was, so the first entry is not idle as a whole.
  await place([0, 1], 2);
  await own.withdrawIdle({ leastCount: 1 });
  const { logId, seq } = ledger.statement(siteId, "placement", "2")!;
  assert.ok(seq > 2 * limits.retireRangesCount && ledger.log(logId)!.isWithdrawn(0), "the first entry is one of those");
  const holders = [0, 1, 2].map((slice) => ledger.statement(siteId, "placement", `${slice}`)!.statement.holders);
  assert.deepEqual(holders, [[site(2)], [site(2)], [site(1)]]);
});

test("what is taken back is not said again by an older entry that says something else too", async () => {
  const { own, ledger, siteId } = await Replica.found("founder");
  const owner = parseSiteId("7".repeat(64));
  const receipts = (slices: readonly number[], generation: number) => {
    const said = {
      kind: "receipt",
      owner,
      generation,
      count: 1,
      bytes: 1,
      hash: "ab".repeat(32),
      snapshots: 1,
    } as const;
    return own.writeAll(slices.map((slice) => ({ ...said, slice })));
  };
  const of = (slice: number) => ledger.statement(siteId, "receipt", `${owner}/${slice}`);
  await receipts([0, 1, 2], 1);
  await receipts([0, 2], 2);
  await own.withdrawIdle({ also: [of(0)!], leastCount: 1 });
  assert.equal(of(0), undefined);
  assert.deepEqual(ledger.receivers(owner, 0), []);
  assert.deepEqual([of(1)?.statement.generation, of(2)?.statement.generation], [1, 2]);
  await own.withdrawIdle({ also: [of(1)!], leastCount: 1 });
  assert.deepEqual([of(0), of(1), of(2)?.statement.generation], [undefined, undefined, 2]);
});

test("what else withdrawn entries say is said again in as many entries as it needs", async () => {
  const { own, ledger, siteId } = await Replica.found("founder");
  const siteOf = (number: number) => parseSiteId(number.toString(16).padStart(64, "0"));
  const losses = (owner: number) =>
    own.writeAll(Array.from({ length: 16 }, (_, slice) => ({ kind: "loss", owner: siteOf(owner), slice, count: 1 })));
  for (let owner = 0; owner < 6; owner++) await losses(owner);
  const also = Array.from({ length: 6 }, (_, owner) => ledger.statement(siteId, "loss", `${siteOf(owner)}/3`)!);
  await own.withdrawIdle({ also, leastCount: 1 });
  assert.equal(ledger.statements(siteId, "loss").length, 6 * 15);
});

test("a recovered site withdraws what it says anew in the former machine's log", async () => {
  const [founder, site] = await two();
  const recovered = await Replica.open(new LedgerAuthor("site", 2, "new machine"));
  await recovered.membership.enter(
    await Array.fromAsync(founder.membership.rosters()),
    founder.membership.federationId!,
  );
  await exchange(recovered, founder);
  for (const slice of [1, 2]) await recovered.own.write(say(slice));
  assert.equal(recovered.ledger.superseded(site.siteId).length, 2);
  await recovered.own.withdrawIdle({ leastCount: 1 });
  await recovered.own.write(say(3));
  await recovered.own.withdrawIdle({ leastCount: 1 });
  assert.deepEqual(recovered.ledger.log(site.author.log.id)!.seqs(), []);
  assert.deepEqual(recovered.ledger.superseded(site.siteId), []);
  await exchange(recovered, founder);
  const fresh = await Replica.open("fresh");
  await founder.letIn(fresh);
  await pull(fresh, founder);
  assert.equal(fresh.ledger.digest(), founder.ledger.digest());
});

test("a machine of a later epoch has not got all back until it says so, also over restarts", async () => {
  const [founder] = await two();
  const open = (store?: MemoryLedgerStore) => Replica.open(new LedgerAuthor("site", 2, "new machine"), store);
  const recovered = await open();
  await recovered.membership.enter(
    await Array.fromAsync(founder.membership.rosters()),
    founder.membership.federationId!,
  );
  await exchange(recovered, founder);
  assert.equal(recovered.own.wasLedBack, true);
  assert.equal((await open(recovered.store)).own.wasLedBack, true);
  await recovered.own.regained();
  const again = await open(recovered.store);
  assert.equal(again.own.wasLedBack, false);
  const third = await Replica.open(new LedgerAuthor("site", 3, "newer machine"), recovered.store);
  assert.equal(third.own.wasLedBack, true, "what one machine had the next one may lack");
});

test("an entry of several things is idle when all of them are, and one of them is taken back without the others", async () => {
  const { own, ledger, siteId } = await Replica.open("alone");
  const several = parseEntry(await own.writeAll([say(0), say(1), say(2)]));
  await own.write(say(0));
  await own.write(say(1));
  assert.deepEqual(ledger.superseded(siteId), []);
  const [, , third] = ledger.statements(siteId, "placement");
  assert.equal(third!.seq, several.seq);
  await own.write(say(2));
  assert.deepEqual(
    ledger.superseded(siteId).map(({ seq }) => seq),
    [several.seq],
  );
  await own.writeAll([say(3), say(4)]);
  const taken = ledger.statement(siteId, "placement", "3")!;
  await own.withdrawIdle({ also: [taken], leastCount: 1 });
  assert.equal(ledger.statement(siteId, "placement", "3"), undefined);
  assert.deepEqual(ledger.statement(siteId, "placement", "4")!.statement, say(4));
  assert.equal(ledger.log(taken.logId)!.isWithdrawn(taken.seq), true);
});

test.run();
