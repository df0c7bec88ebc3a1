/**
 * Goal: an owner, or who says to be one, makes a holder keep nothing that it may not, gets nothing that is not its own, and makes it lose
 * nothing. Method: a hostile member speaks runs, fetches and audits by hand: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { encodeMessage } from "#node/replication/frame-codec.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { type CborMap, encodeCbor } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember } from "#test/support/hostile-member.ts";
import {
  batch,
  finish,
  granted,
  hex,
  idsOf,
  keptOf,
  liveSet,
  placement,
  poison,
  primeIn,
  replicate,
  reserve,
} from "#test/support/hostile-run.ts";
import { count } from "#test/support/level.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile owners", { timeoutMs: 60_000 });
/** Its frames in a run that was granted; the last one is answered so, and nothing is kept of it. */
const inRun = (
  title: string,
  told: RegExp | undefined,
  code: string,
  make: (hostile: HostileMember, siege: Siege) => (CborMap | Uint8Array) | Promise<CborMap | Uint8Array>,
): HostileCase => ({
  title,
  ...(told && { told }),
  attack: async (siege, hostile) => {
    const channel = await granted(siege, hostile);
    const answered = await hostile.codeOf(channel, await make(hostile, siege));
    // A refusal that is followed by the channel's end may be lost with it.
    assert.ok(answered === code || (answered === "ended" && told !== undefined), answered);
    assert.equal(await keptOf(siege, hostile.siteId), 0);
  },
});
const compare = (question: CborMap): CborMap => ({
  ...{ kind: "compare", key: Buffer.alloc(32, 7) },
  question: encodeCbor(question),
});

/** Asked without a run. */
const reserved = (
  title: string,
  code: string,
  told: RegExp,
  make: (hostile: HostileMember, siege: Siege) => CborMap,
): HostileCase => ({
  title,
  told,
  attack: async (siege, hostile) => {
    const channel = await hostile.open(replicateProtocol);
    const answered = await hostile.codeOf(channel, reserve(siege, hostile, make(hostile, siege)));
    assert.ok(answered === code || (code === "ended" && answered !== "granted"), answered);
    await channel.close();
  },
});

