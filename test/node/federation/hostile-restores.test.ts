/**
 * Goal: by restore tickets and orders for drills nobody gets an owner's primes but whom the owner means, while they count, and nobody costs more
 * than one drill. Method: a hostile member shows them by hand, wrong in one thing each: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { drillProtocol, gatheredAnswer } from "#node/drills/drill-messages.ts";
import { type DrillOrder, signDrillOrder } from "#node/replication/drill-order.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { primesProtocol } from "#node/replication/primes-messages.ts";
import type { CborMap } from "#protocol/cbor.ts";
import { type PrimeId, parsePrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type RestoreTicket, signRestoreTicket } from "#protocol/restore-ticket.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { hex, idsOf, poison, primeIn, replicate } from "#test/support/hostile-run.ts";
import { recoveryKeyOf } from "#test/support/ledger-author.ts";
import { count } from "#test/support/level.ts";
import { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile restores and drills", { timeoutMs: 60_000 });
const HOUR_MS = 3_600_000;

const honestIds = async (siege: Siege): Promise<PrimeId[]> =>
  (await Array.fromAsync(siege.victim.store.kept(siege.honest.siteId))).flat().slice(0, 10);

/** Of the honest owner, for the hostile member, wrong as `changes` say. */
const ticket = (
  { honest, victim }: Siege,
  { key }: HostileMember,
  changes: Partial<RestoreTicket> = {},
  signer = "honest",
): Buffer => {
  const expiresMs = victim.clock.now() + limits.restoreTicketLifeMs;
  const fields = { siteId: honest.siteId, peer: key, id: Buffer.alloc(16, 7), expiresMs };
  return signRestoreTicket({ ...fields, ...changes }, recoveryKeyOf(signer).seed);
};

const fetchBy = async (siege: Siege, proof: CborMap): Promise<CborMap> => ({
  ...{ kind: "fetch", owner: hex(siege.honest.siteId), ids: await idsOf(siege, siege.honest.siteId) },
  ...proof,
});

/** One question, which is refused with this code. */
const refused = (
  title: string,
  code: string,
  told: RegExp,
  make: (siege: Siege, hostile: HostileMember) => Promise<CborMap>,
  protocol: Protocol = primesProtocol,
): HostileCase => ({
  title,
  told,
  attack: async (siege, hostile) => {
    const channel = await hostile.open(protocol);
    assert.equal(await hostile.codeOf(channel, await make(siege, hostile)), code);
  },
});

const ticketCases: HostileCase[] = [
  refused(
    "a ticket that another site's kit has signed is none",
    "signature-invalid",
    /recovery key/,
    async (siege, me) => fetchBy(siege, { ticket: ticket(siege, me, {}, me.name) }),
  ),
  refused("a ticket with a bit flipped is none", "signature-invalid", /not signed/, async (siege, me) => {
    const forged = ticket(siege, me);
    forged[forged.length - 1]! ^= 1;
    return fetchBy(siege, { ticket: forged });
  }),
  refused(
    "a ticket that was made for another helper is refused",
    "peer-refused",
    /for another site/,
    async (siege, me) => fetchBy(siege, { ticket: ticket(siege, me, { peer: siege.honest.key }) }),
  ),
  refused("a ticket of one's own site opens no other's", "peer-refused", /another owner/, async (siege, me) =>
    fetchBy(siege, { ticket: ticket(siege, me, { siteId: me.siteId }, me.name) }),
  ),
  refused("a ticket that has expired is refused", "peer-refused", /has expired/, async (siege, me) => {
    const expiresMs = siege.victim.clock.now() - limits.restoreTicketToleranceMs - 1;
    return fetchBy(siege, { ticket: ticket(siege, me, { expiresMs }) });
  }),
  refused("a ticket that is good for ever is refused", "peer-refused", /for too long/, async (siege, me) => {
    const leastMs = limits.restoreTicketLifeMs + limits.restoreTicketToleranceMs;
    return fetchBy(siege, { ticket: ticket(siege, me, { expiresMs: siege.victim.clock.now() + leastMs + 1 }) });
  }),
  refused("a ticket that is too long is no message", "bad-encoding", /not a message/, async (siege) =>
    fetchBy(siege, { ticket: Buffer.alloc(limits.restoreTicketBytes + 1) }),
  ),
  refused("what is no ticket is none", "bad-encoding", /ticket|CBOR|encod/, async (siege) =>
    fetchBy(siege, { ticket: Buffer.from("let me in") }),
  ),
  {
    title: "a ticket that was cancelled is refused when it is shown again",
    told: /was cancelled/,
    attack: async (siege, me) => {
      const bytes = ticket(siege, me, { id: Buffer.alloc(16, 8) });
      const channel = await me.open(primesProtocol);
      assert.equal(await me.codeOf(channel, { kind: "cancel", ticket: bytes }), "cancelled");
      assert.equal(await me.codeOf(channel, await fetchBy(siege, { ticket: bytes })), "peer-refused");
    },
  },
  refused("nobody cancels the ticket of another helper", "peer-refused", /for another site/, async (siege, me) => ({
    kind: "cancel",
    ticket: ticket(siege, me, { peer: siege.honest.key }),
  })),
];

