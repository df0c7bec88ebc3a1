/**
 * Goal: whatever bytes arrive, every reader of the formats answers with a value or a coded error, soon: it never crashes, hangs
 * or takes what it would not write. Method: valid samples with a few changes each, behind right checksums and signatures, so that
 * the changes get past them. Each case has a seed of its own; a failure prints it and the command that runs it alone.
 */
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { base32 } from "multiformats/bases/base32";
import { type StoredPrime, batchEntry, parseBatch, readBatch } from "#protocol/batch.ts";
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { formatEnrolToken, parseEnrolToken } from "#protocol/enrol-token.ts";
import { parseEpochCertificate, signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { CostorError, type ErrorCode } from "#protocol/errors.ts";
import { formatPrimeCid, parsePrimeCid, parseSiteId } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { formatKit, parseKit } from "#protocol/kit.ts";
import { publicKeyOf, signEd25519 } from "#protocol/raw-keys.ts";
import { deriveScope } from "#protocol/scope.ts";
import { openPrime, primeIdOf, sealPrime } from "#protocol/sealing.ts";
import { type TreeObject, encodeIndex, encodeLeaf, encodeReferencePage } from "#protocol/tree.ts";
import { decodeNode, decodeReferencePage } from "#protocol/tree-decoding.ts";
import { linksOfNode } from "#protocol/tree-links.ts";
import { count } from "#test/support/level.ts";
import { type Chance, mutate } from "#test/support/mutation.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { plainFile, plainTree } from "#test/support/sample-trees.ts";
import { suite } from "#test/support/suite.ts";

/** Far longer than any case takes on a busy machine. */
const caseMostMs = 10_000;

interface Target {
  readonly name: string;
  readonly samples: readonly Buffer[];
  readonly count: number;
  /** The codes that it may answer with. */
  readonly codes: readonly ErrorCode[];
  read(bytes: Buffer, chance: Chance): void | Promise<void>;
}

const scope = deriveScope(Buffer.alloc(32, 1));
const kitRoot = Buffer.alloc(32, 9);
const recovery = deriveRecoveryKey(kitRoot);
const siteId = siteIdOf(recovery.publicKey);

const content = [100, 5000].map((bytes) => sealPrime(Buffer.alloc(bytes, bytes), "content", scope));
const slice = { prime: content[0]!.reference, offsetBytes: 0, lengthBytes: 100 };
const common = { mode: 0o4755, uid: 1000, gid: 0, user: "user", mtimeNs: 1_700_000_000_123_456_789n };
const objects: TreeObject[] = [
  plainFile("a", slice),
  { ...plainFile("b", slice), sizeBytes: 2 ** 40, extents: [{ offsetBytes: 4096, lengthBytes: 100 }], changed: true },
  { ...plainFile("c"), content: { pages: [slice, slice], depth: 2 }, linkGroup: Buffer.alloc(8, 1), linkCount: 2 },
  { ...common, name: "d" as ByteString, type: "directory", node: { inline: encodeLeaf([plainFile("x")]) } },
  { ...common, name: "e" as ByteString, type: "directory", node: { slice } },
  { ...common, name: "f" as ByteString, type: "symlink", target: "../x" as ByteString, mtimeNs: -(2n ** 70n) },
  {
    ...common,
    name: "g" as ByteString,
    type: "fifo",
    xattrs: [{ name: "user.a" as ByteString, value: Buffer.alloc(3) }],
  },
  { ...common, name: "h" as ByteString, type: "block", major: 8, minor: 1 },
];
const nodes = [
  encodeLeaf(objects),
  ...objects.map((object) => encodeLeaf([object])),
  encodeIndex([
    { firstName: "a" as ByteString, slice },
    { firstName: "m" as ByteString, slice },
  ]),
];
const values: CborValue[] = [
  0,
  -1,
  2n ** 64n - 1n,
  "text ä",
  Buffer.alloc(30),
  [1, [2, [3]]],
  { a: 1, bb: { c: null } },
  true,
];

const token = (address: string) =>
  formatEnrolToken({
    addresses: [address],
    siteId: parseSiteId("ab".repeat(32)),
    caHash: Buffer.alloc(32),
    secret: Buffer.alloc(16),
  });
const tokens = ["192.168.1.5:8443", "[fe80::1%eth0]:443"].map((address) => Buffer.from(token(address)));
const tokenFields = tokens.map((text) => Buffer.from(base32.baseDecode(text.toString().slice(8))).subarray(0, -4));

const certificate = { siteId, peerPublicKey: Buffer.alloc(32, 3), epoch: 2, previousHead: Buffer.alloc(32, 4) };
const certificates = [certificate, { ...certificate, previousHead: null }].map((body) =>
  signEpochCertificate(body, recovery.seed),
);
const certificateBodies = certificates.map((bytes) => Buffer.from((decodeCbor(bytes) as { body: Uint8Array }).body));

const entries: StoredPrime[] = content.map(({ reference, stored }) => ({ id: reference.id, stored }));
const batches = [entries, entries.slice(1), [...entries, ...entries]].map((all) =>
  Buffer.concat(all.flatMap(batchEntry)),
);

/** What a reader of batches gives: how much of how many primes, and its code. */
async function outcomeOf(primes: Iterable<StoredPrime> | AsyncIterable<StoredPrime>): Promise<string> {
  let seen = "";
  try {
    for await (const { id, stored } of primes) seen += `${id} ${primeIdOf(stored)}\n`;
  } catch (error) {
    if (!(error instanceof CostorError)) throw error;
    seen += error.code;
  }
  return seen;
}

async function* inPieces(bytes: Buffer, chance: Chance): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + Math.floor(chance() * 3000);
    yield bytes.subarray(at, end);
    at = end;
  }
}

