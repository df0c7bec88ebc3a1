/**
 * Goal: after both have asked, two replicas have the same, whatever each had; a peer that sends what it must not is left; the
 * memory of both sides has a bound. Method: replicas over channels in memory; answers of a hostile peer, frame by frame.
 */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import type { Channel } from "#ledger/peers.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import {
  encodeComparison,
  encodePage,
  encodeSyncRequest,
  knowledgeItem,
  logDigestItem,
  parseSyncRequest,
} from "#ledger/sync-messages.ts";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseLogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Replica, exchange, pull } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("synchronising");

const hasCode = (code: string) => (error: unknown) => isCostorError(error, code as never);

/** A founder and a guest of it. */
async function two(): Promise<[Replica, Replica]> {
  const founder = await Replica.found("founder");
  const guest = await Replica.open("guest");
  await founder.letIn(guest);
  return [founder, guest];
}

test("two replicas have the same after both have asked, also what a third has told one of them", async () => {
  const [founder, guest] = await two();
  await pull(guest, founder);
  await guest.own.write({ kind: "placement", slice: 1, holders: [founder.siteId] });
  await founder.own.write({ kind: "placement", slice: 2, holders: [guest.siteId] });
  const reports = await exchange(founder, guest);
  assert.deepEqual(
    reports.map(({ admittedCount }) => admittedCount),
    [1, 1],
  );
  assert.equal(founder.ledger.digest(), guest.ledger.digest());
  assert.ok((await exchange(founder, guest)).every(({ same }) => same));
  const third = await Replica.open("third");
  await founder.letIn(third);
  await pull(third, founder);
  assert.equal(third.ledger.digest(), founder.ledger.digest());
  assert.equal(third.membership.peerOf(guest.siteId), guest.membership.peerOf(guest.siteId));
});

test("of equal ledgers one round trip of less than 200 bytes is the whole", async () => {
  const [founder, guest] = await two();
  await pull(guest, founder);
  const { channels, traffic } = channelPair(ledgerProtocol);
  const [report] = await Promise.all([pullFrom(channels[0], guest), answerSync(channels[1], founder)]);
  assert.deepEqual(report, { same: true, rosterChanged: false, admittedCount: 0, forksCount: 0 });
  assert.deepEqual(
    traffic.map(({ framesCount }) => framesCount),
    [1, 1],
  );
  assert.ok(traffic[0].bytes + traffic[1].bytes < 200);
});

