/**
 * Goal: what a member says wrongly in the ledger is refused, or says nothing; what it says of others changes nothing. Method: a hostile
 * member shows a real site entries made by hand when that synchronises: test/support/hostile-case.ts.
 */
import assert from "node:assert/strict";
import { parseEntry } from "#ledger/entry.ts";
import type { StatementKind } from "#ledger/statements.ts";
import { type CborMap, encodeCbor } from "#protocol/cbor.ts";
import { limits } from "#protocol/limits.ts";
import { signEd25519 } from "#protocol/raw-keys.ts";
import { type HostileCase, testHostile } from "#test/support/hostile-case.ts";
import type { HostileMember, ShownLedger } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { level } from "#test/support/level.ts";
import type { Siege } from "#test/support/siege.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("hostile entries", { timeoutMs: 60_000 });
const DOMAIN = "costor/v1/ledger-entry\0";
type Make = (author: LedgerAuthor, siege: Siege) => Uint8Array | readonly Uint8Array[] | Promise<readonly Uint8Array[]>;

/** The bytes of an entry with this body, whatever it is, signed. */
function signed(author: LedgerAuthor, body: Uint8Array, domain = DOMAIN): Buffer {
  return encodeCbor({ body, signature: signEd25519(author.seed, Buffer.concat([Buffer.from(domain), body])) });
}

function bodyOf(author: LedgerAuthor, changes: CborMap = {}): Buffer {
  const id = Buffer.from("018bcfe5680070008000000000000000", "hex");
  const fields = { id, log: Buffer.from(author.log.id, "hex"), seq: 0, data: {}, kind: "note", time: 1 };
  return encodeCbor({ ...fields, ...changes });
}

const listOf = async (made: ReturnType<Make>): Promise<readonly Uint8Array[]> => {
  const entries = await made;
  return entries instanceof Uint8Array ? [entries] : entries;
};
const isInForce = ({ victim }: Siege, { log }: LedgerAuthor, seq = 0): boolean =>
  victim.parts.ledger.log(log.id)?.held(seq) !== undefined;

/** Nothing of it is admitted, and the round ends. */
const refused = (title: string, told: RegExp, make: Make, init: ShownLedger = {}): HostileCase => ({
  title: `${title} is refused`,
  told,
  attack: async (siege, hostile) => {
    hostile.showEntries(await listOf(make(hostile.author, siege)), { asTheyAre: true, ...init });
    assert.equal(await siege.pull(hostile), false);
    assert.equal(siege.victim.parts.ledger.log(hostile.author.log.id)?.inForceCount ?? 0, 0);
  },
});

/** What is kept and spread as it should be, and what holds then. */
const harmless = (
  title: string,
  make: Make,
  holds: (siege: Siege, hostile: HostileMember) => unknown,
  init: { diskBytes?: number } = {},
): HostileCase => ({
  title,
  ...init,
  attack: async (siege, hostile) => {
    hostile.showEntries(await listOf(make(hostile.author, siege)));
    assert.equal(await siege.pull(hostile), true);
    await holds(siege, hostile);
  },
});

/** What it is in force for says nothing. */
const silent = (kind: StatementKind) => (siege: Siege, hostile: HostileMember) => {
  assert.ok(isInForce(siege, hostile.author));
  assert.deepEqual(siege.victim.parts.ledger.statements(hostile.siteId, kind), []);
};

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The same signature with S + L: valid to whoever does not look. */
function malleable(entry: Uint8Array): Buffer {
  const { body, signature } = parseEntry(entry);
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + ORDER;
  const bytes = Buffer.from(s.toString(16).padStart(64, "0"), "hex").toReversed();
  return encodeCbor({ body, signature: Buffer.concat([signature.subarray(0, 32), bytes]) });
}

const withSignature = (author: LedgerAuthor, hex: string): Buffer =>
  encodeCbor({ body: bodyOf(author), signature: Buffer.from(hex, "hex") });