/** Of the honest owner for the hostile member, wrong as `changes` say. */
const order = async (
  siege: Siege,
  me: HostileMember,
  changes: Partial<DrillOrder> = {},
  seed: Uint8Array = siege.honest.author.seed,
): Promise<Buffer> => {
  const expiresMs = siege.victim.clock.now() + limits.drillOrderLifeMs;
  const fields = { owner: siege.honest.siteId, gatherer: me.key, ids: await honestIds(siege), expiresMs };
  return signDrillOrder({ ...fields, ...changes }, seed);
};
const gather = async (siege: Siege, me: HostileMember, changes: Partial<DrillOrder> = {}): Promise<CborMap> => ({
  kind: "gather",
  order: await order(siege, me, { owner: me.siteId, gatherer: siege.victim.key, ...changes }, me.author.seed),
});

const orderCases: HostileCase[] = [
  refused(
    "an order that the owner's machine has not signed opens nothing",
    "signature-invalid",
    /not signed/,
    async (siege, me) => fetchBy(siege, { order: await order(siege, me, {}, me.author.seed) }),
  ),
  refused("an order for another gatherer opens nothing", "peer-refused", /for another site/, async (siege, me) =>
    fetchBy(siege, { order: await order(siege, me, { gatherer: siege.honest.key }) }),
  ),
  refused("an order opens no other primes than it names", "peer-refused", /for other primes/, async (siege, me) =>
    fetchBy(siege, { order: await order(siege, me, { ids: [parsePrimeId("11".repeat(32))] }) }),
  ),
  refused("an order that has expired opens nothing", "peer-refused", /has expired/, async (siege, me) => {
    const expiresMs = siege.victim.clock.now() - 2 * HOUR_MS;
    return fetchBy(siege, { order: await order(siege, me, { expiresMs }) });
  }),
  refused("an order that is good for ever opens nothing", "peer-refused", /for too long/, async (siege, me) => {
    const expiresMs = siege.victim.clock.now() + limits.drillOrderLifeMs + limits.restoreTicketToleranceMs + 1;
    return fetchBy(siege, { order: await order(siege, me, { expiresMs }) });
  }),
  refused(
    "an order of one's own opens no other owner's primes",
    "peer-refused",
    /for other primes/,
    async (siege, me) => fetchBy(siege, { order: await order(siege, me, { owner: me.siteId }, me.author.seed) }),
  ),
];

