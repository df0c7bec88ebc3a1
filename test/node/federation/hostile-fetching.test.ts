/** Goal: nobody gets or proves what is another's. Method: a hostile member asks for primes and audits by hand: test/support/hostile-case.ts. */
import assert from "node:assert/strict";
import { auditAnswer } from "#ledger/audit-sample.ts";
import { decodeMessage, encodeMessage } from "#node/replication/frame-codec.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { auditAnswerMessage, auditProtocol, primesProtocol } from "#node/replication/primes-messages.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { CborMap } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { batch, hex, idsOf, poison, replicate, reserve } from "#test/support/hostile-run.ts";
import { count } from "#test/support/level.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile fetching", { timeoutMs: 60_000 });

/** One question on another protocol, which is refused. */
const refusedQuestion = (
  title: string,
  protocol: typeof primesProtocol,
  told: RegExp,
  make: (siege: Siege, hostile: HostileMember) => Promise<CborMap>,
): HostileCase => ({
  title,
  told,
  attack: async (siege, hostile) => {
    const channel = await hostile.open(protocol);
    assert.match(await hostile.codeOf(channel, await make(siege, hostile)), /^(peer-refused|bad-encoding)$/);
  },
});
const nonce = Buffer.alloc(32, 9);

const cases: HostileCase[] = [
  refusedQuestion(
    "an honest owner's primes are not given to who holds nothing",
    primesProtocol,
    /not for this site/,
    async (siege) => ({
      ...{ kind: "fetch", owner: hex(siege.honest.siteId), ids: await idsOf(siege, siege.honest.siteId) },
    }),
  ),
  refusedQuestion("more ids than may be fetched at once are refused", primesProtocol, /ids/, async (_, hostile) => ({
    ...{ kind: "fetch", owner: hex(hostile.siteId), ids: Buffer.alloc(32 * (limits.fetchIdsCount + 1)) },
  })),
  refusedQuestion(
    "no audit of others' primes is answered to who holds none",
    auditProtocol,
    /not for this site/,
    async (siege) => ({
      ...{ kind: "audit", owner: hex(siege.honest.siteId), nonce, ids: await idsOf(siege, siege.honest.siteId) },
    }),
  ),
  refusedQuestion("an audit of more primes than one asks for is refused", auditProtocol, /ids/, async (_, hostile) => ({
    ...{ kind: "audit", owner: hex(hostile.siteId), nonce, ids: Buffer.alloc(32 * (limits.auditPrimesCount + 1)) },
  })),
  refusedQuestion("an audit with a short nonce is refused", auditProtocol, /not a message/, async (_, hostile) => ({
    ...{ kind: "audit", owner: hex(hostile.siteId), nonce: Buffer.alloc(31), ids: Buffer.alloc(0) },
  })),
  {
    title: "who fetches primes of others as its own is told that they are not there",
    attack: async (siege, hostile) => {
      const channel = await hostile.open(primesProtocol);
      const ids = await idsOf(siege, siege.honest.siteId);
      const fetch = { kind: "fetch", owner: hex(hostile.siteId), ids };
      assert.equal(await hostile.codeOf(channel, fetch), "fetched");
    },
  },
  {
    title: "audits without end are answered, and others are served",
    attack: async (siege, hostile) => {
      await (await replicate(siege, hostile, [poison])).close();
      for (let at = 0; at < count(100, 1000); at++) {
        const channel = await hostile.open(auditProtocol);
        const ask = { kind: "audit", owner: hex(hostile.siteId), nonce, ids: hex(poison.id) };
        assert.equal(await hostile.codeOf(channel, ask), "answer");
        await channel.close();
        await channel.receive();
      }
    },
  },
  {
    title: "who has given a receipt gets neither the primes nor an answer that it could give as its own",
    told: /not for this site/,
    attack: async (siege, hostile) => {
      const owner = await siege.hostile("an owner with two holders");
      const holders = [siege.victim.siteId, hostile.siteId].toSorted();
      const run = await owner.open(replicateProtocol);
      const entry = owner.author.say({ kind: "placement", slice: 0, holders });
      assert.equal(await owner.codeOf(run, reserve(siege, owner, { entry })), "granted");
      assert.equal(await owner.codeOf(run, batch(poison)), "kept");
      const said = { slice: 0, generation: 1, count: 1, bytes: 100, hash: hashOfSet([poison.id]), snapshots: 1 };
      const receipt = hostile.author.say({ kind: "receipt", owner: owner.siteId, ...said });
      await siege.victim.parts.ledger.offer({ entries: [receipt] });
      const audit = await hostile.open(auditProtocol);
      await audit.send(encodeMessage({ kind: "audit", owner: hex(owner.siteId), nonce, ids: hex(poison.id) }));
      const answered = decodeMessage((await audit.receive())!, auditAnswerMessage);
      assert.ok(answered.kind === "answer" && answered.answer !== null);
      assert.notDeepEqual(Buffer.from(answered.answer), auditAnswer(nonce, hostile.siteId, poison.stored));
      const channel = await hostile.open(primesProtocol);
      const fetch = { kind: "fetch", owner: hex(owner.siteId), ids: hex(poison.id) };
      assert.equal(await hostile.codeOf(channel, fetch), "peer-refused");
      await siege.repel(owner);
    },
  },
];
testHostile(test, cases);
test.run();