/** A body whose data are these bytes. */
const rawData = (author: LedgerAuthor, data: Buffer): Buffer => {
  const plain = bodyOf(author, { data: "DATA" });
  const at = plain.indexOf(Buffer.from("6444415441", "hex"));
  return Buffer.concat([plain.subarray(0, at), data, plain.subarray(at + 5)]);
};

const profile = (name: string) => ({
  ...{ kind: "profile" as const, name, addresses: [], domain: "", offeredBytes: 0, keptBytes: 0 },
  ...{ readKey: Buffer.alloc(32), readGeneration: 1 },
});
const nameOf = (siege: Siege, hostile: HostileMember) =>
  siege.victim.parts.ledger.statement(hostile.siteId, "profile", "")?.statement.name;

const NOT_SIGNED = /not signed by its author/;
const cases: HostileCase[] = [
  refused(
    "an entry in another site's log",
    NOT_SIGNED,
    (author, { honest }) => signed(author, bodyOf(honest.author, { seq: 999 })),
    {
      certificates: [new LedgerAuthor("honest").log.bytes],
    },
  ),
  refused("a signature with a bit flipped", NOT_SIGNED, (author) => {
    const entry = author.entry();
    entry[entry.length - 1]! ^= 1;
    return entry;
  }),
  refused("a signature with S + L", NOT_SIGNED, (author) => malleable(author.entry())),
  refused("a signature of points of small order", NOT_SIGNED, (author) =>
    withSignature(author, `01${"00".repeat(63)}`),
  ),
  refused("a signature with a point in another encoding", NOT_SIGNED, (author) =>
    withSignature(author, `ee${"ff".repeat(30)}7f${"00".repeat(32)}`),
  ),
  refused("a signature of zeros", NOT_SIGNED, (author) => withSignature(author, "00".repeat(64))),
  refused("a signature for another purpose", NOT_SIGNED, (author) =>
    signed(author, bodyOf(author), "costor/v1/roster\0"),
  ),
  refused("a signature of another machine", NOT_SIGNED, (author) => signed(new LedgerAuthor("x"), bodyOf(author))),
  refused("an entry of a log that nobody knows", /not asked for/, (author) =>
    signed(author, bodyOf(new LedgerAuthor("y"))),
  ),
  refused("an entry above 64 KiB", /at most 65536/, (author) =>
    signed(author, bodyOf(author, { data: { a: Buffer.alloc(limits.ledgerEntryBytes) } })),
  ),
  refused("data nested too deep", /nested too deep/, (author) =>
    signed(author, rawData(author, encodeDeep(limits.cborDepthCount))),
  ),
  refused("data nested thirty thousand deep", /nested too deep/, (author) =>
    signed(author, rawData(author, encodeDeep(30_000))),
  ),
  refused("a map that says to have four thousand million keys", /beyond the end/, (author) =>
    signed(author, rawData(author, Buffer.from("baffffffff", "hex"))),
  ),
  refused("a map of indefinite length", /indefinite/, (author) =>
    signed(author, rawData(author, Buffer.from("bfff", "hex"))),
  ),
  refused("a length that is not in its shortest form", /shortest form/, (author) =>
    Buffer.concat([Buffer.from("b802", "hex"), author.entry().subarray(1)]),
  ),
  refused("map keys out of order", /out of order/, (author) =>
    signed(author, rawData(author, Buffer.from("a2616201616102", "hex"))),
  ),
  refused("a map key that is there twice", /twice/, (author) =>
    signed(author, rawData(author, Buffer.from("a2616101616102", "hex"))),
  ),
  refused("bytes after an entry", /after the value/, (author) => Buffer.concat([author.entry(), Buffer.of(0)])),
  refused("a float", /CoStor does not use/, (author) => signed(author, rawData(author, Buffer.from("f93c00", "hex")))),
  refused("a seq of 2⁵³", /seq is no number/, (author) => signed(author, bodyOf(author, { seq: 2n ** 53n }))),
  refused("a seq below 0", /seq is no number/, (author) => signed(author, bodyOf(author, { seq: -1 }))),
  refused("a kind that is no name", /no name of a kind/, (author) =>
    signed(author, bodyOf(author, { kind: "Profile" })),
  ),
  refused("a body with a field too many", /are expected/, (author) => signed(author, bodyOf(author, { extra: 1 }))),
  harmless(
    "keys named __proto__ change no object, and fill no field",
    (author) => {
      const data = Object.fromEntries([["__proto__", { polluted: true, ...profile("x") }]]);
      return signed(author, bodyOf(author, { kind: "profile", data: data as CborMap }));
    },
    (siege, hostile) => {
      silent("profile")(siege, hostile);
      assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    },
  ),
  harmless(
    "a kind that nobody knows says nothing",
    (author) => author.entry({ kind: "crown", data: { king: 1 } }),
    (siege, hostile) => assert.ok(isInForce(siege, hostile.author)),
  ),
  harmless(
    "a live set of slice 16 says nothing",
    (author) =>
      author.entry({
        kind: "live-set",
        data: { slice: 16, generation: 1, count: 0, bytes: 0, hash: Buffer.alloc(32), snapshots: 0 },
      }),
    silent("live-set"),
  ),
  harmless(
    "a placement at a thousand holders says nothing",
    (author) =>
      author.entry({
        kind: "placement",
        data: { slice: 0, holders: Array.from({ length: 1000 }, () => Buffer.alloc(32)) },
      }),
    silent("placement"),
  ),
  harmless(
    "a name with control characters says nothing",
    (author) => author.say(profile("\u001b[31mroot\n")),
    silent("profile"),
  ),
  harmless(
    "a time far ahead decides nothing",
    (author) => [author.say(profile("old"), { timeMs: Number.MAX_SAFE_INTEGER }), author.say(profile("new"))],
    (siege, hostile) => assert.equal(nameOf(siege, hostile), "new"),
  ),
  harmless(
    "a time far back decides nothing",
    (author) => [author.say(profile("old"), { timeMs: 2e12 }), author.say(profile("new"), { timeMs: 0 })],
    (siege, hostile) => assert.equal(nameOf(siege, hostile), "new"),
  ),
  harmless(
    "a retire of another site's log withdraws nothing",
    (author, { honest }) => author.retire(honest.author.log, [0, 2 ** 52]),
    (siege, hostile) => assert.ok(isInForce(siege, hostile.author)),
  ),
  harmless(
    "a retire of all that is to come withdraws what was before it",
    (author) => [author.entry(), author.retire(author.log, [0, Number.MAX_SAFE_INTEGER]), author.entry()],
    (siege, { author }) =>
      assert.deepEqual(
        [0, 1, 2].map((seq) => isInForce(siege, author, seq)),
        [false, true, true],
      ),
  ),
  harmless(
    "a retire of too many ranges withdraws nothing",
    (author) => {
      const ranges = Array.from({ length: limits.ledgerRangesCount + 1 }, (_, at) => [2 * at, 2 * at]);
      return [
        author.entry(),
        author.entry({ kind: "retire", data: { log: Buffer.from(author.log.id, "hex"), ranges } }),
      ];
    },
    (siege, { author }) => assert.ok(isInForce(siege, author, 0)),
  ),
  harmless(
    "retires of logs that nobody has are kept and no more",
    (author) => Array.from({ length: 200 }, (_, at) => author.retire(new LedgerAuthor(`nobody ${at}`).log, [0, 9])),
    (siege, { author }) => assert.ok(isInForce(siege, author, 199)),
  ),
  {
    title: "two entries of one place are kept as a proof, and an alarm is raised once",
    told: /two machines write as one site/,
    attack: async (siege, hostile) => {
      const { author } = hostile;
      hostile.showEntries([author.entry({ seq: 0 })], { known: [[0, 0]] });
      assert.equal(await siege.pull(hostile), true);
      for (const data of [{ other: 1 }, { other: 2 }, { other: 3 }]) {
        hostile.showEntries([author.entry({ seq: 0, data })], { known: [[0, 0]] });
        await siege.pull(hostile);
      }
      assert.ok(siege.victim.parts.ledger.forkOf(hostile.siteId));
      assert.deepEqual(
        (await siege.victim.federation.alarms()).map(({ code }) => code),
        ["fork"],
      );
    },
  },
  {
    title: "a proof of a fork that proves nothing is refused",
    told: /prove no fork/,
    attack: async (siege, hostile) => {
      const entry = hostile.author.entry();
      hostile.showEntries([], { forks: [[entry, entry]] });
      assert.equal(await siege.pull(hostile), false);
    },
  },
  {
    title: "a forged proof that an honest site has forked is refused",
    told: NOT_SIGNED,
    attack: async (siege, hostile) => {
      const { author } = siege.honest;
      const entries = [1, 2].map((time) => signed(hostile.author, bodyOf(author, { time }))) as [Buffer, Buffer];
      hostile.showEntries([], { certificates: [author.log.bytes], forks: [entries] });
      assert.equal(await siege.pull(hostile), false);
      assert.equal(siege.victim.parts.ledger.forkOf(siege.honest.siteId), undefined);
    },
  },
  {
    title: "an old state of the whole ledger takes nothing back",
    attack: async (siege, hostile) => {
      const { ledger } = siege.victim.parts;
      const { id, bytes } = siege.honest.author.log;
      const old = await Promise.all(
        ledger
          .log(id)!
          .seqs()
          .slice(0, 3)
          .map((seq) => ledger.entry(id, seq)),
      );
      hostile.showEntries(old as Uint8Array[], { certificates: [bytes], known: [[0, 2]] });
      const digest = ledger.digest();
      assert.equal(await siege.pull(hostile), true);
      assert.equal(ledger.digest(), digest);
    },
  },
  {
    title: "an entry that was withdrawn does not come back",
    attack: async (siege, hostile) => {
      const { author } = hostile;
      const [said, retire] = [author.say(profile("old")), author.retire(author.log, [0, 0])];
      hostile.showEntries([said, retire]);
      assert.equal(await siege.pull(hostile), true);
      const { ledger } = siege.victim.parts;
      assert.deepEqual(await ledger.offer({ entries: [said] }), ["withdrawn"]);
      hostile.showEntries([said], { known: [[0, 0]] });
      assert.equal(await siege.pull(hostile), true);
      assert.equal(nameOf(siege, hostile), undefined);
    },
  },
  {
    title: "two thousand entries at once are taken, and others are served meanwhile",
    diskBytes: 4 * 1024 * 1024,
    attack: async (siege, hostile) => {
      hostile.showEntries(Array.from({ length: 2000 }, () => hostile.author.entry()));
      const [pulled] = await Promise.all([siege.pull(hostile), siege.honest.parts.sync.with(siege.victim.key)]);
      assert.equal(pulled, true);
      assert.ok(isInForce(siege, hostile.author, 1999));
    },
  },
];

if (level === "full")
  cases.push({
    title: "a site that says more than 64 MiB is taken no more of, and told once",
    told: /more to say than the ledger takes/,
    diskBytes: limits.ledgerPerSiteBytes + 8 * 1024 * 1024,
    attack: async (siege, hostile) => {
      const data = { a: Buffer.alloc(63 * 1024) };
      hostile.showEntries(
        Array.from({ length: 1100 }, () => hostile.author.entry({ data })),
        { pageCount: 12 },
      );
      assert.equal(await siege.pull(hostile), true);
      assert.ok(!isInForce(siege, hostile.author, 1099));
    },
  });

function encodeDeep(depth: number): Buffer {
  return Buffer.concat([Buffer.from("a16161", "hex"), Buffer.alloc(depth, 0x81), Buffer.of(1)]);
}

testHostile(test, cases);
test.run();
