/**
 * Goal: primes are those of docs/specs/sealing.md, and nothing damaged, exchanged or hostile opens. Method: vectors made in
 * Python, valid and invalid; GCM of @noble/ciphers beside OpenSSL's; properties over content and damage.
 */
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { gcm } from "@noble/ciphers/aes.js";
import { sha256 } from "@noble/hashes/sha2.js";
import * as fc from "fast-check";
import { compressSync } from "lz4-napi";
import { isCostorError } from "#protocol/errors.ts";
import { type PrimeId, parsePrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { deriveScope } from "#protocol/scope.ts";
import {
  openPrime,
  paddedLength,
  type PrimeKind,
  type PrimeReference,
  primeIdOf,
  sealPrime,
  verifyPrime,
} from "#protocol/sealing.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly kind: PrimeKind;
  readonly id: PrimeId;
  readonly key: string;
  readonly lengthBytes: number;
  readonly stored: string;
  /** Of cases that open. */
  readonly plain?: string;
  /** Whether sealing must give exactly these bytes. */
  readonly sealed?: true;
  readonly padToBytes?: number;
  /** Why it must not open. */
  readonly failed?: string;
}

const scope = deriveScope(Buffer.from(Array.from({ length: 32 }, (_, index) => index)));
const failedWith = (failed: string) => (error: unknown) =>
  isCostorError(error, "prime-corrupt") && error.details["failed"] === failed;
const referenceOf = ({ id, key, lengthBytes }: Case): PrimeReference => ({ id, key: fromHex(key), lengthBytes });

const test = suite("sealing");

for (const vector of readVectors<Case>("sealing")) {
  test(`vector: ${vector.comment}`, () => {
    const stored = fromHex(vector.stored);
    if (vector.failed !== undefined) {
      assert.throws(() => openPrime(stored, referenceOf(vector), vector.kind), failedWith(vector.failed));
      return;
    }
    const plain = fromHex(vector.plain!);
    assert.deepEqual(openPrime(stored, referenceOf(vector), vector.kind), plain);
    if (!vector.sealed) return;
    const made = sealPrime(plain, vector.kind, scope, vector.padToBytes);
    assert.deepEqual(made.stored, stored);
    assert.deepEqual({ ...made.reference, key: Buffer.from(made.reference.key) }, referenceOf(vector));
  });
}

/** Content of all codecs: noise, repetition, and both. */
const anyPlain = fc
  .tuple(
    fc.constantFrom(0, 1, 100, 5000, 32_767, 32_768, 65_536, 200_000),
    fc.nat(300),
    fc.constantFrom("noise", "words", "both"),
  )
  .map(([base, extra, kind]) => {
    const noise = randomBytes(base + extra);
    if (kind !== "noise") noise.fill("all work and no play ", 0, kind === "both" ? noise.length >> 1 : noise.length);
    return noise;
  });
const anyKind = fc.constantFrom<PrimeKind>("content", "tree");

test("what was sealed opens, and is verified by its id", () => {
  fc.assert(
    fc.property(anyPlain, anyKind, fc.constantFrom(0, 1000, limits.paddedMinBytes), (plain, kind, padToBytes) => {
      const { stored, reference } = sealPrime(plain, kind, scope, padToBytes);
      assert.ok(stored.length <= limits.primeStoredBytes && stored.length >= padToBytes + 17);
      verifyPrime(stored, reference.id);
      assert.equal(reference.lengthBytes, plain.length);
      assert.ok(openPrime(stored, reference, kind).equals(plain));
    }),
  );
});

test("the largest prime seals and opens, one byte more is refused", () => {
  for (const plain of [randomBytes(limits.primePlainBytes), Buffer.alloc(limits.primePlainBytes)]) {
    const { stored, reference } = sealPrime(plain, "content", scope);
    assert.ok(stored.length <= limits.primeStoredBytes);
    assert.ok(openPrime(stored, reference, "content").equals(plain));
  }
  assert.throws(
    () => sealPrime(Buffer.alloc(limits.primePlainBytes + 1), "content", scope),
    (error) => isCostorError(error, "limit-exceeded"),
  );
});

