/**
 * The invitation: one line that a person carries from a member to a newcomer. It says which federation it is for, where the
 * inviter is and which machine it must be, and holds a secret that is good once. docs/specs/membership.md
 */
import { createHash } from "node:crypto";
import { base32 } from "multiformats/bases/base32";
import * as v from "valibot";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type FederationId, type PeerKey, parseFederationId, parsePeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { bytesOf, idOf, natural } from "./message-schema.ts";

export interface Invitation {
  /** Multiaddrs of the inviter, best first. */
  readonly addresses: readonly string[];
  /** Milliseconds since 1970, by the inviter's clock. */
  readonly expiresMs: number;
  readonly federationId: FederationId;
  /** 16 random bytes. */
  readonly secret: Uint8Array;
  /** The machine of the inviter. */
  readonly peer: PeerKey;
}

const PREFIX = "costor-join1-";
const CHECKSUM_BYTES = 4;

const schema = v.strictObject({
  a: v.pipe(
    v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(limits.ledgerTextCharacters), v.regex(/^[\x21-\x7e]*$/))),
    v.minLength(1),
    v.maxLength(limits.ledgerAddressesCount),
  ),
  e: natural,
  f: idOf(parseFederationId),
  k: bytesOf(16),
  p: idOf(parsePeerKey),
});

const checksumOf = (bytes: Uint8Array): Buffer =>
  createHash("sha256").update(bytes).digest().subarray(0, CHECKSUM_BYTES);

/** Throws `invitation-invalid` for what {@link parseInvitation} would refuse. */
export function formatInvitation({ addresses, expiresMs, federationId, secret, peer }: Invitation): string {
  const map = {
    a: addresses,
    e: expiresMs,
    f: Buffer.from(federationId, "hex"),
    k: secret,
    p: Buffer.from(peer, "hex"),
  };
  if (!v.is(schema, map)) throw invalid("its addresses, its expiry or its secret cannot be written");
  const bytes = encodeCbor(map);
  return PREFIX + base32.baseEncode(Buffer.concat([bytes, checksumOf(bytes)]));
}

/** Throws `invitation-invalid`; case and white space around do not matter. Whether it has expired is for its maker to say. */
export function parseInvitation(text: string): Invitation {
  const trimmed = text.trim().toLowerCase();
  if (!trimmed.startsWith(PREFIX)) throw invalid(`one starts with ${PREFIX}`);
  if (trimmed.length > limits.invitationCharacters) throw invalid("it is too long");
  let all: Buffer;
  try {
    all = Buffer.from(base32.baseDecode(trimmed.slice(PREFIX.length)));
  } catch (cause) {
    throw invalid("a part is missing, or it holds a character that no invitation has", cause);
  }
  const bytes = all.subarray(0, Math.max(0, all.length - CHECKSUM_BYTES));
  if (!checksumOf(bytes).equals(all.subarray(bytes.length)))
    throw invalid("its check does not match; a part is missing or mistyped");
  try {
    const { a, e, f, k, p } = v.parse(schema, { ...(decodeCbor(bytes) as CborMap) });
    return { addresses: a, expiresMs: e, federationId: f, secret: k, peer: p };
  } catch (cause) {
    throw invalid("its fields are wrong", cause);
  }
}

const invalid = (reason: string, cause?: unknown): CostorError =>
  new CostorError("invitation-invalid", `not an invitation: ${reason}`, { cause });