const { reference: sealed, stored: sealedBytes } = content[1]!;
const aad = Buffer.of(1, 1);

function payloadOf(stored: Uint8Array, key: Uint8Array): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12)).setAAD(aad);
  decipher.setAuthTag(stored.subarray(-16));
  return Buffer.concat([decipher.update(stored.subarray(1, -16)), decipher.final()]);
}

function encrypt(payload: Uint8Array, key: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.alloc(12)).setAAD(aad);
  return Buffer.concat([Buffer.of(1), cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
}

const treeCodes = ["tree-invalid", "bad-encoding"] as const;

const targets: readonly Target[] = [
  {
    name: "CBOR",
    samples: [...values.map(encodeCbor), ...nodes],
    count: count(20_000, 2_000_000),
    codes: ["bad-encoding"],
    read: (bytes) => assert.ok(bytes.equals(encodeCbor(decodeCbor(bytes))), "what is read is canonical"),
  },
  {
    name: "node",
    samples: nodes,
    count: count(20_000, 2_000_000),
    codes: treeCodes,
    read(bytes) {
      const node = decodeNode(bytes);
      linksOfNode(node);
      const again = "objects" in node ? encodeLeaf(node.objects) : encodeIndex(node.pages);
      assert.deepEqual(plainTree(decodeNode(again)), plainTree(node));
    },
  },
  {
    name: "reference page",
    samples: [encodeReferencePage([slice]), encodeReferencePage(Array.from({ length: 20 }, () => slice))],
    count: count(5000, 500_000),
    codes: treeCodes,
    read: (bytes) => void decodeReferencePage(bytes),
  },
  {
    name: "batch",
    samples: batches,
    count: count(3000, 300_000),
    codes: [],
    async read(bytes, chance) {
      assert.equal(await outcomeOf(readBatch(inPieces(bytes, chance))), await outcomeOf(parseBatch(bytes)));
    },
  },
  {
    name: "sealed prime with a right id and tag",
    samples: [payloadOf(sealedBytes, sealed.key)],
    count: count(3000, 300_000),
    codes: ["prime-corrupt"],
    read(payload) {
      const stored = encrypt(payload, sealed.key);
      assert.equal(openPrime(stored, { ...sealed, id: primeIdOf(stored) }, "content").length, sealed.lengthBytes);
    },
  },
  {
    name: "enrolment token",
    samples: tokens,
    count: count(3000, 300_000),
    codes: ["bad-token"],
    read: (bytes) => void parseEnrolToken(bytes.toString()),
  },
  {
    name: "enrolment token with a right check",
    samples: tokenFields,
    count: count(5000, 500_000),
    codes: ["bad-token"],
    read(bytes) {
      const check = createHash("sha256").update(bytes).digest().subarray(0, 4);
      const text = `costor1-${base32.baseEncode(Buffer.concat([bytes, check]))}`;
      assert.equal(formatEnrolToken(parseEnrolToken(text)), text);
    },
  },
  {
    name: "recovery kit",
    samples: ["Hill School", 'a "b" \\ \u202e'].map((name) =>
      Buffer.from(formatKit({ siteName: name, siteId, kitRoot })),
    ),
    count: count(500, 50_000),
    codes: ["kit-invalid"],
    read: (bytes) => assert.deepEqual(parseKit(bytes.toString()).kitRoot, new Uint8Array(kitRoot)),
  },
  {
    name: "epoch certificate",
    samples: certificates,
    count: count(2000, 200_000),
    codes: ["bad-encoding", "signature-invalid"],
    read: (bytes) => assert.equal(parseEpochCertificate(bytes).siteId, siteId),
  },
  {
    name: "epoch certificate with a right signature",
    samples: certificateBodies,
    count: count(1000, 100_000),
    codes: ["bad-encoding", "signature-invalid"],
    read(body) {
      const signature = signEd25519(recovery.seed, Buffer.concat([Buffer.from("costor/v1/epoch-certificate\0"), body]));
      const signed = encodeCbor({ body, key: publicKeyOf("ed25519", recovery.seed), signature });
      assert.ok(signEpochCertificate(parseEpochCertificate(signed), recovery.seed).equals(signed));
    },
  },
  {
    name: "CID",
    samples: entries.map(({ id }) => Buffer.from(formatPrimeCid(id))),
    count: count(3000, 300_000),
    codes: ["bad-id"],
    read: (bytes) => assert.equal(formatPrimeCid(parsePrimeCid(bytes.toString("latin1"))), bytes.toString("latin1")),
  },
  {
    name: "name that is shown",
    samples: ["plain", "\x1b[2J\\", "ä水\u202e"].map((text) => Buffer.from(text)),
    count: count(3000, 300_000),
    codes: [],
    read: (bytes) =>
      assert.doesNotMatch(displayName(bytes.toString("latin1") as ByteString), /\p{Cc}|\p{Bidi_Control}/u),
  },
];

/** Seeds that once failed, by target. */
const keptSeeds: Readonly<Record<string, readonly number[]>> = {};

const given = process.env["COSTOR_FUZZ_SEED"];
const firstSeed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);