const drillCases: HostileCase[] = [
  refused(
    "nobody has a drill done by the order of another owner",
    "peer-refused",
    /comes from its owner/,
    async (siege, me) => ({ kind: "gather", order: await order(siege, me, { gatherer: siege.victim.key }) }),
    drillProtocol,
  ),
  refused(
    "a drill of more primes than one takes is refused",
    "bad-encoding",
    /order for a drill/,
    async (siege, me) => {
      const ids = Array.from({ length: limits.drillOrderIdsCount + 1 }, () => poison.id);
      return gather(siege, me, { ids });
    },
    drillProtocol,
  ),
  refused(
    "what is no order is none",
    "bad-encoding",
    /CBOR/,
    async () => ({
      ...{ kind: "gather", order: Buffer.alloc(1000, 0xa5) },
    }),
    drillProtocol,
  ),
  refused(
    "a message that is none of a drill is refused",
    "bad-encoding",
    /not a message/,
    async () => ({
      ...{ kind: "result", failedCount: 0 },
    }),
    drillProtocol,
  ),
  {
    title: "a drill for what one does not own gathers nothing of it, and is not signed before its result",
    attack: async (siege, me) => {
      const channel = await me.open(drillProtocol);
      const ids = await honestIds(siege);
      const answer = await me.ask(channel, encodeMessage(await gather(siege, me, { ids })));
      const told = decodeMessage(answer!, gatheredAnswer);
      assert.ok(told.kind === "gathered");
      assert.deepEqual(told.lacking, ids);
      await closed(channel);
      assert.equal(witnessed(siege, me), undefined);
    },
  },
  {
    title: "of a flood of drills one is done, and the others are refused at once",
    told: /just now/,
    attack: async (siege, me) => {
      await (await replicate(siege, me, [poison])).close();
      const first = await me.open(drillProtocol);
      const ask = await gather(siege, me, { ids: [poison.id] });
      assert.equal(await me.codeOf(first, ask), "batch");
      assert.equal(await me.codeOf(first, { kind: "result", failedCount: 0 }), "gathered");
      assert.notEqual(await first.receive(), undefined, "witnessed");
      await closed(first);
      for (let at = 0; at < count(50, 500); at++) {
        const channel = await me.open(drillProtocol);
        assert.equal(await me.codeOf(channel, ask), "too-many-requests");
        await closed(channel);
      }
      assert.equal(witnessed(siege, me)?.primesCount, 1);
    },
  },
  {
    title: "a result of more failures than there were primes is not signed",
    told: /not a message/,
    attack: async (siege, me) => {
      const channel = await me.open(drillProtocol);
      assert.equal(await me.codeOf(channel, await gather(siege, me, { ids: [poison.id] })), "gathered");
      const result = { kind: "result", failedCount: limits.drillOrderIdsCount + 1 };
      assert.equal(await me.codeOf(channel, result), "bad-encoding");
      assert.equal(witnessed(siege, me), undefined);
    },
  },
  {
    title: "who takes nothing of what was gathered for it keeps nobody else from drills and copies",
    diskBytes: 32 * 1024 * 1024,
    attack: async (siege, me) => {
      const large = Array.from({ length: 6 }, (_, at) => ({ ...primeOfSlice(at) }));
      await (await replicate(siege, me, large)).close();
      const channel = await me.open(drillProtocol);
      await channel.send(encodeMessage(await gather(siege, me, { ids: large.map(({ id }) => id) })));
      const other = await siege.hostile("another with a drill");
      const theirs = await other.open(drillProtocol);
      assert.equal(await other.codeOf(theirs, await gather(siege, other, { ids: [poison.id] })), "gathered");
      await closed(theirs);
      await siege.repel(other);
    },
  },
];

const primeOfSlice = (at: number) => primeIn(0, `large ${at}`, 150_000);

const witnessed = ({ victim }: Siege, { siteId }: HostileMember) =>
  victim.parts.ledger.statement(victim.siteId, "drill-witness", siteId)?.statement;

async function closed(channel: Channel): Promise<void> {
  await channel.close();
  while ((await channel.receive().catch(() => undefined)) !== undefined);
}

testHostile(test, [...ticketCases, ...orderCases, ...drillCases]);
test("who was expelled gets nothing by a ticket that was good, and no drill", async () => {
  await using siege = await Siege.open();
  const me = await siege.hostile("expelled");
  await siege.decide({ action: "remove", siteId: me.siteId, heads: [] });
  const asked = async (protocol: Protocol, message: CborMap): Promise<string> => {
    try {
      return await me.codeOf(await me.open(protocol), message);
    } catch {
      return "not let in";
    }
  };
  const answers = [
    await asked(primesProtocol, await fetchBy(siege, { ticket: ticket(siege, me) })),
    await asked(primesProtocol, await fetchBy(siege, { order: await order(siege, me) })),
    await asked(drillProtocol, await gather(siege, me)),
  ];
  assert.ok(
    answers.every((answer) => answer === "not let in" || answer === "ended"),
    answers.join(),
  );
  await siege.assertServes();
  await me[Symbol.asyncDispose]();
});
test.run();
