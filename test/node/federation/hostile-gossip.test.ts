/**
 * Goal: what is spread by whoever fills no log, no memory and no disk, and passes nothing that is not signed. Method: a hostile member
 * publishes messages made by hand, and then one that is good: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { gossipMessage, lastMessage } from "#ledger/gossip.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { parseRosterHash } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { count } from "#test/support/level.ts";
import { noise } from "#test/support/noise.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile gossip", { timeoutMs: 60_000 });

const good = ({ author }: HostileMember, seq: number, data = {}): Buffer =>
  gossipMessage(author.entry({ seq, data }), author.log.bytes);

/** Publishes, and resolves when all of it has been heard: a last message is good. */
async function spread(siege: Siege, hostile: HostileMember, messages: readonly Uint8Array[]): Promise<void> {
  const { ledger } = siege.victim.parts;
  // Best effort: whoever has just connected learns in its own time who listens, and a full line loses messages.
  const untilHeard = async (first: number): Promise<void> => {
    for (let seq = first; (ledger.log(hostile.author.log.id)?.known.last ?? -1) < first; seq++) {
      hostile.publish(good(hostile, seq));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await untilHeard(1000);
  for (const message of messages) hostile.publish(message);
  await untilHeard(100_000);
}

const refused = (
  title: string,
  told: RegExp,
  make: (hostile: HostileMember, siege: Siege) => Uint8Array[],
): HostileCase => ({
  title: `${title} is told once and passed over`,
  told,
  attack: async (siege, hostile) => spread(siege, hostile, make(hostile, siege)),
});
const harmless = (
  title: string,
  make: (hostile: HostileMember, siege: Siege) => Uint8Array[],
  holds: (siege: Siege, hostile: HostileMember) => unknown,
): HostileCase => ({
  title,
  attack: async (siege, hostile) => {
    await spread(siege, hostile, make(hostile, siege));
    await holds(siege, hostile);
  },
});
const many = <T>(lengthCount: number, make: (at: number) => T): T[] =>
  Array.from({ length: lengthCount }, (_, at) => make(at));

const puppets = many(100, (at) => new LedgerAuthor(`puppet ${at}`));

const cases: HostileCase[] = [
  refused("garbage", /no member writes/, () => [noise("garbage", 1000)]),
  refused("a flood of garbage", /no member writes/, () =>
    many(count(300, 3000), (at) => Buffer.concat([Buffer.of(0xff), noise(`${at}`, 100)])),
  ),
  refused("a message above the limit", /at most/, () => [
    encodeCbor({ log: Buffer.alloc(limits.gossipBytes), last: 1 }),
  ]),
  refused("a message with a field too many", /not a message/, (hostile) => [
    encodeCbor({ certificate: hostile.author.log.bytes, entry: hostile.author.entry(), more: 1 }),
  ]),
  refused("the end of a log that is none", /not a message/, () => [encodeCbor({ log: Buffer.alloc(31), last: 1 })]),
  refused("an entry with a wrong signature", /not signed/, (hostile) => {
    const entry = hostile.author.entry({ seq: 3 });
    entry[entry.length - 1]! ^= 1;
    return [gossipMessage(entry, hostile.author.log.bytes)];
  }),
  refused("an entry with the certificate of another log", /not known/, (hostile) => [
    gossipMessage(new LedgerAuthor("nobody").entry(), hostile.author.log.bytes),
  ]),
  refused("an entry in an honest site's log", /not signed/, (hostile, { honest }) => {
    const { log } = honest.author;
    return [gossipMessage(hostile.author.entry({ seq: 999, logId: log.id }), log.bytes)];
  }),
  refused("two entries of one place", /two machines/, (hostile) => [
    good(hostile, 3, { a: 1 }),
    good(hostile, 3, { a: 2 }),
    good(hostile, 3, { a: 3 }),
  ]),
  harmless(
    "ends of an honest log that it never reaches are asked for once",
    (hostile, { honest }) =>
      many(count(200, 2000), (at) =>
        lastMessage({ log: honest.author.log.id, last: 1_000_000 + at, roster: parseRosterHash("ab".repeat(32)) }),
      ),
    () => undefined,
  ),
  harmless(
    "entries of sites that are no members are not kept",
    () => puppets.map((author) => gossipMessage(author.entry(), author.log.bytes)),
    ({ victim }) => assert.ok(puppets.every(({ log }) => victim.parts.ledger.log(log.id) === undefined)),
  ),
  harmless(
    "the same entry a hundred times is kept once",
    (hostile) => Array<Buffer>(100).fill(good(hostile, 5)),
    (siege, { author }) => assert.ok(siege.victim.parts.ledger.log(author.log.id)!.held(5)),
  ),
  harmless(
    "an entry that was withdrawn does not come back",
    ({ author }) => {
      const [said, retire] = [author.entry(), author.retire(author.log, [0, 0])];
      return [said, retire, said].map((entry) => gossipMessage(entry, author.log.bytes));
    },
    (siege, { author }) => assert.equal(siege.victim.parts.ledger.log(author.log.id)!.held(0), undefined),
  ),
];
testHostile(test, cases);
test.run();
