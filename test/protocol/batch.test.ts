/**
 * Goal: both readers of batches take the same bytes and refuse the same, however these arrive, and hold no more than they
 * may. Method: vectors made in Python, and random batches in random pieces.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { type StoredPrime, batchEntry, batchEntryBytes, parseBatch, readBatch } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { parsePrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly hex: string;
  readonly primes?: readonly { readonly id: string; readonly stored: string }[];
  readonly code?: string;
}

const plain = ({ id, stored }: StoredPrime) => ({ id, stored: Buffer.from(stored).toString("hex") });

const encode = (primes: readonly StoredPrime[]): Buffer => Buffer.concat(primes.flatMap((prime) => batchEntry(prime)));

/** `bytes` in pieces of these lengths, over and over, each in memory that is overwritten once the next one is asked for. */
async function* pieces(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const piece = Buffer.from(bytes.subarray(at, at + lengths[index % lengths.length]!));
    yield piece;
    at += piece.length;
    if (piece.length === 0 && lengths.every((length) => length === 0)) return;
    piece.fill(0xee);
  }
}

/** What a reader gives: the primes up to the first fault, and its code. */
async function readAll(primes: Iterable<StoredPrime> | AsyncIterable<StoredPrime>) {
  const read: ReturnType<typeof plain>[] = [];
  try {
    for await (const prime of primes) read.push(plain(prime));
  } catch (error) {
    if (!(error instanceof CostorError)) throw error;
    return { read, code: error.code };
  }
  return { read, code: undefined };
}

const test = suite("batch");

for (const { comment, hex, primes, code } of readVectors<Case>("batches")) {
  test(`vector: ${comment}`, async () => {
    const bytes = fromHex(hex);
    const parsed = await readAll(parseBatch(bytes));
    assert.equal(parsed.code, code);
    if (primes) assert.deepEqual(parsed.read, primes);
    for (const lengths of [[1], [36], [37], [bytes.length || 1]])
      assert.deepEqual(await readAll(readBatch(pieces(bytes, lengths))), parsed, `pieces of ${lengths}`);
    if (primes) {
      const entries = primes.map(({ id, stored }) => ({ id: parsePrimeId(id), stored: fromHex(stored) }));
      assert.equal(encode(entries).toString("hex"), hex);
      assert.equal(
        entries.reduce((sum, { stored }) => sum + batchEntryBytes(stored.length), 0),
        bytes.length,
      );
    }
  });
}

test("both readers agree on any bytes, damaged ones too, in pieces of any lengths", async () => {
  const batch = fc
    .array(fc.uint8Array({ maxLength: 120 }), { maxLength: 5 })
    .map((all) => encode(all.map((stored) => ({ id: primeIdOf(stored), stored }))));
  const lengths = fc
    .array(fc.nat(80), { minLength: 1, maxLength: 6 })
    .filter((all) => all.some((length) => length > 0));
  await fc.assert(
    fc.asyncProperty(batch, lengths, fc.option(fc.nat()), fc.option(fc.nat()), async (bytes, sizes, cut, damage) => {
      const sent = cut === null ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
      if (damage !== null && sent.length > 0) sent[damage % sent.length]! ^= 1 << (damage % 8);
      assert.deepEqual(await readAll(readBatch(pieces(sent, sizes))), await readAll(parseBatch(sent)));
    }),
    { numRuns: 1000 },
  );
});

test("the largest prime passes", async () => {
  const stored = randomBytes(limits.primeStoredBytes);
  const bytes = encode([{ id: primeIdOf(stored), stored }]);
  for (const read of [parseBatch(bytes), readBatch(pieces(bytes, [65_536]))]) {
    const primes: StoredPrime[] = [];
    for await (const prime of read) primes.push({ ...prime, stored: Buffer.from(prime.stored) });
    assert.equal(primes.length, 1);
    assert.ok(stored.equals(primes[0]!.stored));
  }
});

test("a batch that is sent holds so many primes; an answer may hold more, and its reader counts", async () => {
  const prime = { id: primeIdOf(Buffer.alloc(1)), stored: Buffer.alloc(1) };
  const most = encode(Array.from({ length: limits.batchPrimesCount }, () => prime));
  assert.equal([...parseBatch(most)].length, limits.batchPrimesCount);
  const more = Buffer.concat([most, encode([prime])]);
  assert.throws(
    () => [...parseBatch(more)],
    (error) => isCostorError(error, "limit-exceeded"),
  );
  assert.equal((await readAll(readBatch(pieces(more, [1000])))).read.length, limits.batchPrimesCount + 1);
});

test("a whole batch is read as views, without a copy", () => {
  const bytes = encode([{ id: primeIdOf(Buffer.from("x")), stored: Buffer.from("x") }]);
  const [prime] = parseBatch(bytes);
  assert.equal(prime!.stored.buffer, bytes.buffer);
});

test("the source's own failure comes through", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10);
    throw new Error("connection lost");
  }
  await assert.rejects(async () => {
    for await (const _ of readBatch(failing()));
  }, /connection lost/);
});

test.run();