test("the same content gives the same prime in its scope and another in any other scope or kind", () => {
  const plain = Buffer.from("the same words ".repeat(10_000));
  const { id } = sealPrime(plain, "content", scope).reference;
  assert.equal(sealPrime(Buffer.from(plain), "content", scope).reference.id, id);
  assert.notEqual(sealPrime(plain, "tree", scope).reference.id, id);
  assert.notEqual(sealPrime(plain, "content", deriveScope(randomBytes(32))).reference.id, id);
});

test("stored bytes are GCM of a payload whose HMAC is the key, by other implementations too", () => {
  for (const plain of [Buffer.from("short"), Buffer.from("words ".repeat(20_000)), randomBytes(70_000)]) {
    const { stored, reference } = sealPrime(plain, "tree", scope, 1234);
    const payload = gcm(reference.key, new Uint8Array(12), Uint8Array.of(1, 2)).decrypt(stored.subarray(1));
    assert.deepEqual(createHmac("sha256", scope.convergence).update(payload).digest(), Buffer.from(reference.key));
    assert.equal(Buffer.from(sha256(stored)).toString("hex"), reference.id);
    assert.equal(payload.length, paddedLength(payload.length));
  }
});

test("stored bytes own their memory, so that a thread can hand them over", () => {
  for (const lengthBytes of [0, 10, 5000, 300_000]) {
    const { stored } = sealPrime(randomBytes(lengthBytes), "content", scope);
    assert.equal(stored.byteOffset, 0);
    assert.equal(stored.buffer.byteLength, stored.length);
  }
});

test("every flipped bit of a small prime is noticed, with the right id and with the id of the damaged bytes", () => {
  const { stored, reference } = sealPrime(Buffer.from("a small file"), "content", scope);
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const damaged = Buffer.from(stored);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(
      () => verifyPrime(damaged, reference.id),
      (error) => isCostorError(error, "prime-mismatch"),
    );
    assert.throws(() => openPrime(damaged, reference, "content"), failedWith("id"));
    // Also where the comparison with the id is left to who has done it before.
    assert.throws(
      () => openPrime(damaged, reference, "content", { isVerified: true }),
      (error) => isCostorError(error, "prime-corrupt"),
    );
    assert.throws(
      () => openPrime(damaged, { ...reference, id: primeIdOf(damaged) }, "content"),
      (error) => isCostorError(error, "prime-corrupt"),
    );
  }
});

test("a prime cut short or grown is noticed even under its own id", () => {
  const { stored, reference } = sealPrime(Buffer.from("words ".repeat(9000)), "content", scope);
  for (const damaged of [
    ...Array.from({ length: 40 }, (_, index) => stored.subarray(0, stored.length - 1 - index)),
    Buffer.concat([stored, Buffer.alloc(1)]),
  ]) {
    assert.throws(
      () => openPrime(damaged, { ...reference, id: primeIdOf(damaged) }, "content"),
      (error) => isCostorError(error, "prime-corrupt"),
    );
  }
});

test("a wrong kind, key or length is refused, whatever the codec", () => {
  fc.assert(
    fc.property(
      anyPlain,
      anyKind,
      fc.integer({ min: -3, max: 3 }).filter((difference) => difference !== 0),
      (plain, kind, difference) => {
        const { stored, reference } = sealPrime(plain, kind, scope);
        assert.throws(() => openPrime(stored, reference, kind === "tree" ? "content" : "tree"), failedWith("tag"));
        assert.throws(() => openPrime(stored, { ...reference, key: randomBytes(32) }, kind), failedWith("tag"));
        assert.throws(
          () => openPrime(stored, { ...reference, lengthBytes: plain.length + difference }, kind),
          (error) => isCostorError(error, "prime-corrupt"),
        );
      },
    ),
    { numRuns: 30 },
  );
});

