/**
 * Goal: a holder that lies is not believed: no copy of it counts, and the others are served. Method: the besieged site is the owner, and a
 * hostile member answers its runs, audits and fetches by hand: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { auditAnswer } from "#ledger/audit-sample.ts";
import { parseEntry } from "#ledger/entry.ts";
import type { Channel } from "#ledger/peers.ts";
import { sliceOf } from "#ledger/slice.ts";
import { type StatementOf, readStatements } from "#ledger/statements.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { auditProtocol, auditRequest, primesProtocol, primesRequest } from "#node/replication/primes-messages.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import { type StoredPrime } from "#protocol/batch.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { batch as batchFrame } from "#test/support/hostile-run.ts";
import { type Lies, backUp, eventOf, holding, invite, owned, storedOf } from "#test/support/hostile-holder.ts";
import { primeOf, type Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile holders", { timeoutMs: 60_000 });
const HOUR_MS = 3_600_000;

/** Of its copies none is believed. */
function assertNothingCounts({ victim }: Siege, { siteId }: HostileMember): void {
  const { placement } = victim.parts.replication;
  for (let slice = 0; slice < 16; slice++) assert.ok(!placement.toPlace(victim.siteId, slice).stored.has(siteId));
}

/** The run with it fails, and is told. */
const lying = (title: string, told: RegExp, lies: Lies): HostileCase => ({
  title: `${title} ends the run`,
  told,
  attack: async (siege, hostile) => {
    hostile.serve(replicateProtocol, holding(siege, hostile, lies));
    const failed = eventOf(siege, hostile.siteId, ["run-failed"]);
    await invite(siege, hostile);
    await failed;
    assertNothingCounts(siege, hostile);
  },
});

const receiptLike = (title: string, changed: (receipt: StatementOf<"receipt">) => object): HostileCase =>
  lying(title, /no receipt for what was sent/, {
    finish: (hostile, siege, { entry }) => {
      const receipt = readStatements(parseEntry(entry as Uint8Array))[0] as StatementOf<"receipt">;
      return { kind: "receipt", entry: hostile.author.say({ ...receipt, ...changed(receipt) } as never) };
    },
  });

/** A holder that has given its receipts is audited, and answers so; what comes of it by then. */
const audited = (
  title: string,
  told: RegExp | undefined,
  answer: (
    channel: Channel,
    ask: { nonce: Uint8Array; ids: readonly PrimeId[] },
    siege: Siege,
    hostile: HostileMember,
  ) => Promise<void>,
): HostileCase => ({
  title,
  ...(told && { told }),
  attack: async (siege, hostile) => {
    const { victim } = siege;
    const answered = Promise.withResolvers<void>();
    hostile.serve(replicateProtocol, holding(siege, hostile, {}));
    hostile.serve(auditProtocol, async (channel) => {
      const frame = await channel.receive();
      if (frame === undefined) return;
      await answer(channel, decodeMessage(frame, auditRequest), siege, hostile);
      answered.resolve();
    });
    const ended = eventOf(siege, hostile.siteId, ["run-ended"]);
    await invite(siege, hostile);
    assert.equal(await ended, "run-ended");
    for (let hours = 0; hours < 3; hours++) victim.clock.pass(HOUR_MS);
    victim.parts.replication.now();
    await answered.promise;
    const auditOf = () => victim.parts.ledger.statement(victim.siteId, "audit", `${hostile.siteId}/${victim.siteId}`);
    await siege.until(() => auditOf() !== undefined);
    if (told === undefined) return;
    assert.ok(auditOf()!.statement.wrongCount > 0);
    assertNothingCounts(siege, hostile);
    const codes = (await victim.federation.alarms()).map(({ code }) => code);
    assert.ok(codes.includes("audit-failed"));
  },
});
const proving =
  (make: (id: PrimeId, nonce: Uint8Array, siege: Siege, hostile: HostileMember) => Buffer | null) =>
  async (
    channel: Channel,
    { nonce, ids }: { nonce: Uint8Array; ids: readonly PrimeId[] },
    siege: Siege,
    hostile: HostileMember,
  ) => {
    for (const id of ids)
      await channel.send(encodeMessage({ kind: "answer", answer: make(id, nonce, siege, hostile) }));
  };

