/**
 * Goal: one encoding for each value, and nothing else is read, by docs/specs/cbor.md. Method: vectors made in Python, and
 * random values against @ipld/dag-cbor.
 */
import assert from "node:assert/strict";
import * as dagCbor from "@ipld/dag-cbor";
import * as fc from "fast-check";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly hex: string;
  /** Absent: the bytes encode nothing. */
  readonly value?: unknown;
}

/** The notation of the vectors: test/vectors/cbor_reference.py. */
function notation(value: CborValue): unknown {
  if (typeof value === "number" || typeof value === "bigint") return ["int", String(value)];
  if (value instanceof Uint8Array) return ["bytes", Buffer.from(value).toString("hex")];
  if (Array.isArray(value)) return ["list", ...(value as readonly CborValue[]).map(notation)];
  if (typeof value !== "object" || value === null) return value;
  return ["map", ...Object.entries(value).map(([key, item]) => [key, notation(item!)])];
}

const canonicalMaps = (value: unknown): unknown =>
  !Array.isArray(value)
    ? value
    : value[0] === "map"
      ? ["map", ...value.slice(1).map(canonicalMaps).toSorted(compareEntries)]
      : value.map(canonicalMaps);
const compareEntries = (one: unknown, other: unknown): number =>
  String((one as [string])[0]) < String((other as [string])[0]) ? -1 : 1;

/** Values of the subset; the integers and sizes are dense around the places where encodings change. */
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -300, max: 300 }),
  fc.bigInt({ min: -(1n << 64n), max: (1n << 64n) - 1n }),
);
const value = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    integer,
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.constantFrom(true, false, null),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(fc.string({ unit: "binary", maxLength: 30 }), tie("value"), { maxKeys: 30 }),
  ),
})).value;

const refuses = (bytes: Uint8Array, comment: string): void =>
  assert.throws(
    () => decodeCbor(bytes),
    (error) => isCostorError(error, "bad-encoding"),
    comment,
  );

const test = suite("cbor", { timeoutMs: 120_000 });

for (const { comment, hex, value: expected } of readVectors<Case>("cbor")) {
  test(`vector: ${comment}`, () => {
    if (expected === undefined) return refuses(fromHex(hex), comment);
    const decoded = decodeCbor(fromHex(hex));
    assert.deepEqual(canonicalMaps(notation(decoded)), canonicalMaps(expected));
    assert.equal(encodeCbor(decoded).toString("hex"), hex);
  });
}

test("every value is encoded as another implementation of DAG-CBOR does it, and comes back", () => {
  fc.assert(
    fc.property(value, (sample) => {
      const encoded = encodeCbor(sample);
      assert.deepEqual(encoded, Buffer.from(dagCbor.encode(sample)));
      assert.deepEqual(encodeCbor(decodeCbor(encoded)), encoded);
    }),
    { numRuns: count(3000, 100_000) },
  );
});

test("what is read from damaged bytes, the other implementation reads equally", () => {
  const damaged = fc.tuple(value, fc.nat(), fc.nat(255)).map(([sample, at, byte]) => {
    const bytes = encodeCbor(sample);
    bytes[at % bytes.length] = byte;
    return bytes;
  });
  fc.assert(
    fc.property(damaged, (bytes) => {
      let decoded: CborValue;
      try {
        decoded = decodeCbor(bytes);
      } catch (error) {
        assert.ok(isCostorError(error, "bad-encoding"), String(error));
        return;
      }
      assert.deepEqual(encodeCbor(decoded), bytes, "it is canonical");
      assert.deepEqual(Buffer.from(dagCbor.encode(dagCbor.decode(bytes))), bytes);
    }),
    { numRuns: count(5000, 200_000) },
  );
});

test("every cut of an encoding is refused", () => {
  const encoded = encodeCbor({ a: [1, 300, 70_000, 2 ** 40, -1], b: Buffer.from("bytes"), text: "ä", n: null });
  for (let end = 0; end < encoded.length; end++) refuses(encoded.subarray(0, end), `${end} of ${encoded.length} bytes`);
});

