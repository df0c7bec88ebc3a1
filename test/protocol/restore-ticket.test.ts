/** Goal: a ticket says what docs/specs/keys.md has, and nothing else passes for one. Method: vectors made in Python, damage, other keys. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { encodeCbor } from "#protocol/cbor.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parsePeerKey } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { parseRestoreTicket, signRestoreTicket } from "#protocol/restore-ticket.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Case {
  readonly comment: string;
  readonly recoverySeed: string;
  readonly recoveryPublicKey: string;
  readonly peerPublicKey: string;
  readonly ticketId: string;
  readonly ticketExpiresMs: number;
  readonly ticket: string;
}

const test = suite("restore ticket");
const vectors = readVectors<Case>("keys");
const isRefused = (error: unknown): boolean =>
  isCostorError(error, "bad-encoding") ||
  isCostorError(error, "signature-invalid") ||
  isCostorError(error, "limit-exceeded");

const ticketOf = (vector: Case) => ({
  siteId: siteIdOf(fromHex(vector.recoveryPublicKey)),
  peer: parsePeerKey(vector.peerPublicKey),
  id: fromHex(vector.ticketId),
  expiresMs: vector.ticketExpiresMs,
});

for (const vector of vectors)
  test(`vector: ${vector.comment}`, () => {
    const signed = signRestoreTicket(ticketOf(vector), fromHex(vector.recoverySeed));
    assert.equal(signed.toString("hex"), vector.ticket);
    assert.deepEqual(parseRestoreTicket(signed), {
      ...ticketOf(vector),
      recoveryKey: fromHex(vector.recoveryPublicKey),
    });
  });

test("every flipped bit is noticed", () => {
  const ticket = fromHex(vectors[0]!.ticket);
  for (let bit = 0; bit < ticket.length * 8; bit++) {
    const damaged = Buffer.from(ticket);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => parseRestoreTicket(damaged), isRefused);
  }
});

test("another kind of signature of the recovery key makes no ticket", () => {
  const ticket = ticketOf(vectors[0]!);
  const seed = fromHex(vectors[0]!.recoverySeed);
  const { publicKey } = deriveRecoveryKey(randomBytes(32));
  const certificate = { siteId: ticket.siteId, peerPublicKey: publicKey, epoch: 1, previousHead: null };
  assert.throws(() => parseRestoreTicket(signEpochCertificate(certificate, seed)), isRefused);
});

test("what is too long, or no map, is no ticket", () => {
  assert.throws(
    () => parseRestoreTicket(Buffer.alloc(limits.restoreTicketBytes + 1)),
    (error) => isCostorError(error, "limit-exceeded"),
  );
  for (const value of [[], "text", 7, Buffer.alloc(9), {}])
    assert.throws(() => parseRestoreTicket(encodeCbor(value)), isRefused);
});

test.run();
