/**
 * The order by which the recovery key of a site that leaves has its copies erased at once. docs/specs/replication.md, Erasing
 *
 * It names the log of the machine that gives it, so that it ends with that machine.
 */
import * as v from "valibot";
import { bytesOf, hexOf, idOf } from "./byte-schemas.ts";
import { type CborMap, decodeCbor, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import { type LogId, type SiteId, parseLogId, parseSiteId } from "./ids.ts";
import { limits } from "./limits.ts";
import { publicKeyOf, rawKeyBytes, signEd25519, verifyEd25519 } from "./raw-keys.ts";

export interface EraseOrder {
  /** 16 random bytes, hex. */
  readonly id: string;
  readonly siteId: SiteId;
  readonly logId: LogId;
}

export interface SignedEraseOrder extends EraseOrder {
  /** That has signed it; whose it is the caller looks at. */
  readonly recoveryKey: Buffer;
}

const DOMAIN = Buffer.from("costor/v1/erase-order\0");
const ID_BYTES = 16;
const SIGNATURE_BYTES = 64;
const orderSchema = v.strictObject({ body: bytesOf(), key: bytesOf(rawKeyBytes), signature: bytesOf(SIGNATURE_BYTES) });
const bodySchema = v.strictObject({
  id: hexOf(ID_BYTES),
  log: idOf(parseLogId),
  site: idOf(parseSiteId),
});
const signedBytes = (body: Uint8Array): Buffer => Buffer.concat([DOMAIN, body]);

export function signEraseOrder({ id, siteId, logId }: EraseOrder, recoverySeed: Uint8Array): Buffer {
  const body = encodeCbor({
    id: Buffer.from(id, "hex"),
    log: Buffer.from(logId, "hex"),
    site: Buffer.from(siteId, "hex"),
  });
  const key = publicKeyOf("ed25519", recoverySeed);
  return encodeCbor({ body, key, signature: signEd25519(recoverySeed, signedBytes(body)) });
}

/** Throws `bad-encoding`, `bad-id`, `limit-exceeded`, `signature-invalid`. */
export function parseEraseOrder(bytes: Uint8Array): SignedEraseOrder {
  if (bytes.length > limits.eraseOrderBytes)
    throw new CostorError("limit-exceeded", `an order to erase has at most ${limits.eraseOrderBytes} bytes`);
  const { body, key, signature } = parse(orderSchema, bytes);
  const { id, log: logId, site: siteId } = parse(bodySchema, body);
  if (!verifyEd25519(key, signedBytes(body), signature))
    throw new CostorError("signature-invalid", "the order to erase is not signed by the key that it names");
  return { id, siteId, logId, recoveryKey: key };
}

function parse<Output>(schema: v.GenericSchema<unknown, Output>, bytes: Uint8Array): Output {
  const value = decodeCbor(bytes);
  const parsed = v.safeParse(schema, typeof value === "object" && value !== null ? { ...(value as CborMap) } : value);
  if (parsed.success) return parsed.output;
  throw new CostorError("bad-encoding", `not an order to erase: ${parsed.issues[0].message}`);
}