test("lengths that are claimed and not there make no room", () => {
  // Each list claims as many items as bytes follow, the most that passes; were room made, this would take gigabytes.
  const claims = Buffer.alloc(5 * 1000);
  for (let at = 0; at < claims.length; at += 5) {
    claims[at] = 0x9a;
    claims.writeUInt32BE(claims.length - at - 5, at + 1);
  }
  const { heapUsed, external } = process.memoryUsage();
  for (let i = 0; i < 1000; i++) refuses(claims, "nested claims");
  refuses(Buffer.concat([fromHex("5a7fffffff"), Buffer.alloc(1000)]), "2 GiB of bytes");
  const now = process.memoryUsage();
  assert.ok(now.heapUsed + now.external - heapUsed - external < 64 * 2 ** 20);
});

test("a hundred thousand lists one in the other overflow nothing", () => refuses(Buffer.alloc(100_000, 0x81), "deep"));

test("as many values as the limit are read and written, and no more", () => {
  const full: CborValue[] = Array.from({ length: limits.cborItemsCount - 1 }, () => []);
  const encoded = encodeCbor(full);
  assert.equal((decodeCbor(encoded) as CborValue[]).length, full.length);
  full.push([]);
  assert.throws(() => encodeCbor(full), { code: "bad-encoding" });
  for (const item of [0x80, 0xa0, 0x00]) {
    const head = Buffer.of(0x9a, 0, 0, 0, 0);
    head.writeUInt32BE(4_000_000, 1);
    refuses(Buffer.concat([head, Buffer.alloc(4_000_000, item)]), "four million values");
  }
});

test("names that take the same place among those that were read last come out as they are", () => {
  const names = Array.from({ length: 5000 }, (_, at) => `${at.toString(36)}${"x".repeat(at % 7)}`);
  for (let round = 0; round < 2; round++)
    for (const name of names)
      assert.deepEqual(Object.entries(decodeCbor(encodeCbor({ [name]: name })) as CborMap), [[name, name]]);
});

test("a map has no names but those of its keys, and its prototype is nobody's to change", () => {
  const decoded = decodeCbor(encodeCbor(JSON.parse('{"__proto__": {"isAdmin": true}}') as CborValue)) as CborMap;
  const prototype = Object.getPrototypeOf(decoded) as object;
  assert.deepEqual([Object.getPrototypeOf(prototype), Reflect.ownKeys(prototype)], [null, []]);
  assert.ok(Object.isFrozen(prototype) && !("constructor" in decoded));
  assert.deepEqual(Object.keys(decoded), ["__proto__"]);
  assert.equal(({} as { isAdmin?: boolean }).isAdmin, undefined);
});

test("the writer refuses what the reader would, and what has no encoding", () => {
  let deep: CborValue = 0;
  for (let i = 0; i < limits.cborDepthCount; i++) deep = i % 2 ? [deep] : { a: deep };
  decodeCbor(encodeCbor(deep));
  const bad: CborValue[] = [[deep], { a: deep }, 1.5, NaN, Infinity, 2 ** 53, 1n << 64n, -(1n << 64n) - 1n, "\ud800"];
  for (const sample of [...bad, { "\udfff": 1 }]) {
    assert.throws(
      () => encodeCbor(sample),
      (error) => isCostorError(error, "bad-encoding"),
    );
  }
});

test("entries that are undefined are left out, and the order of a map's entries does not matter", () => {
  assert.deepEqual(encodeCbor({ b: 1, a: 2, c: undefined }), encodeCbor({ a: 2, b: 1 }));
});

test("a value larger than what was ever encoded before comes out whole", () => {
  const bytes = Buffer.alloc(300_000, 7);
  const sample = [bytes, "x".repeat(200_000), bytes];
  const encoded = encodeCbor(sample);
  assert.deepEqual(encoded, Buffer.from(dagCbor.encode(sample)));
  const [first, text, last] = decodeCbor(encoded) as [Uint8Array, string, Uint8Array];
  assert.ok(bytes.equals(first) && bytes.equals(last) && text === "x".repeat(200_000));
});

test.run();