/** The besieged site has lost a prime that the honest one has, and both say to have; it gets it back. */
const healing = (
  title: string,
  told: RegExp,
  send: (channel: Channel, wanted: StoredPrime) => Promise<void>,
): HostileCase => ({
  title,
  told,
  comesFirst: true,
  attack: async (siege, hostile) => {
    const { victim } = siege;
    hostile.serve(replicateProtocol, holding(siege, hostile, {}));
    hostile.serve(primesProtocol, async (channel) => {
      const request = decodeMessage((await channel.receive())!, primesRequest);
      const ids = request.kind === "fetch" ? request.ids : [];
      await send(channel, { id: ids[0]!, stored: storedOf.get(ids[0]!)! });
    });
    const ended = eventOf(siege, hostile.siteId, ["run-ended"]);
    await invite(siege, hostile);
    assert.equal(await ended, "run-ended");
    // Of an even slice the first of two holders is asked first.
    const { id } = owned.find((prime) => sliceOf(prime.id) % 2 === 0)!;
    await victim.store.remove([id]);
    const isBack = async (): Promise<boolean> =>
      (await Array.fromAsync(victim.store.lostOf(victim.siteId))).flat().length === 0;
    victim.clock.pass(HOUR_MS / 4);
    await siege.until(isBack);
  },
});