const cases: HostileCase[] = [
  inRun("a prime whose bytes are not those of its id is not kept", /prime/, "ended", () =>
    batch({ ...poison, stored: randomBytes(100) }),
  ),
  inRun("a prime of another slice is not kept", /another slice/, "ended", () => batch(primeIn(5, "other"))),
  inRun("a good prime beside one of another slice is not kept", /another slice/, "ended", () =>
    batch(poison, primeIn(5, "other")),
  ),
  inRun("more than was reserved is not kept", /more comes than was reserved/, "quota-exceeded", () => {
    return batch(primeIn(0, "large", 600_000), primeIn(0, "larger", 600_000));
  }),
  inRun("a batch that is cut short ends the run", /cut short/, "ended", () => batch(poison).subarray(0, 100)),
  inRun("a batch that says four thousand million bytes ends the run", /claims 4294967295 bytes/, "ended", () => {
    const bytes = batch(poison);
    bytes.writeUInt32BE(0xffff_ffff, 33);
    return bytes;
  }),
  inRun("a prime above the limit ends the run", /claims/, "ended", () =>
    batch({ id: poison.id, stored: Buffer.alloc(limits.primeStoredBytes + 1) }),
  ),
  inRun("a batch of more primes than a batch has ends the run", /more than 1024 primes/, "ended", () =>
    batch(...Array<StoredPrime>(1025).fill(poison)),
  ),
  inRun("a compressed message that says to be four gigabytes is not expanded", /at most/, "ended", () =>
    Buffer.from("00ffffffff00", "hex"),
  ),
  inRun("a compressed message of another length than it says ends the run", /compressed message/, "ended", () => {
    const message = encodeMessage({ kind: "compare", key: Buffer.alloc(32), question: Buffer.alloc(5000) });
    message.writeUInt32LE(message.readUInt32LE(1) + 1000, 1);
    return message;
  }),
  inRun("a compressed message that refers to before its start ends the run", /compressed message/, "ended", () =>
    Buffer.from("0000100000f0ffff10ffff00", "hex"),
  ),
  inRun("a message of a kind that there is not ends the run", /not a message/, "ended", () => ({
    kind: "format-disk",
  })),
  inRun("an empty frame ends the run", /ends too early/, "ended", () => Buffer.alloc(0)),
  inRun("a question about more prefixes than may be asked ends the run", /at most 8192 things/, "ended", () =>
    compare({ s: Buffer.alloc(2 * 8193, Buffer.from("0100", "hex")) }),
  ),
  inRun("a prefix of seventeen digits ends the run", /at most 16 digits/, "ended", () =>
    compare({ s: Buffer.concat([Buffer.of(17), Buffer.alloc(9)]) }),
  ),
  inRun("a prefix of another slice ends the run", /another slice/, "ended", () =>
    compare({ s: Buffer.from("0150", "hex") }),
  ),
  inRun("a prefix with other padding ends the run", /padded/, "ended", () =>
    compare({ s: Buffer.from("0101", "hex") }),
  ),
  inRun("a question that is cut short ends the run", /cut short/, "ended", () =>
    compare({ f: Buffer.from("010001", "hex") }),
  ),
  inRun("another site's live set gives no receipt", /newest live-set/, "peer-refused", async (_, { honest }) => {
    const { ledger } = honest.parts;
    const { logId, seq } = ledger.statements(honest.siteId, "live-set")[0]!;
    return finish((await ledger.entry(logId, seq))!);
  }),
  inRun("an older live set gives no receipt", /newest live-set/, "peer-refused", async (hostile, { victim }) => {
    const [old, newer] = [liveSet(hostile, []), liveSet(hostile, [poison], 2)];
    await victim.parts.ledger.offer({ entries: [newer] });
    return finish(old);
  }),
  inRun("a live set of what is not there gives no receipt", undefined, "differs", (hostile) =>
    finish(liveSet(hostile, [poison])),
  ),
  inRun("extras by the million end the run", /too many or broken ids/, "ended", (hostile) =>
    finish(liveSet(hostile, []), Buffer.alloc(32 * (limits.reconcileExtrasCount + 1))),
  ),
  inRun("broken extras end the run", /too many or broken ids/, "ended", (hostile) =>
    finish(liveSet(hostile, []), Buffer.alloc(33)),
  ),
  reserved("a reservation above the quota is refused", "quota-exceeded", /keeps 16777216 bytes for this owner/, () => ({
    bytes: 17 * 1024 * 1024,
  })),
  reserved("a reservation of all that there could be is refused", "quota-exceeded", /no room/, () => ({
    bytes: Number.MAX_SAFE_INTEGER,
  })),
  reserved("a reservation below 0 ends the run", "ended", /not a message/, () => ({ bytes: -1 })),
  reserved("a slice that is not placed here is refused", "peer-refused", /names this site/, (hostile) => ({
    entry: hostile.author.entry(),
  })),
  reserved("a slice that is placed elsewhere is refused", "peer-refused", /names this site/, (hostile, { honest }) => ({
    entry: hostile.author.say({ kind: "placement", slice: 0, holders: [honest.siteId] }),
  })),
  reserved("a slice of another owner is refused", "peer-refused", /names this site/, (_, { honest }) => ({
    owner: hex(honest.siteId),
  })),
  reserved(
    "who says to be the steward of an owner that did not choose it is refused",
    "peer-refused",
    /names this site/,
    (hostile, { honest, victim }) => ({
      owner: hex(honest.siteId),
      entry: hostile.author.say({ kind: "steward", owner: honest.siteId, slice: 0, holders: [victim.siteId] }),
    }),
  ),
  {
    title: "a holder adds nothing to the own set of the site whose slice it holds",
    told: /names this site/,
    attack: async (siege, hostile) => {
      const { victim } = siege;
      await victim.parts.entries.write({ kind: "placement", slice: 0, holders: [hostile.siteId] });
      const before = await keptOf(siege, victim.siteId);
      const channel = await hostile.open(replicateProtocol);
      const owner = hex(victim.siteId);
      const entry = hostile.author.say({ kind: "steward", owner: victim.siteId, slice: 0, holders: [victim.siteId] });
      assert.equal(await hostile.codeOf(channel, reserve(siege, hostile, { owner, entry })), "peer-refused");
      await channel.close();
      assert.equal(await keptOf(siege, victim.siteId), before);
    },
  },
  reserved(
    "a placement that is not signed by its owner ends the run",
    "ended",
    /not signed/,
    (hostile, { honest, victim }) => ({
      owner: hex(honest.siteId),
      entry: hostile.author.say(
        { kind: "placement", slice: 0, holders: [victim.siteId] },
        { logId: honest.author.log.id, seq: 999 },
      ),
    }),
  ),
  {
    title: "primes without a reservation end the run",
    told: /no slice was granted/,
    attack: async (siege, hostile) => {
      await hostile.codeOf(await hostile.open(replicateProtocol), batch(poison));
      assert.equal(await keptOf(siege, hostile.siteId), 0);
    },
  },
  {
    title: "a third run at once is refused",
    told: /2 runs of this peer are under way/,
    attack: async (siege, hostile) => {
      for (let at = 0; at < 2; at++) await granted(siege, hostile);
      const third = await hostile.open(replicateProtocol);
      assert.equal(await hostile.codeOf(third, reserve(siege, hostile)), "too-many-requests");
    },
  },
  {
    title: "reservations without end hold the room of one",
    attack: async (siege, hostile) => {
      const channel = await hostile.open(replicateProtocol);
      const entry = placement(hostile, siege);
      for (let at = 0; at < count(300, 3000); at++)
        assert.equal(await hostile.codeOf(channel, reserve(siege, hostile, { entry, bytes: 15_000_000 })), "granted");
    },
  },
  {
    title: "an owner fills its quota, and no more",
    told: /keeps 16777216 bytes for this owner/,
    diskBytes: 20 * 1024 * 1024,
    attack: async (siege, hostile) => {
      const lengthBytes = 4 * 1024 * 1024;
      const channel = await granted(siege, hostile, 16 * 1024 * 1024);
      for (let at = 0; at < 4; at++) await hostile.codeOf(channel, batch(primeIn(0, `filling ${at}`, lengthBytes)));
      await channel.close();
      const again = await hostile.open(replicateProtocol);
      assert.equal(
        await hostile.codeOf(again, reserve(siege, hostile, { bytes: 2 * 16 * 1024 * 1024 })),
        "quota-exceeded",
      );
      assert.equal(await keptOf(siege, hostile.siteId), 4);
      await again.close();
    },
  },
  {
    title: "questions without end are answered one by one, and others are served",
    attack: async (siege, hostile) => {
      const channel = await granted(siege, hostile);
      const ask = encodeMessage(compare({ b: Buffer.from("0100", "hex") }));
      const done = new AbortController();
      const flood = (async () => {
        while (!done.signal.aborted) await hostile.ask(channel, ask);
      })();
      await siege.synchronise();
      done.abort();
      await flood;
    },
  },
  {
    title: "extras of another slice, or of others, are not left out",
    attack: async (siege, hostile) => {
      const channel = await replicate(siege, hostile, [poison]);
      const others = await idsOf(siege, siege.honest.siteId);
      assert.equal(await hostile.codeOf(channel, finish(liveSet(hostile, [poison], 2), others)), "received");
      assert.deepEqual(await Array.fromAsync(siege.victim.store.facts("omitted")), []);
    },
  },
];
testHostile(test, cases);
test.run();
