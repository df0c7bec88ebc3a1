/**
 * Goal: replicas that were offered the same entries are equal, whatever came first, was repeated, withdrawn or forged on the
 * way; nothing but its author takes an entry out of force. Method: vectors made in Python; offers in random order, with
 * restarts and failing writes; one case for each rule of docs/specs/ledger.md.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { compareLogs, openLog, parseEntry, verifyEntry } from "#ledger/entry.ts";
import type { LedgerEvent, Speakers } from "#ledger/admission.ts";
import { Ledger } from "#ledger/ledger.ts";
import { holdEntry } from "#ledger/log-state.ts";
import { retireData } from "#ledger/retire.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { SiteRoom, type Sized } from "#ledger/site-room.ts";
import { SiteState } from "#ledger/site-state.ts";
import { isCostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Vector {
  readonly comment: string;
  readonly certificate: string;
  readonly log: string;
  readonly entry: string;
  readonly seq: number;
  readonly hash: string;
  readonly error?: string;
  readonly certificates: readonly string[];
  readonly entries?: readonly string[];
  readonly digest: string;
}

const test = suite("ledger");

async function openLedger(init: { store?: MemoryLedgerStore; lastAllowedSeq?: Speakers["lastAllowedSeq"] } = {}) {
  const { store = new MemoryLedgerStore(), lastAllowedSeq = () => Infinity } = init;
  const events: LedgerEvent[] = [];
  const speakers = { follow: () => undefined, lastAllowedSeq, agreedLinks: () => [] };
  const open = () => Ledger.open({ store, speakers, onEvent: (event) => void events.push(event) });
  return { store, events, open, ledger: await open() };
}

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

for (const vector of readVectors<Vector>("ledger")) {
  test(`vector: ${vector.comment}`, async () => {
    if (vector.entries !== undefined) {
      const { ledger, open } = await openLedger();
      const offer = { certificates: vector.certificates.map(fromHex), entries: vector.entries.map(fromHex) };
      await ledger.offer(offer);
      assert.equal(ledger.digest(), vector.digest);
      const reversed = (await openLedger()).ledger;
      await reversed.offer({ ...offer, entries: offer.entries.toReversed() });
      assert.equal(reversed.digest(), vector.digest);
      assert.equal((await open()).digest(), vector.digest, "opened again");
      return;
    }
    const log = openLog(fromHex(vector.certificate));
    assert.equal(log.id, vector.log);
    const read = () => {
      const entry = parseEntry(fromHex(vector.entry));
      verifyEntry(entry, log);
      return entry;
    };
    if (vector.error !== undefined) return assert.throws(read, hasCode(vector.error));
    const entry = read();
    assert.deepEqual([entry.seq, entry.hash, entry.logId], [vector.seq, vector.hash, log.id]);
  });
}

test("replicas that are offered the same entries in any order, more than once, are equal", async () => {
  const [one, other, next] = [new LedgerAuthor("one"), new LedgerAuthor("other"), new LedgerAuthor("one", 2)];
  const certificates = [one, other, next].map(({ log }) => log.bytes);
  const entries = [one, other, one, one, other, one, next, next].map((author) => author.entry());
  entries.push(one.retire(one.log, [0, 1], [3, 3]), next.retire(one.log, [0, 1], [3, 6]));
  // The newest retire for a log contains the earlier ones, which may go then.
  entries.push(next.retire(one.log, [0, 1], [3, 8]), next.retire(next.log, [0, 2]));
  const expected = (await openLedger()).ledger;
  await expected.offer({ certificates, entries });
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(entries, { minLength: entries.length }), fc.nat(), async (order, cut) => {
      const { ledger, open } = await openLedger();
      const at = cut % order.length;
      await ledger.offer({ certificates, entries: order.slice(0, at) });
      const again = await open();
      await again.offer({ certificates, entries: order.slice(at) });
      await again.offer({ certificates, entries: order });
      assert.equal(again.digest(), expected.digest());
      for (const { log } of [one, other, next])
        assert.deepEqual(again.log(log.id)!.seqs(), expected.log(log.id)!.seqs());
    }),
    { numRuns: 60 },
  );
});

test("of retires in whose places other entries stand only so many count", async () => {
  const author = new LedgerAuthor("one");
  const { ledger, open } = await openLedger();
  const count = limits.ledgerUnplacedCount + 1;
  const entries = Array.from({ length: 2 * count }, () => author.entry());
  await ledger.offer({ certificates: [author.log.bytes], entries });
  const retires = Array.from({ length: count }, (_, at) => {
    author.nextSeq = count + at;
    return author.retire(author.log, [at, at]);
  });
  assert.ok((await ledger.offer({ entries: retires })).every((admission) => admission === "fork"));
  for (const replica of [ledger, await open()])
    assert.deepEqual(replica.log(author.log.id)!.withdrawn.ranges, [[0, limits.ledgerUnplacedCount - 1]]);
});

test("a retire whose target's certificate comes later withdraws all the same", async () => {
  const [former, next] = [new LedgerAuthor("one"), new LedgerAuthor("one", 2)];
  const { ledger, open } = await openLedger();
  await ledger.offer({ certificates: [next.log.bytes], entries: [next.retire(former.log, [0, 0])] });
  const reopened = await open();
  for (const replica of [ledger, reopened]) {
    const admissions = await replica.offer({ certificates: [former.log.bytes], entries: [former.entry({ seq: 0 })] });
    assert.deepEqual(admissions, ["withdrawn"]);
  }
});

test("nobody withdraws another site's entries", async () => {
  const [victim, thief] = [new LedgerAuthor("victim"), new LedgerAuthor("thief")];
  const { ledger } = await openLedger();
  const certificates = [victim.log.bytes, thief.log.bytes];
  await ledger.offer({ certificates, entries: [victim.entry(), thief.retire(victim.log, [0, 100])] });
  assert.deepEqual(ledger.log(victim.log.id)!.seqs(), [0]);
  assert.deepEqual(await ledger.offer({ entries: [victim.entry()] }), ["admitted"]);
});

test("an entry that arrives after its retirement stays out, and its seq need not be asked for", async () => {
  const author = new LedgerAuthor("one");
  const { ledger } = await openLedger();
  const late = author.entry();
  await ledger.offer({ certificates: [author.log.bytes], entries: [author.retire(author.log, [0, 0])] });
  assert.deepEqual(await ledger.offer({ entries: [late] }), ["withdrawn"]);
  assert.deepEqual(ledger.log(author.log.id)!.known.ranges, [[0, 1]]);
  assert.equal(await ledger.entry(author.log.id, 0), undefined);
});

test("two different entries of one place are kept as proof, once, and the first stays in force", async () => {
  const author = new LedgerAuthor("one");
  const { ledger, events, open } = await openLedger();
  const [first, second, third] = [
    author.entry({ seq: 5 }),
    author.entry({ seq: 5, timeMs: 2 }),
    author.entry({ seq: 5, timeMs: 3 }),
  ];
  const certificates = [author.log.bytes];
  assert.deepEqual(await ledger.offer({ certificates, entries: [first, second, third] }), ["admitted", "fork", "fork"]);
  assert.deepEqual(
    events.map(({ event }) => event),
    ["fork-found"],
  );
  for (const replica of [ledger, await open()]) {
    const state = replica.log(author.log.id)!;
    assert.deepEqual(
      state.fork?.map((bytes) => parseEntry(bytes).hash),
      [first, second].map((bytes) => parseEntry(bytes).hash),
    );
    assert.ok(Buffer.from((await replica.entry(author.log.id, 5))!).equals(first));
  }
});

test("the same body with another signature is the same entry", async () => {
  const author = new LedgerAuthor("one");
  const { ledger } = await openLedger();
  const entry = author.entry();
  const forged = Buffer.from(entry);
  forged[forged.length - 1]! ^= 1;
  await ledger.offer({ certificates: [author.log.bytes], entries: [entry] });
  assert.deepEqual(await ledger.offer({ entries: [forged] }), ["known"]);
  assert.ok(Buffer.from((await ledger.entry(author.log.id, 0))!).equals(entry));
});

test("what is not valid is refused by its code, and what came before it in the same offer is kept", async () => {
  const [author, stranger] = [new LedgerAuthor("one"), new LedgerAuthor("stranger")];
  const { ledger, open } = await openLedger();
  const forged = Buffer.from(author.entry({ seq: 1 }));
  forged[forged.length - 1]! ^= 1;
  const bad: [string, Uint8Array][] = [
    ["signature-invalid", forged],
    ["signature-invalid", stranger.entry()],
    ["bad-encoding", Buffer.from("nothing")],
    ["limit-exceeded", Buffer.alloc(limits.ledgerEntryBytes + 1)],
  ];
  for (const [index, [code, bytes]] of bad.entries()) {
    const good = author.entry({ seq: 10 + index });
    await assert.rejects(ledger.offer({ certificates: [author.log.bytes], entries: [good, bytes] }), hasCode(code));
  }
  const tooLong = Buffer.alloc(limits.epochCertificateBytes + 1);
  await assert.rejects(ledger.offer({ certificates: [tooLong] }), hasCode("limit-exceeded"));
  assert.deepEqual((await open()).log(author.log.id)!.seqs(), [10, 11, 12, 13]);
});

test("an entry is no longer than its limit", () => {
  const author = new LedgerAuthor("one");
  const data = { long: Buffer.alloc(limits.ledgerEntryBytes) };
  assert.throws(() => author.entry({ data }), hasCode("limit-exceeded"));
});

test("a site that the membership does not allow adds nothing", async () => {
  const author = new LedgerAuthor("one");
  const { ledger } = await openLedger({ lastAllowedSeq: () => -1 });
  assert.deepEqual(await ledger.offer({ certificates: [author.log.bytes], entries: [author.entry()] }), [
    "not-allowed",
  ]);
  assert.deepEqual(ledger.logs(), []);
});

test("a site has so many logs and no more", async () => {
  const { ledger } = await openLedger();
  const logs = Array.from(
    { length: limits.ledgerLogsPerSiteCount + 1 },
    (_, epoch) => new LedgerAuthor("one", epoch + 1).log,
  );
  await ledger.offer({ certificates: logs.map(({ bytes }) => bytes) });
  assert.equal(ledger.logs().length, limits.ledgerLogsPerSiteCount);
});

test("of a site's logs the higher epoch is newer, and of two with one epoch the lower id", async () => {
  const twins = [new LedgerAuthor("one", 2, "a").log, new LedgerAuthor("one", 2, "b").log].sort((a, b) =>
    a.id < b.id ? -1 : 1,
  );
  const sorted = [new LedgerAuthor("one", 3).log, ...twins, new LedgerAuthor("one").log];
  assert.deepEqual(sorted.toReversed().sort(compareLogs), sorted);
  const { ledger } = await openLedger();
  await ledger.offer({ certificates: sorted.toReversed().map(({ bytes }) => bytes) });
  const [first] = sorted;
  assert.deepEqual(
    ledger.logsOf(first!.certificate.siteId).map(({ log }) => log.id),
    sorted.map(({ id }) => id),
  );
});

test("own entries get seqs that were never used, also after a withdrawal and a restart", async () => {
  const author = new LedgerAuthor("one");
  const { ledger, open } = await openLedger();
  const own = (kind: string, data = {}) => ({ id: parseEntryId(makeUuidV7(1)), timeMs: 1, kind, data });
  for (const expected of [0, 1])
    assert.equal(parseEntry(await ledger.append(author.log, author.seed, own("note"))).seq, expected);
  const data = retireData({ logId: author.log.id, ranges: SeqRanges.parse([[0, 1]], 1) });
  await ledger.append(author.log, author.seed, own("retire", data));
  const again = await open();
  const seqs = await Promise.all(Array.from({ length: 5 }, () => again.append(author.log, author.seed, own("note"))));
  assert.deepEqual(
    seqs.map((bytes) => parseEntry(bytes).seq),
    [3, 4, 5, 6, 7],
  );
});

test("after a write that failed halfway the ledger says what is kept, and goes on", async () => {
  const author = new LedgerAuthor("one");
  const { store, ledger, open } = await openLedger();
  const entries = Array.from({ length: 6 }, () => author.entry());
  for (const afterCount of [0, 1, 3]) {
    store.failure = { error: new Error("no space"), afterCount };
    await assert.rejects(ledger.offer({ certificates: [author.log.bytes], entries }), /no space/);
    assert.equal(ledger.digest(), (await open()).digest());
  }
  const admissions = await ledger.offer({ certificates: [author.log.bytes], entries });
  assert.deepEqual(new Set(admissions), new Set(["known", "admitted"]));
  assert.deepEqual(ledger.log(author.log.id)!.seqs(), [0, 1, 2, 3, 4, 5]);
});

test("a site with as many bytes in force as it may have adds no more before it withdraws some", async () => {
  const author = new LedgerAuthor("one");
  const { ledger, events } = await openLedger();
  const long = { data: { long: Buffer.alloc(limits.ledgerEntryBytes - 300) } };
  const { length } = author.entry(long);
  const mostCount = Math.floor(limits.ledgerPerSiteBytes / length);
  const entries = Array.from({ length: mostCount }, () => author.entry(long));
  const leftBytes = entries.reduce((left, entry) => left - entry.length, limits.ledgerPerSiteBytes);
  if (leftBytes > 1000) entries.push(author.entry({ data: { long: Buffer.alloc(leftBytes - 1000) } }));
  const admissions = await ledger.offer({ certificates: [author.log.bytes], entries });
  assert.ok(admissions.every((admission) => admission === "admitted"));
  const late = author.entry(long);
  assert.deepEqual(await ledger.offer({ entries: [late] }), ["site-full"]);
  assert.deepEqual(
    events.map(({ event }) => event),
    ["site-full"],
  );
  // Longer than what is left: else it could never make room.
  const odd = Array.from({ length: 400 }, (_, at): [number, number] => [2 * at + 1, 2 * at + 1]);
  const admittedLater = await ledger.offer({ entries: [author.retire(author.log, ...odd), late] });
  assert.deepEqual(admittedLater, ["admitted", "admitted"]);
});

test("a site has so many entries in force and no more, before it withdraws some", () => {
  const author = new LedgerAuthor("one");
  const site = new SiteState({ onChanged: () => undefined, onStated: () => undefined, onReceipt: () => undefined });
  const log = site.addLog(author.log, Infinity);
  // Signing as many would take long: the replica's memory of them is what counts.
  const held = holdEntry(parseEntry(author.entry()));
  const next = { kind: "snapshot", lengthBytes: 100 };
  for (let seq = 0; seq < limits.ledgerEntriesPerSiteCount; seq++) {
    assert.ok(site.room.hasFor(next));
    site.admit(log, { ...held, seq });
  }
  assert.ok(!site.room.hasFor(next));
  assert.equal(site.room.usedRatio, 1);
  assert.ok(site.room.hasFor({ ...next, kind: "retire" }), "it can make room");
  site.withdraw(log, SeqRanges.parse([[0, 10]], 1));
  assert.ok(site.room.hasFor(next));
});

test("what a site has withdrawn counts until it is forgotten", async () => {
  const author = new LedgerAuthor("one");
  const { ledger } = await openLedger();
  const entries = Array.from({ length: 20 }, () => author.entry({ data: { long: Buffer.alloc(60_000) } }));
  const sizeOf = (...some: Uint8Array[]): number => some.reduce((sum, { length }) => sum + length, 0);
  const retire = author.retire(author.log, [0, 19]);
  await ledger.offer({ certificates: [author.log.bytes], entries: [...entries, retire] });
  assert.equal(ledger.usedRatio(author.siteId), sizeOf(...entries, retire) / limits.ledgerKeptPerSiteBytes);
  await ledger.forget(author.log.id, SeqRanges.parse([[0, 18]], 1));
  assert.equal(ledger.usedRatio(author.siteId), sizeOf(entries[19]!, retire) / limits.ledgerKeptPerSiteBytes);
});

test("so much of a site is kept and no more, however it withdraws and writes anew", () => {
  const room = new SiteRoom();
  const [entry, retire] = ["snapshot", "retire"].map((kind) => ({ kind, lengthBytes: 60_000 })) as [Sized, Sized];
  let count = 0;
  for (; room.hasFor(entry); count++) room.kept(entry);
  assert.equal(count, Math.floor(limits.ledgerKeptPerSiteBytes / entry.lengthBytes));
  assert.ok(!room.hasFor(retire), "which would be kept too");
  room.forgotten(1, entry.lengthBytes);
  assert.ok(room.hasFor(entry));
});

test.run();