test("a large ledger comes in frames that wait for whoever takes them", async () => {
  const [founder, guest] = await two();
  const entries = Array.from({ length: 400 }, (_, at) =>
    founder.author.entry({ seq: at + 10, data: { long: Buffer.alloc(32 * 1024, at) } }),
  );
  await founder.ledger.offer({ entries });
  const { channels, traffic } = channelPair(ledgerProtocol);
  const [report] = await Promise.all([pullFrom(channels[0], guest), answerSync(channels[1], founder)]);
  assert.equal(report.admittedCount, 401);
  assert.ok(traffic[1].bytes > 12 * 1024 * 1024);
  assert.ok(traffic[1].waitingBytes <= 4 * (limits.syncPageBytes + limits.ledgerEntryBytes + 1024));
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("retires come first, and what they withdraw is not asked for", async () => {
  const [founder, guest] = await two();
  for (let count = 0; count < 70; count++) await founder.own.write({ kind: "placement", slice: 1, holders: [] });
  await founder.own.withdrawIdle();
  const report = await pull(guest, founder);
  assert.equal(report.admittedCount, 3, "the guest, the newest placement, the retire");
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("two entries of one place, one at each replica, are found and known to both as a fork", async () => {
  const [founder, guest] = await two();
  await pull(guest, founder);
  const clone = new LedgerAuthor("founder");
  const same = Array.from({ length: 20 }, (_, at) => clone.entry({ seq: at + 1 }));
  for (const { ledger } of [founder, guest]) await ledger.offer({ entries: same });
  await founder.ledger.offer({ entries: [clone.entry({ seq: 30, timeMs: 1 })] });
  await guest.ledger.offer({ entries: [clone.entry({ seq: 30, timeMs: 2 })] });
  const reports = await exchange(guest, founder);
  assert.equal(reports[0]!.forksCount, 1);
  for (const { ledger } of [founder, guest])
    assert.deepEqual(
      ledger.forkOf(founder.siteId)?.map((bytes) => parseEntry(bytes).seq),
      [30, 30],
    );
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
  // What comes after a fork is spread as before.
  await founder.ledger.offer({ entries: [clone.entry({ seq: 31 })] });
  await pull(guest, founder);
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("the proof of a fork reaches a replica that saw the retirement of its place first", async () => {
  const [founder, guest] = await two();
  await pull(guest, founder);
  const clone = new LedgerAuthor("founder");
  const forked = [1, 2].map((timeMs) => clone.entry({ seq: 1, timeMs }));
  clone.nextSeq = 2;
  const retire = clone.retire(clone.log, [1, 1]);
  await founder.ledger.offer({ entries: [...forked, retire] });
  await guest.ledger.offer({ entries: [retire, ...forked] });
  assert.equal(guest.ledger.forkOf(founder.siteId), undefined);
  await exchange(guest, founder);
  assert.ok(guest.ledger.forkOf(founder.siteId));
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
});

test("the proof of a fork reaches a replica that has nothing in force of the log, since all of it is retired", async () => {
  const [founder, guest] = await two();
  await pull(guest, founder);
  const [clone, next] = [new LedgerAuthor("founder"), new LedgerAuthor("founder", 2)];
  const forked = [1, 2].map((timeMs) => clone.entry({ seq: 1, timeMs }));
  const retire = next.retire(clone.log, [0, 9]);
  await founder.ledger.offer({ entries: forked });
  for (const { ledger } of [founder, guest]) await ledger.offer({ certificates: [next.log.bytes], entries: [retire] });
  const former = (replica: Replica) => replica.ledger.log(clone.log.id)!;
  assert.equal(former(founder).inForceCount, 0);
  assert.ok(former(founder).fork && !former(guest).fork);
  await exchange(guest, founder);
  assert.ok(former(guest).fork);
  assert.equal(guest.ledger.digest(), founder.ledger.digest());
  assert.ok((await exchange(guest, founder)).every(({ same }) => same));
});

test("what a retire withdraws in whose place a clone wrote something else is withdrawn everywhere", async () => {
  for (const [second, isKnown] of [
    ["a note", true],
    ["a note", false],
    ["another retire", true],
    ["another retire", false],
  ] as const) {
    const [founder, guest] = await two();
    await pull(guest, founder);
    const clone = new LedgerAuthor("founder");
    const same = Array.from({ length: 20 }, (_, at) => clone.entry({ seq: at + 1 }));
    await founder.ledger.offer({ entries: same });
    await guest.ledger.offer({ entries: same.slice(0, 15) });
    const inPlace = (make: () => Buffer): Buffer => {
      clone.nextSeq = 31;
      return make();
    };
    // Of one run the fork is known before.
    if (isKnown)
      for (const [timeMs, { ledger }] of [founder, guest].entries())
        await ledger.offer({ entries: [clone.entry({ seq: 30, timeMs })] });
    await founder.ledger.offer({ entries: [inPlace(() => clone.retire(clone.log, [3, 5], [19, 20]))] });
    const other =
      second === "a note" ? clone.entry({ seq: 31, timeMs: 2 }) : inPlace(() => clone.retire(clone.log, [7, 7]));
    await guest.ledger.offer({ entries: [other] });
    for (let round = 0; round < 2; round++) await exchange(guest, founder);
    for (const replica of [founder, guest, await founder.reopened(), await guest.reopened()]) {
      assert.ok(replica.ledger.forkOf(founder.siteId));
      const state = replica.ledger.log(founder.author.log.id)!;
      assert.deepEqual(
        [3, 4, 5, 19, 20].filter((seq) => !state.isWithdrawn(seq)),
        [],
        second,
      );
      assert.equal(state.isWithdrawn(7), second === "another retire");
      assert.equal(replica.ledger.digest(), founder.ledger.digest(), second);
    }
  }
});

/** Asks a peer that gives these answers, whatever it is asked. */
async function askHostile(replica: Replica, answers: (channel: Channel) => Promise<void>): Promise<unknown> {
  const { channels } = channelPair(ledgerProtocol);
  const failure = pullFrom(channels[0], replica).then(
    () => undefined,
    (error: unknown) => error,
  );
  await answers(channels[1]).catch((error: unknown) => assert.ok(isCostorError(error, "peer-unreachable")));
  await channels[1].close();
  return failure;
}

const differs = encodeComparison({ same: false, newest: null });
const summaryOf = ({ log }: LedgerAuthor): Buffer =>
  encodePage("summary", [logDigestItem({ log: log.id, digest: "11".repeat(32) })], false);
const knowledgeOf = ({ log }: LedgerAuthor, changes: object = {}): Buffer => {
  const [known, retires] = [SeqRanges.parse([[0, 100]], 1), SeqRanges.empty()];
  const item = knowledgeItem({ log: log.id, certificate: log.bytes, known, retires, fork: null });
  return encodePage("logs", [{ ...item, ...changes }], false);
};

function tooManyLogs(): Buffer[] {
  const items = Array.from({ length: limits.syncLogsCount + 1 }, (_, at) =>
    logDigestItem({ log: parseLogId(at.toString(16).padStart(64, "0")), digest: "11".repeat(32) }),
  );
  const pageCount = 8192;
  return Array.from({ length: Math.ceil(items.length / pageCount) }, (_, page) =>
    encodePage("summary", items.slice(page * pageCount, (page + 1) * pageCount), true),
  );
}

test("a peer that sends what no honest one sends is left, and what came before is kept", async () => {
  const [founder] = await two();
  const { author } = founder;
  const manyRanges = Array.from({ length: limits.ledgerRangesCount + 1 }, (_, at) => [at * 2, at * 2]);
  const good = author.entry({ seq: 40 });
  const forged = Buffer.from(author.entry({ seq: 41 }));
  forged[forged.length - 1]! ^= 1;
  const opening = [differs, summaryOf(author), knowledgeOf(author)];
  const hostile: Record<string, Buffer[]> = {
    "no message": [Buffer.from("nothing")],
    "another answer": [encodeCbor({ digest: Buffer.alloc(32) })],
    "a roster that is none": [
      encodeComparison({ same: false, newest: { number: 1, hash: "22".repeat(32) as never } }),
      encodePage("rosters", [Buffer.from("none")], false),
    ],
    "rosters of another federation": [
      encodeComparison({ same: false, newest: { number: 1, hash: "22".repeat(32) as never } }),
      encodePage(
        "rosters",
        await Array.fromAsync((await Replica.found("founder", "other")).membership.rosters()),
        false,
      ),
    ],
    "logs out of order": [
      differs,
      encodePage(
        "summary",
        ["ff", "ee"].map((byte) => logDigestItem({ log: byte.repeat(32) as never, digest: "11".repeat(32) })),
        false,
      ),
    ],
    "more logs than there can be": [differs, ...tooManyLogs()],
    "empty pages without end": [differs, encodePage("summary", [], true)],
    "a million ranges": [differs, summaryOf(author), knowledgeOf(author, { known: manyRanges })],
    "a log that was not asked for": [differs, summaryOf(author), knowledgeOf(new LedgerAuthor("other"))],
    "a certificate of another log": [
      differs,
      summaryOf(author),
      knowledgeOf(author, { certificate: new LedgerAuthor("other").log.bytes }),
    ],
    "a forged entry": [...opening, encodePage("entries", [good, forged], false)],
    "an entry that was not asked for": [...opening, encodePage("entries", [author.entry({ seq: 500 })], false)],
    "an entry twice": [
      ...opening,
      encodePage("entries", [author.entry({ seq: 50 })], true),
      encodePage("entries", [author.entry({ seq: 50 })], false),
    ],
    "a proof that proves nothing": [differs, summaryOf(author), knowledgeOf(author, { fork: [good, good] })],
  };
  for (const [what, frames] of Object.entries(hostile)) {
    const failure = await askHostile(founder, async (channel) => {
      for (const frame of frames) await channel.send(frame);
    });
    assert.ok(isCostorError(failure, "peer-misbehaved"), `${what}: ${failure as never}`);
  }
  assert.ok(founder.ledger.log(author.log.id)!.held(40), "what came before the forged entry");
});

test("a peer that ends in the middle leaves what it has sent, and the next goes on", async () => {
  const [founder, guest] = await two();
  const entry = founder.author.entry({ seq: 1 });
  const { author } = founder;
  const failure = await askHostile(guest, async (channel) => {
    for (const frame of [differs, summaryOf(author), knowledgeOf(author), encodePage("entries", [entry], true)])
      await channel.send(frame);
  });
  assert.ok(isCostorError(failure, "peer-unreachable"));
  assert.ok(guest.ledger.log(author.log.id)!.held(1));
});

test("a request that is none ends the answers, and so do too many", async () => {
  const [founder] = await two();
  const bad: CborValue[] = [
    {},
    { ask: "everything" },
    { ask: "summary", more: 1 },
    { ask: "logs", logs: [] },
    { ask: "logs", logs: Array.from({ length: limits.syncLogsAtOnceCount + 1 }, () => Buffer.alloc(32)) },
    { ask: "entries", log: Buffer.alloc(31), ranges: [] },
    { ask: "entries", log: Buffer.alloc(32), ranges: [[1, 0]] },
    [],
    7,
  ];
  for (const value of bad) {
    const { channels } = channelPair(ledgerProtocol);
    await channels[0].send(encodeCbor(value));
    await assert.rejects(answerSync(channels[1], founder), hasCode("peer-misbehaved"), JSON.stringify(value));
  }
  const { channels } = channelPair(ledgerProtocol);
  const answering = assert.rejects(answerSync(channels[1], founder), hasCode("peer-misbehaved"));
  const compare = encodeSyncRequest({ ask: "compare", digest: "00".repeat(32), roster: null });
  for (let count = 0; count < limits.syncRequestsCount; count++) {
    await channels[0].send(compare);
    await channels[0].receive();
  }
  await channels[0].send(compare);
  await answering;
});

test("requests come back as they went", () => {
  const log = new LedgerAuthor("one").log.id;
  const ranges = SeqRanges.parse([[0, 5]], 1);
  for (const request of [
    { ask: "compare", digest: "12".repeat(32), roster: null },
    { ask: "rosters", from: 3 },
    { ask: "summary" },
    { ask: "logs", logs: [log] },
    { ask: "entries", log, ranges },
    { ask: "check", log, ranges },
  ] as const)
    assert.deepEqual(parseSyncRequest(encodeSyncRequest(request)), request);
});

test("an asker that is told to stop stops with the reason", async () => {
  const [founder] = await two();
  const controller = new AbortController();
  const { channels } = channelPair(ledgerProtocol);
  const pulling = pullFrom(channels[0], founder, controller.signal);
  controller.abort(new Error("shutting down"));
  await assert.rejects(pulling, /shutting down/);
  await assert.rejects(channels[1].send(Buffer.alloc(1)), hasCode("peer-unreachable"));
  const late = channelPair(ledgerProtocol).channels[0];
  await assert.rejects(pullFrom(late, founder, controller.signal), /shutting down/);
});

test.run();
