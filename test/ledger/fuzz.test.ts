/**
 * Goal: nothing that a peer or a person sends makes a reader throw anything but an error with a code, or take long. Method:
 * seeded damage of valid samples: of messages as they are, and of what is signed, with a right signature over the damage.
 */
import assert from "node:assert/strict";
import { Replica, firstRoster, signedRoster } from "#test/support/replica.ts";
import { openLog, parseEntry } from "#ledger/entry.ts";
import { parseRosterHash } from "#protocol/ids.ts";
import { gossipMessage, lastMessage, readGossip } from "#ledger/gossip.ts";
import { formatInvitation, parseInvitation } from "#ledger/invitation.ts";
import { answerJoin, joinProtocol } from "#ledger/join.ts";
import { peerKeyOf } from "#ledger/membership.ts";
import { changeOf } from "#ledger/roster-chain.ts";
import { parseRoster, parseRosterBody, signersOf } from "#ledger/roster.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { encodePage, encodeSyncRequest, parseComparison, parsePage, parseSyncRequest } from "#ledger/sync-messages.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { channelPair } from "#test/support/channel-pair.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { count } from "#test/support/level.ts";
import { mutate } from "#test/support/mutation.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { suite } from "#test/support/suite.ts";
import { wholeFrame } from "#test/support/whole-frame.ts";

const test = suite("ledger fuzz", { timeoutMs: 20 * 60_000 });

const author = new LedgerAuthor("one");
const { log } = author;
const { bytes: roster, federationId } = firstRoster(author);
const ranges = SeqRanges.parse(
  [
    [0, 5],
    [7, 9],
  ],
  2,
);
const known = {
  log: Buffer.from(log.id, "hex"),
  certificate: log.bytes,
  known: ranges.ranges,
  retires: [],
  fork: null,
};
const ledger = { digest: () => "12".repeat(32) };
const peer = peerKeyOf(log);
const invitation = { addresses: ["/ip4/192.0.2.1"], expiresMs: 1, federationId, secret: Buffer.alloc(16), peer };

const read: Record<string, { readonly samples: readonly Buffer[]; readonly read: (bytes: Buffer) => unknown }> = {
  entry: { samples: [author.entry(), author.retire(log, [0, 3])], read: parseEntry },
  certificate: { samples: [Buffer.from(log.bytes)], read: openLog },
  roster: { samples: [roster], read: (bytes) => signersOf(parseRoster(bytes), () => true) },
  "roster body, signed": {
    samples: [Buffer.from(parseRoster(roster).body)],
    read: (bytes) => changeOf(parseRoster(roster), parseRosterBody(parseRoster(signedRoster(bytes, [author])).body)),
  },
  invitation: {
    samples: [Buffer.from(formatInvitation(invitation))],
    read: (bytes) => parseInvitation(bytes.toString("latin1")),
  },
  gossip: {
    samples: [
      gossipMessage(author.entry(), log.bytes),
      lastMessage({ log: log.id, last: 7, roster: parseRosterHash("ab".repeat(32)) }),
    ],
    read: readGossip,
  },
  request: {
    samples: [
      encodeSyncRequest({ ask: "compare", digest: ledger.digest(), roster: null }),
      encodeSyncRequest({ ask: "logs", logs: [log.id] }),
      encodeSyncRequest({ ask: "entries", log: log.id, ranges }),
    ],
    read: parseSyncRequest,
  },
  answer: {
    samples: [encodePage("logs", [known], false), encodePage("entries", [author.entry()], true)],
    read(bytes) {
      for (const name of ["rosters", "summary", "logs", "entries"] as const) attempt(() => parsePage(name, bytes));
      attempt(() => parseComparison(bytes));
    },
  },
};

function attempt(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof CostorError)) throw error;
    assert.notEqual(error.code, "internal");
  }
}

for (const [name, { samples, read: reader }] of Object.entries(read)) {
  const casesCount = count(1500, 100_000);
  test(`${name}: ${casesCount} damaged samples`, () => {
    for (const sample of samples) reader(sample);
    for (let seed = 1; seed <= casesCount; seed++) {
      const bytes = mutate(samples, seededRandom(seed));
      attempt(() => {
        try {
          reader(bytes);
        } catch (error) {
          if (error instanceof CostorError) throw error;
          throw new Error(`seed ${seed}: ${bytes.toString("hex")}`, { cause: error });
        }
      });
    }
  });
}

test("whole conversations with damaged frames end, with a code, and leave the ledger as it was or better", async () => {
  const founder = await Replica.found("founder");
  const guest = await Replica.open("guest");
  await founder.letIn(guest);
  for (let slice = 0; slice < 8; slice++) await founder.own.write({ kind: "placement", slice, holders: [] });
  const casesCount = count(150, 20_000);
  for (let seed = 1; seed <= casesCount; seed++) {
    const asker = await Replica.open("guest");
    await asker.membership.enter(await Array.fromAsync(founder.membership.rosters()), founder.membership.federationId!);
    const chance = seededRandom(seed);
    const { channels } = channelPair(ledgerProtocol);
    const [asking, answering] = channels;
    // A frame now and then is another.
    const send = answering.send.bind(answering);
    answering.send = (frame) => send(chance() < 0.3 ? mutate([wholeFrame(frame)], chance) : frame);
    const results = await Promise.allSettled([
      pullFrom(asking, asker),
      answerSync(answering, founder).finally(() => answering.abort()),
    ]);
    for (const result of results)
      if (result.status === "rejected") {
        const { reason } = result as { reason: unknown };
        assert.ok(reason instanceof CostorError && reason.code !== "internal", `seed ${seed}: ${reason as never}`);
      }
    assert.ok(asker.ledger.logs().every((state) => founder.ledger.log(state.log.id) !== undefined));
  }
});

test("a damaged question of a joiner ends with a code or an answer", async () => {
  const inviter = await Replica.found("inviter");
  const refuse = () => Promise.reject(new CostorError("invitation-invalid", "unknown"));
  const invitations = { listens: () => true, show: refuse };
  const components = { membership: inviter.membership, log: inviter.author.log, invitations };
  const sample = encodeCbor({ secret: Buffer.alloc(16), certificate: log.bytes, name: "Sea School" });
  for (let seed = 1; seed <= count(1000, 50_000); seed++) {
    const { channels } = channelPair(joinProtocol, { peers: [peer, peer] });
    await channels[0].send(mutate([sample], seededRandom(seed)));
    await answerJoin(channels[1], components).catch((error: unknown) =>
      assert.ok(error instanceof CostorError && error.code === "peer-misbehaved", `seed ${seed}: ${error as never}`),
    );
  }
});

test.run();
