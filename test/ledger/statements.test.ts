/**
 * Goal: what was said is read back, and what no kind says means nothing and throws nothing. Method: one sample a kind; each
 * rule of a field broken; seeded damage.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseEntry } from "#ledger/entry.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { type Statement, entryOf, readStatements, subjectOf, withoutSealed } from "#ledger/statements.ts";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseAgentId, parseRosterHash, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { mutate } from "#test/support/mutation.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("statements");

const [author, guest] = [new LedgerAuthor("one"), new LedgerAuthor("guest")];
const sites = ["a", "b", "c"].map((name) => new LedgerAuthor(name).siteId).sort();
const [owner, holder] = [sites[0]!, sites[1]!];
const hash = "ab".repeat(32);
const bodyHash = createHash("sha256").update("body").digest("hex");
const agent = parseAgentId(makeUuidV7(1_700_000_000_000));
const snapshot = parseSnapshotId(makeUuidV7(1_700_000_000_001));
const sealed = Buffer.from("sealed");

const samples: readonly Statement[] = [
  {
    kind: "profile",
    name: "Hill School",
    addresses: ["/ip4/192.0.2.1/tcp/4001"],
    domain: "",
    offeredBytes: 2 ** 40,
    keptBytes: 0,
    readKey: Buffer.alloc(32, 1),
    readGeneration: 1,
  },
  { kind: "placement", slice: 15, holders: sites },
  { kind: "live-set", slice: 0, generation: 1, count: 2, bytes: 3, hash, snapshots: 4 },
  { kind: "receipt", owner, slice: 7, generation: 1, count: 0, bytes: 0, hash, snapshots: 4 },
  { kind: "loss", owner, slice: 7, count: 9 },
  { kind: "audit", holder, owner, askedCount: 64, rightCount: 62, wrongCount: 1, silentCount: 1, sinceMs: 5 },
  { kind: "steward", owner, slice: 3, holders: [] },
  { kind: "drill-witness", owner, primesCount: 64, bytes: 9, failedCount: 1, endedMs: 5 },
  { kind: "guest", site: guest.siteId, name: "Sea School", certificate: Buffer.from(guest.log.bytes) },
  { kind: "consent", roster: parseRosterHash(bodyHash), body: Buffer.from("body"), signature: Buffer.alloc(64) },
  { kind: "agent", agent, sealed },
  { kind: "snapshot", agent, snapshot, sealed },
  { kind: "state", part: "federation/settings", sealed },
  { kind: "retire", logId: author.log.id, ranges: SeqRanges.parse([[0, 1]], 1) },
];

const read = (kind: string, data: CborMap) => readStatements(parseEntry(author.entry({ kind, data, seq: 9 })))[0];
const dataOf = (kind: string): Record<string, CborValue> => ({
  ...(entryOf([samples.find((sample) => sample.kind === kind)!]).data as Record<string, CborValue>),
});

for (const sample of samples)
  test(`${sample.kind}: what was said is read back, with fields of a later version beside it`, () => {
    assert.deepEqual(read(sample.kind, entryOf([sample]).data), sample);
    if (sample.kind !== "retire")
      assert.deepEqual(read(sample.kind, { ...entryOf([sample]).data, later: [1] }), sample);
  });

test("a drill that was told before there were gatherers is read, and one with them too", () => {
  const counts = { filesCount: 1, bytes: 2, failedCount: 0, endedMs: 5 };
  assert.deepEqual(read("drill", { drill: "local", ...counts }), {
    ...{ kind: "drill", drill: "local", gatherers: [] },
    ...counts,
  });
  const across = { kind: "drill", drill: "across", gatherers: [holder], ...counts } as const;
  assert.deepEqual(read("drill", entryOf([across]).data), across);
});

test("a site that leaves is ready when it says so, and not by what was told before there was that", () => {
  assert.deepEqual(read("leaving", { sinceMs: 5 }), { kind: "leaving", sinceMs: 5, isReady: false });
  const ready = { kind: "leaving", sinceMs: 5, isReady: true } as const;
  assert.deepEqual(read("leaving", entryOf([ready]).data), ready);
});

test("what lacks a field, or has one that cannot be, says nothing", () => {
  const bad: readonly [string, string, CborValue | undefined][] = [
    ...samples.flatMap(({ kind }) =>
      Object.keys(dataOf(kind)).map((name): [string, string, undefined] => [kind, name, undefined]),
    ),
    ...samples.flatMap(({ kind }) =>
      Object.keys(dataOf(kind)).map((name): [string, string, null] => [kind, name, null]),
    ),
    ["profile", "name", "a\u001b[2J"],
    ["profile", "name", "n".repeat(limits.ledgerTextCharacters + 1)],
    ["profile", "addresses", Array.from({ length: limits.ledgerAddressesCount + 1 }, () => "/")],
    ["profile", "offeredBytes", -1],
    ["profile", "offeredBytes", 2n ** 60n],
    ["profile", "readKey", Buffer.alloc(31)],
    ["profile", "readGeneration", 0],
    ["placement", "slice", 16],
    ["placement", "holders", sites.toReversed().map((id) => Buffer.from(id, "hex"))],
    ["placement", "holders", [owner, owner].map((id) => Buffer.from(id, "hex"))],
    ["placement", "holders", Array.from({ length: limits.holdersPerSliceCount + 1 }, (_, at) => Buffer.alloc(32, at))],
    ["live-set", "hash", Buffer.alloc(33)],
    ["guest", "site", Buffer.from(owner, "hex")],
    ["guest", "certificate", Buffer.from("none")],
    ["guest", "certificate", Buffer.alloc(limits.epochCertificateBytes + 1)],
    ["consent", "signature", Buffer.alloc(63)],
    ["consent", "body", Buffer.from("another body")],
    ["snapshot", "agent", Buffer.alloc(16)],
  ];
  for (const [kind, name, value] of bad)
    assert.equal(read(kind, { ...dataOf(kind), [name]: value }), undefined, `${kind} ${name} ${value as never}`);
  assert.equal(read("of-a-later-version", {}), undefined);
  assert.equal(read("constructor", {}), undefined);
});

test("subjects tell apart what may be in force beside each other", () => {
  const subjects = samples.map((sample) => subjectOf(withoutSealed(sample)));
  const slice = `${owner}/7`;
  const certificateOf = [guest.siteId, bodyHash, agent, `${agent}/${snapshot}`, "federation/settings", author.log.id];
  assert.deepEqual(subjects, [
    "",
    "15",
    "0",
    slice,
    slice,
    `${holder}/${owner}`,
    `${owner}/3`,
    owner,
    ...certificateOf,
  ]);
});

test("what is sealed is not kept in memory", () => {
  for (const sample of samples) assert.ok(!("sealed" in withoutSealed(sample)));
});

test("damaged data never throws", () => {
  const encoded = samples.map((sample) => encodeCbor(entryOf([sample]).data));
  for (let seed = 1; seed <= 3000; seed++) {
    const chance = seededRandom(seed);
    const bytes = mutate(encoded, chance);
    let data: CborValue;
    try {
      data = decodeCbor(bytes);
    } catch (error) {
      assert.ok(isCostorError(error));
      continue;
    }
    if (typeof data !== "object" || data === null || Array.isArray(data) || data instanceof Uint8Array) continue;
    const fields = data as CborMap;
    const entry = parseEntry(author.entry({ seq: 9 }));
    for (const { kind } of samples) readStatements({ ...entry, kind, data: fields });
  }
});

test("an entry may say several things, of kinds that may stand together, and what cannot be read is passed over", () => {
  const plain = samples.filter(({ kind }) => ["placement", "live-set", "receipt", "loss", "audit"].includes(kind));
  const { kind, data } = entryOf(plain);
  assert.equal(kind, "several");
  const readAll = (several: CborMap) => readStatements(parseEntry(author.entry({ kind, data: several, seq: 9 })));
  assert.deepEqual(readAll(data), plain);
  const { statements } = data as unknown as { statements: CborMap[] };
  const broken = statements.map((said, at) => (at === 1 ? { ...said, data: { slice: 99 } } : said));
  assert.deepEqual(
    readAll({ statements: broken }),
    plain.filter((_, at) => at !== 1),
  );
  for (const alone of ["guest", "consent", "retire", "profile", "several"])
    assert.deepEqual(readAll({ statements: [...statements, { kind: alone, data: {} }] }), [], alone);
  const many = Array.from({ length: limits.statementsPerEntryCount + 1 }, () => statements[0]!);
  assert.deepEqual(readAll({ statements: many }), []);
  assert.deepEqual(readAll({ statements: 7 }), []);
});

test.run();
