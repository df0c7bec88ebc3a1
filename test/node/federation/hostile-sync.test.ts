/**
 * Goal: whatever a member answers or asks when ledgers are synchronised, or spreads, ends its own round and nothing else. Method: a
 * hostile member speaks frames made by hand: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import type { Channel } from "#ledger/peers.ts";
import {
  encodeComparison,
  encodePage,
  encodeSyncRequest,
  parseSyncRequest,
  type SyncRequest,
} from "#ledger/sync-messages.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { type CborMap, type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile synchronising", { timeoutMs: 60_000 });

const logId = (number: number): Buffer => {
  const id = Buffer.alloc(32, 0x11);
  id.writeUInt32BE(number);
  return id;
};
const digests = (from: number, lengthCount: number): CborMap[] =>
  Array.from({ length: lengthCount }, (_, at) => ({ log: logId(from + at), digest: Buffer.alloc(32) }));
/** Until the channel is ended. */
async function endless(channel: Channel, make: (page: number) => Uint8Array): Promise<void> {
  for (let page = 0; ; page++) await channel.send(make(page));
}

/** What it answers instead of {@link standard}, or sends itself. */
type Answer = (
  ask: SyncRequest["ask"],
  hostile: HostileMember,
  channel: Channel,
) => Uint8Array | Promise<void> | undefined;

/** That the ledgers differ, and of its own log that there are ten entries. */
function standard(ask: SyncRequest["ask"], hostile: HostileMember): Uint8Array {
  const log = Buffer.from(hostile.author.log.id, "hex");
  if (ask === "compare") return encodeComparison({ same: false, newest: null });
  if (ask === "summary") return encodePage("summary", [{ log, digest: Buffer.alloc(32) }], false);
  if (ask === "logs") return encodePage("logs", [knowledge(hostile)], false);
  return encodePage("entries", [], false);
}

const answering =
  (hostile: HostileMember, answer: Answer) =>
  async (channel: Channel): Promise<void> => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
      const { ask } = parseSyncRequest(frame);
      const answered = answer(ask, hostile, channel) ?? standard(ask, hostile);
      if (answered instanceof Uint8Array) await channel.send(answered);
      else await answered;
    }
  };
const knowledge = ({ author: { log } }: HostileMember, changes: CborMap = {}): CborMap => ({
  ...{ log: Buffer.from(log.id, "hex"), certificate: log.bytes, known: [[0, 9]], retires: [], fork: null },
  ...changes,
});

/** The round ends, told once. */
const refused = (title: string, told: RegExp, answer: Answer): HostileCase => ({
  title: `${title} ends the round`,
  told,
  attack: async (siege, hostile) => {
    hostile.serve(ledgerProtocol, answering(hostile, answer));
    assert.equal(await siege.pull(hostile), false);
  },
});
const refusedAnswer = (
  title: string,
  told: RegExp,
  to: SyncRequest["ask"],
  make: (hostile: HostileMember) => Uint8Array,
) => refused(title, told, (ask, hostile) => (ask === to ? make(hostile) : undefined));
const wrongRanges = (title: string, ranges: CborValue) =>
  refusedAnswer(title, /ranges|range is two/, "logs", (hostile) =>
    encodePage("logs", [knowledge(hostile, { known: ranges })], false),
  );

/** The channel on which it was asked ends, told once. */
const refusedQuestion = (title: string, told: RegExp, make: (hostile: HostileMember) => Uint8Array): HostileCase => ({
  title: `${title} ends the channel`,
  told,
  attack: async (_, hostile) => {
    const channel = await hostile.open(ledgerProtocol);
    assert.equal(await hostile.ask(channel, make(hostile)), undefined);
  },
});

const question = (ask: CborMap): Uint8Array => encodeCbor(ask);
const all: SyncRequest[] = [{ ask: "summary" }, { ask: "rosters", from: 0 }];

