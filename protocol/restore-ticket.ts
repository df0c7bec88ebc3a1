/**
 * The ticket by which a site's recovery key lets one other machine have the site's primes from their holders, for a short time.
 * docs/specs/keys.md
 *
 * The signature is over the exact bytes of the body behind a domain separator, so no other signature of the key can pass
 * for one.
 */
import * as v from "valibot";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import { type PeerKey, type SiteId, parsePeerKey, parseSiteId } from "./ids.ts";
import { limits } from "./limits.ts";
import { isSmallOrder, publicKeyOf, rawKeyBytes, signEd25519, verifyEd25519 } from "./raw-keys.ts";

export interface RestoreTicket {
  /** Whose primes are fetched. */
  readonly siteId: SiteId;
  /** Who may fetch. */
  readonly peer: PeerKey;
  /** 16 bytes. */
  readonly id: Buffer;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** With the recovery public key that has signed it, 32 bytes: whether that is the site's is for the ledger to say. */
export interface SignedTicket extends RestoreTicket {
  readonly recoveryKey: Buffer;
}

const DOMAIN = Buffer.from("costor/v1/restore-ticket\0");
const SITE_ID_BYTES = 32;
const ID_BYTES = 16;

const bytes = (lengthBytes?: number) =>
  v.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && (lengthBytes === undefined || value.length === lengthBytes),
  );
const signedSchema = v.strictObject({ body: bytes(), key: bytes(rawKeyBytes), signature: bytes() });
const bodySchema = v.strictObject({
  id: bytes(ID_BYTES),
  peer: bytes(rawKeyBytes),
  site: bytes(SITE_ID_BYTES),
  expires: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

export function signRestoreTicket({ siteId, peer, id, expiresMs }: RestoreTicket, recoverySeed: Uint8Array): Buffer {
  const body = encodeCbor({
    ...{ id, expires: expiresMs },
    ...{ site: Buffer.from(siteId, "hex"), peer: Buffer.from(peer, "hex") },
  });
  const signature = signEd25519(recoverySeed, Buffer.concat([DOMAIN, body]));
  return encodeCbor({ body, key: publicKeyOf("ed25519", recoverySeed), signature });
}

/**
 * Whether it has expired, and whose the key is, is not asked here. Throws `bad-encoding` and `limit-exceeded` for what is no ticket, and
 * `signature-invalid` unless the key in it has signed it.
 */
export function parseRestoreTicket(encoded: Uint8Array): SignedTicket {
  if (encoded.length > limits.restoreTicketBytes)
    throw new CostorError("limit-exceeded", `a ticket has at most ${limits.restoreTicketBytes} bytes`);
  const { body, key, signature } = parse(signedSchema, encoded);
  const { id, peer, site, expires } = parse(bodySchema, body);
  const siteId = parseSiteId(Buffer.from(site).toString("hex"));
  if (isSmallOrder(Buffer.from(key)) || !verifyEd25519(key, Buffer.concat([DOMAIN, body]), signature))
    throw new CostorError("signature-invalid", "the ticket is not signed by the key that it names");
  const ticket = { siteId, peer: parsePeerKey(Buffer.from(peer).toString("hex")), id: Buffer.from(id) };
  return { ...ticket, expiresMs: expires, recoveryKey: Buffer.from(key) };
}

function parse<Schema extends v.GenericSchema>(schema: Schema, encoded: Uint8Array): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, { ...(decodeCbor(encoded) as object) });
  if (!parsed.success) throw new CostorError("bad-encoding", "not a restore ticket: it has other fields");
  return parsed.output;
}