const cases: HostileCase[] = [
  receiptLike("a receipt for another hash", () => ({ hash: "00".repeat(32) })),
  receiptLike("a receipt for another generation", () => ({ generation: 999 })),
  receiptLike("a receipt for another slice", ({ slice }) => ({ slice: (slice + 1) % 16 })),
  lying("another site's receipt", /no receipt for what was sent/, {
    finish: async (_, { victim, honest }) => {
      const { ledger } = victim.parts;
      const { logId, seq } = ledger.statement(honest.siteId, "receipt", `${victim.siteId}/0`)!;
      return { kind: "receipt", entry: (await ledger.entry(logId, seq))! };
    },
  }),
  lying("a receipt that is not signed", /not signed|not known/, {
    finish: (_, __, { entry }) => {
      const bytes = Buffer.from(entry as Uint8Array);
      bytes[bytes.length - 1]! ^= 1;
      return { kind: "receipt", entry: bytes };
    },
  }),
  lying("an entry of another kind for a receipt", /no receipt for what was sent/, {
    finish: ({ author }) => ({ kind: "receipt", entry: author.entry() }),
  }),
  lying("to keep more primes than were sent", /keeps other primes/, {
    batch: (sentCount) => ({ kind: "kept", count: sentCount + 1 }),
  }),
  lying("to keep 2⁵³ primes", /not a message/, { batch: () => ({ kind: "kept", count: 2n ** 53n }) }),
  lying("to differ for ever", /differs at the holder/, {
    finish: () => ({ kind: "differs", count: 0, hash: Buffer.alloc(32) }),
  }),
  lying("an answer to another question", /where granted is due/, { reserve: () => ({ kind: "kept", count: 1 }) }),
  lying("an answer that is no message", /not a message|CBOR/, { reserve: () => randomBytes(50).fill(0xf7, 0, 1) }),
  lying("a comparison of chance", /comparison|answer|tags|count/, {
    compare: () => ({ kind: "compared", answer: Buffer.from("a16173440a0b0c0d", "hex") }),
  }),
  lying("a comparison that is no answer", /CBOR|comparison|expected/, {
    compare: () => ({ kind: "compared", answer: Buffer.alloc(100, 0xff) }),
  }),
  lying("tags by the million", /bytes after the value/, {
    compare: (answer) => ({ kind: "compared", answer: Buffer.concat([answer, Buffer.alloc(1_000_000)]) }),
  }),
  lying("a refusal with another code than there is", /the other site refuses/, {
    batch: () => ({ kind: "refused", code: "internal", message: "x".repeat(9000) }),
  }),
  {
    title: "who refuses what it offers gets no place for a day",
    attack: async (siege, hostile) => {
      const { victim } = siege;
      hostile.serve(
        replicateProtocol,
        holding(siege, hostile, { reserve: () => ({ kind: "refused", code: "quota-exceeded", message: "full" }) }),
      );
      const ended = eventOf(siege, hostile.siteId, ["run-ended"]);
      await invite(siege, hostile, 1e13);
      assert.equal(await ended, "run-ended");
      assertNothingCounts(siege, hostile);
      assert.ok(
        victim.parts.replication.placement.candidates(victim.siteId).find(({ siteId }) => siteId === hostile.siteId)!
          .refuses,
      );
    },
  },
  {
    title: "who offers nothing is given nothing",
    attack: async (siege, hostile) => {
      await invite(siege, hostile, 0);
      await siege.synchronise();
      const placed = siege.victim.parts.ledger.statements(siege.victim.siteId, "placement");
      assert.ok(placed.every(({ statement }) => !statement.holders.includes(hostile.siteId)));
    },
  },
  {
    title: "who closes in the middle of a run is left until later",
    attack: async (siege, hostile) => {
      hostile.serve(replicateProtocol, holding(siege, hostile, { batch: () => undefined }));
      const failed = eventOf(siege, hostile.siteId, ["run-failed"]);
      await invite(siege, hostile);
      await failed;
      assertNothingCounts(siege, hostile);
    },
  },
  audited(
    "who has thrown away what it gave receipts for is found out",
    /could not be proven/,
    proving(() => randomBytes(32)),
  ),
  audited(
    "who says to lack what it gave receipts for is found out",
    /could not be proven/,
    proving(() => null),
  ),
  audited(
    "answers to another nonce prove nothing",
    /could not be proven/,
    proving((id, _, __, { siteId }) => auditAnswer(Buffer.alloc(32), siteId, storedOf.get(id)!)),
  ),
  audited(
    "the answers of another holder prove nothing",
    /could not be proven/,
    proving((id, nonce, { honest }) => auditAnswer(nonce, honest.siteId, storedOf.get(id)!)),
  ),
  audited(
    "answers in another order prove nothing",
    /could not be proven/,
    async (channel, { nonce, ids }, siege, hostile) =>
      proving((id, key) => auditAnswer(key, hostile.siteId, storedOf.get(id)!))(
        channel,
        { nonce, ids: ids.toReversed() },
        siege,
        hostile,
      ),
  ),
  audited(
    "who ends an audit without an answer is not believed a word more, and not yet found out",
    undefined,
    async () => undefined,
  ),
  healing("who sends other bytes for a lost prime is passed over", /not have the id|bytes|prime/, (channel, { id }) =>
    channel.send(batchFrame({ id, stored: randomBytes(500) })),
  ),
  healing("who sends primes that nobody asked for is passed over", /unasked/, (channel) =>
    channel.send(batchFrame(primeOf("unasked"))),
  ),
  healing("who sends a batch that is cut short is passed over", /cut short/, (channel, wanted) =>
    channel.send(batchFrame(wanted).subarray(0, 100)),
  ),
  healing("who refuses what it is asked for is passed over", /the other site refuses/, (channel) =>
    channel.send(encodeMessage({ kind: "refused", code: "too-many-requests", message: "" })),
  ),
  {
    title: "who never answers keeps no other from being served",
    attack: async (siege, hostile) => {
      const { victim, honest } = siege;
      const asked = Promise.withResolvers<void>();
      hostile.serve(replicateProtocol, async (channel) => {
        await channel.receive();
        asked.resolve();
        await channel.receive();
      });
      await invite(siege, hostile);
      await asked.promise;
      await siege.synchronise();
      assert.ok(victim.parts.replication.placement.toPlace(victim.siteId, 0).stored.has(honest.siteId));
      assertNothingCounts(siege, hostile);
    },
  },
];
testHostile(test, cases, backUp);
test.run();