const cases: HostileCase[] = [
  refused("a summary without end", /too many/, (ask, _, channel) =>
    ask === "summary" ? endless(channel, (page) => encodePage("summary", digests(4096 * page, 4096), true)) : undefined,
  ),
  refused("pages of the same entry without end", /not asked for/, (ask, hostile, channel) => {
    const entry = hostile.author.entry({ seq: 0 });
    return ask === "entries" ? endless(channel, () => encodePage("entries", [entry], true)) : undefined;
  }),
  refusedAnswer("a summary out of order", /out of order/, "summary", () =>
    encodePage("summary", digests(0, 9).toReversed(), false),
  ),
  refusedAnswer("a summary with a log twice", /out of order/, "summary", () =>
    encodePage("summary", [...digests(0, 1), ...digests(0, 1)], false),
  ),
  refusedAnswer("an empty page that is not the last", /empty page/, "summary", () => encodePage("summary", [], true)),
  refusedAnswer("an answer to another question", /not a message/, "summary", () => encodePage("entries", [], false)),
  refusedAnswer("an answer that is no CBOR", /CBOR/, "summary", () => Buffer.from("ff".repeat(100), "hex")),
  refusedAnswer("an answer of half a million values", /more than 300000 values/, "summary", () => {
    const page = encodePage("summary", [], false);
    const values = Buffer.concat([Buffer.from("9a0007a120", "hex"), Buffer.alloc(500_000, 0x01)]);
    const at = page.indexOf(0x80);
    return Buffer.concat([page.subarray(0, at), values, page.subarray(at + 1)]);
  }),
  refusedAnswer("what is known of a log that was not asked for", /not asked for/, "logs", () => {
    const { log } = new LedgerAuthor("nobody");
    return encodePage(
      "logs",
      [{ ...{ log: Buffer.from(log.id, "hex"), certificate: log.bytes }, known: [], retires: [], fork: null }],
      false,
    );
  }),
  refusedAnswer("a log twice in one answer", /not asked for/, "logs", (hostile) =>
    encodePage("logs", [knowledge(hostile), knowledge(hostile)], false),
  ),
  wrongRanges("a range that runs backwards", [[5, 3]]),
  wrongRanges("ranges that overlap", [
    [0, 5],
    [5, 9],
  ]),
  wrongRanges("ranges out of order", [
    [7, 9],
    [0, 3],
  ]),
  wrongRanges("a range to 2⁵³", [[0, 2n ** 53n]]),
  wrongRanges("a range below 0", [[-1, 3]]),
  wrongRanges("a range of three numbers", [[0, 1, 2]]),
  wrongRanges(
    "more ranges than a list may have",
    Array.from({ length: limits.ledgerRangesCount + 1 }, (_, at) => [2 * at, 2 * at]),
  ),
  refused("an entry beyond what it was asked for", /not asked for/, (ask, hostile) =>
    ask === "entries" ? encodePage("entries", [hostile.author.entry({ seq: 10 })], false) : undefined,
  ),
  refused("entries out of order", /not asked for/, (ask, hostile) =>
    ask === "entries"
      ? encodePage("entries", [hostile.author.entry({ seq: 5 }), hostile.author.entry({ seq: 4 })], false)
      : undefined,
  ),
  refused("a newest roster with a name for a number", /not a message/, (ask) =>
    ask === "compare" ? encodeCbor({ same: false, newest: { number: "1", hash: Buffer.alloc(32) } }) : undefined,
  ),
  refusedQuestion("a question that is no CBOR", /asked for nothing/, () => Buffer.alloc(1000, 0xff)),
  refusedQuestion("a question that there is not", /asked for nothing/, () => question({ ask: "secrets" })),
  refusedQuestion("a question about a thousand logs", /asked for nothing/, () =>
    question({ ask: "logs", logs: Array.from({ length: 1000 }, (_, at) => logId(at)) }),
  ),
  refusedQuestion("a question for entries of too many ranges", /asked for nothing/, () =>
    question({
      ask: "entries",
      log: logId(0),
      ranges: Array.from({ length: limits.ledgerRangesCount + 1 }, (_, at) => [2 * at, 2 * at]),
    }),
  ),
  refusedQuestion("a question for rosters below 0", /asked for nothing/, () => question({ ask: "rosters", from: -1 })),
  {
    title: "who says to know all and gives nothing is asked in vain, and no more",
    attack: async (siege, hostile) => {
      hostile.showEntries([]);
      assert.equal(await siege.pull(hostile), true);
    },
  },
  {
    title: "who asks for everything and reads nothing waits, and fills no memory",
    attack: async (siege, hostile) => {
      const channel = await hostile.open(ledgerProtocol);
      let askedCount = 0;
      const flood = endless(channel, () => encodeSyncRequest(all[++askedCount % 2]!)).catch(() => undefined);
      let before = -1;
      while (before !== askedCount) {
        before = askedCount;
        await siege.synchronise();
      }
      // It ends with the connection.
      void flood;
    },
  },
  {
    title: "who asks without end is ended",
    told: /asked more than 20000 times/,
    attack: async (siege, hostile) => {
      const channel = await hostile.open(ledgerProtocol);
      const ask = encodeSyncRequest({ ask: "compare", digest: "00".repeat(32), roster: null });
      // Not for ever: what comes after the end may be told as a flood of small frames too.
      const flood = (async () => {
        for (let at = 0; at <= limits.syncRequestsCount; at++) await channel.send(ask);
      })().catch(() => undefined);
      let answersCount = 0;
      while (await channel.receive().catch(() => undefined)) answersCount++;
      assert.ok(answersCount <= limits.syncRequestsCount);
      await flood;
    },
  },
  // The last: it lets time pass.
  {
    title: "who takes a question and never answers keeps nobody from asking others, and is given up",
    attack: async (siege, hostile) => {
      const asked = Promise.withResolvers<void>();
      hostile.serve(ledgerProtocol, async (channel) => {
        await channel.receive();
        asked.resolve();
        await channel.receive();
      });
      const pulled = siege.pull(hostile);
      await asked.promise;
      await siege.synchronise();
      siege.victim.clock.pass(31 * 60_000);
      assert.equal(await pulled, false);
    },
  },
];
testHostile(test, cases);
test.run();