async function runCase(target: Target, seed: number): Promise<void> {
  const chance = seededRandom(seed);
  const bytes = mutate(target.samples, chance);
  const startedMs = performance.now();
  try {
    await target.read(bytes, chance);
  } catch (error) {
    if (!(error instanceof CostorError && target.codes.includes(error.code))) {
      const replay = `COSTOR_FUZZ_SEED=${seed} COSTOR_FUZZ_TARGET='${target.name}' node test/protocol/fuzz.test.ts`;
      throw new Error(`seed ${seed}, bytes ${bytes.toString("hex")}; again by: ${replay}`, { cause: error });
    }
  }
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs < caseMostMs, `seed ${seed} of ${target.name} took ${Math.round(tookMs)} ms`);
}

const test = suite("fuzz", { timeoutMs: 20 * 60_000 });
if (given === undefined) process.stdout.write(`fuzz: seeds from ${firstSeed}; COSTOR_FUZZ_SEED takes another\n`);

const chosen = process.env["COSTOR_FUZZ_TARGET"];
for (const target of targets.filter(({ name }) => chosen === undefined || name === chosen)) {
  const casesCount = chosen === undefined ? target.count : 1;
  test(`${target.name}: ${casesCount} damaged samples`, async () => {
    for (const sample of target.samples) await target.read(sample, seededRandom(0));
    for (const seed of keptSeeds[target.name] ?? []) await runCase(target, seed);
    for (let seed = firstSeed; seed < firstSeed + casesCount; seed++) await runCase(target, seed);
  });
}

test.run();