/** A prime with any payload, as a hostile agent can make it: the key fits, so only opening's own checks stand in the way. */
function sealPayload(payload: Uint8Array): { stored: Buffer; key: Buffer; id: PrimeId } {
  const key = randomBytes(32);
  const stored = Buffer.concat([Buffer.of(1), gcm(key, new Uint8Array(12), Uint8Array.of(1, 1)).encrypt(payload)]);
  return { stored, key, id: primeIdOf(stored) };
}

test("compressed bytes that were tampered with before sealing are refused or give exactly the referenced length", () => {
  const plain = Buffer.from("one two three ".repeat(300));
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(plain.length);
  const byCodec = new Map([
    [1, compressSync(plain)],
    [2, zstdCompressSync(plain)],
  ]);
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  let refusedCount = 0;
  fc.assert(
    fc.property(fc.constantFrom(1, 2), damage, fc.boolean(), (codec, changes, keepsPrefix) => {
      const compressed = Buffer.from(byCodec.get(codec)!);
      for (const [at, byte] of changes) compressed[at % compressed.length] = byte;
      if (codec === 1 && keepsPrefix) prefix.copy(compressed);
      assert.ok(compressed.length < 128);
      const { stored, ...rest } = sealPayload(Buffer.concat([Buffer.of(codec, compressed.length), compressed]));
      try {
        assert.equal(openPrime(stored, { ...rest, lengthBytes: plain.length }, "content").length, plain.length);
      } catch (error) {
        if (!isCostorError(error, "prime-corrupt")) throw error;
        refusedCount++;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(refusedCount > 500, `${refusedCount} refused`);
});

test("more stored bytes than the largest prime has are refused before anything is computed", () => {
  const stored = Buffer.alloc(limits.primeStoredBytes + 1);
  const reference = { id: primeIdOf(stored), key: Buffer.alloc(32), lengthBytes: 1 };
  assert.throws(() => openPrime(stored, reference, "content"), failedWith("length"));
});

test("a reference with a length that is no number is refused", () => {
  const { stored, reference } = sealPrime(Buffer.from("x"), "content", scope);
  for (const lengthBytes of [Number.NaN, 0.5, Infinity, -1])
    assert.throws(() => openPrime(stored, { ...reference, lengthBytes }, "content"), failedWith("reference"));
});

test("a wrong id names both ids", () => {
  const expected = parsePrimeId("0".repeat(64));
  assert.throws(
    () => verifyPrime(Buffer.from("x"), expected),
    (error) => isCostorError(error, "prime-mismatch") && error.details["expected"] === expected,
  );
});

test("padding is Padmé's: at least the length, at most 12 % more, and few lengths", () => {
  assert.deepEqual(
    [0, 1, 2, 9, 200, 1003, 1025, 65_537, 4_194_309].map(paddedLength),
    [0, 1, 2, 10, 208, 1024, 1088, 67_584, 4_325_376],
  );
  const lengths = new Set<number>();
  for (let lengthBytes = 0; lengthBytes < 300_000; lengthBytes++) {
    const padded = paddedLength(lengthBytes);
    assert.ok(padded >= lengthBytes && padded <= lengthBytes * 1.12 + 1);
    lengths.add(padded);
  }
  assert.ok(lengths.size < 400, `${lengths.size} lengths`);
});

test("media is stored as it is, and what compresses is compressed even behind noise", () => {
  const sizeOf = (plain: Buffer): number => sealPrime(plain, "content", scope).stored.length;
  const noise = randomBytes(1 << 20);
  assert.equal(sizeOf(noise), 1 + paddedLength(noise.length + 4) + 16);
  const half = Buffer.concat([noise.subarray(0, 1 << 19), Buffer.alloc(1 << 19, "words and words ")]);
  assert.ok(sizeOf(half) < 600_000);
  assert.ok(sizeOf(Buffer.from(noise.toString("base64"))) < noise.length * 1.1);
});

test.run();
