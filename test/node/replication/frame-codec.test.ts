/** Goal: a frame is read as it was written or refused, and takes no more memory than a message may. Method: round trips, bombs, bent bytes. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { compressSync } from "lz4-napi";
import * as v from "valibot";
import { batchOf, decodeMessage, encodeBatch, encodeMessage, isBatch } from "#node/replication/frame-codec.ts";
import { auditRequest, primesRequest } from "#node/replication/primes-messages.ts";
import { refusalError, replicateAnswer, replicateRequest } from "#node/replication/replicate-messages.ts";
import { parseBatch } from "#protocol/batch.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { noise } from "#test/support/noise.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("frame-codec");

const anything = v.looseObject({});
const isRefused = (frame: Uint8Array, schema: v.GenericSchema, ...codes: string[]) =>
  assert.throws(
    () => decodeMessage(frame, schema),
    (error) => isCostorError(error) && codes.includes(error.code),
  );

test("a message is read back, large ones from fewer bytes", () => {
  for (const length of [0, 1000, 1025, 100_000]) {
    const message = { text: "a".repeat(length) };
    const frame = encodeMessage(message);
    assert.deepEqual({ ...decodeMessage(frame, anything) }, message);
    if (length > 1024) assert.ok(frame.length < 1024);
  }
  const dense = { bytes: noise("dense", 5000) };
  assert.deepEqual({ ...decodeMessage(encodeMessage(dense), anything) }, dense);
});

test("a message that would become larger than it may is refused before it is expanded", () => {
  const bomb = compressSync(Buffer.alloc(limits.replicateMessageBytes + 1));
  assert.ok(bomb.length < 100_000);
  isRefused(Buffer.concat([Buffer.of(0), bomb]), anything, "limit-exceeded");
  const lying = Buffer.from(compressSync(Buffer.alloc(1_000_000)));
  lying.writeUInt32LE(10, 0);
  isRefused(Buffer.concat([Buffer.of(0), lying]), anything, "bad-encoding");
  lying.writeUInt32LE(0xffffffff, 0);
  isRefused(Buffer.concat([Buffer.of(0), lying]), anything, "limit-exceeded");
  assert.throws(
    () => encodeMessage({ bytes: Buffer.alloc(limits.replicateMessageBytes) }),
    (error) => isCostorError(error, "limit-exceeded"),
  );
});

test("a compressed message in a compressed message is none", () => {
  const once = Buffer.concat([Buffer.of(0), compressSync(encodeCbor({ a: 1 }))]);
  isRefused(Buffer.concat([Buffer.of(0), compressSync(once)]), anything, "bad-encoding");
});

test("a batch stands in its frame as it is, and is read without a copy", () => {
  const primes = [1, 70_000, 3].map((length, at) => {
    const stored = noise(`prime ${at}`, length);
    return { id: primeIdOf(stored), stored };
  });
  const frame = encodeBatch(primes);
  assert.ok(isBatch(frame));
  const read = [...parseBatch(batchOf(frame))];
  assert.deepEqual(
    read.map(({ id, stored }) => [id, Buffer.from(stored)]),
    primes.map(({ id, stored }) => [id, stored]),
  );
  assert.ok(read.every(({ stored }) => stored.buffer === frame.buffer));
  assert.ok(!isBatch(encodeMessage({ kind: "finish" })));
});

test("what no honest peer sends is refused by name, whatever it is", () => {
  const schemas = [replicateRequest, replicateAnswer, primesRequest, auditRequest];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...schemas), (bytes, schema) => {
      isRefused(bytes, schema, "bad-encoding", "limit-exceeded", "bad-id");
    }),
  );
});

test("messages are bounded", () => {
  const owner = Buffer.alloc(32, 1);
  const [entry, ids] = [Buffer.alloc(10), (count: number) => Buffer.alloc(32 * count)];
  const reserve = { kind: "reserve", owner, slice: 15, bytes: 1, entry };
  decodeMessage(encodeMessage(reserve), replicateRequest);
  for (const wrong of [
    { slice: 16 },
    { slice: -1 },
    { bytes: -1 },
    { owner: Buffer.alloc(31) },
    { entry: Buffer.alloc(limits.ledgerEntryBytes + 1) },
    { more: 1 },
  ])
    isRefused(encodeMessage({ ...reserve, ...wrong }), replicateRequest, "bad-encoding");
  const finish = { kind: "finish", entry, extras: ids(limits.reconcileExtrasCount) };
  decodeMessage(encodeMessage(finish), replicateRequest);
  const more = { ...finish, extras: ids(limits.reconcileExtrasCount + 1) };
  isRefused(encodeMessage(more), replicateRequest, "bad-encoding");
  isRefused(encodeMessage({ ...finish, extras: Buffer.alloc(33) }), replicateRequest, "bad-encoding");
  const fetch = { kind: "fetch", owner, ids: ids(limits.fetchIdsCount) };
  decodeMessage(encodeMessage(fetch), primesRequest);
  isRefused(encodeMessage({ ...fetch, ids: ids(limits.fetchIdsCount + 1) }), primesRequest, "bad-encoding");
  const audit = { kind: "audit", owner, nonce: Buffer.alloc(32), ids: ids(limits.auditPrimesCount) };
  decodeMessage(encodeMessage(audit), auditRequest);
  isRefused(encodeMessage({ ...audit, ids: ids(limits.auditPrimesCount + 1) }), auditRequest, "bad-encoding");
});

test("a refusal with a code of its own choice is no more than a refusal", () => {
  assert.equal(refusalError({ code: "quota-exceeded", message: "full" }).code, "quota-exceeded");
  for (const code of ["internal", "site-not-made", "store-damaged", "constructor", "whatever"])
    assert.equal(refusalError({ code, message: "x".repeat(10_000) }).code, "peer-refused");
});

test.run();
