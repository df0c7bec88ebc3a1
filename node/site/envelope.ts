/**
 * The envelope of the site's own files: the canonical CBOR map {b: body, f: format, h: hash}, where hash is the SHA-256 of
 * the format's name, a zero byte and the body. Any flipped bit, cut or appended byte is noticed on reading.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";

const hashOf = (format: string, body: Uint8Array): Buffer =>
  createHash("sha256").update(format).update("\0").update(body).digest();

export function sealEnvelope(format: string, value: CborValue): Buffer {
  const body = encodeCbor(value);
  return encodeCbor({ b: body, f: format, h: hashOf(format, body) });
}

const envelopeSchema = v.strictObject({ b: v.instance(Uint8Array), f: v.string(), h: v.instance(Uint8Array) });

/** The value in an envelope, as `schema` reads it. Throws `identity-damaged`, which names the file. */
function openEnvelope<Schema extends v.GenericSchema>(
  bytes: Uint8Array,
  format: string,
  schema: Schema,
  path: string,
): v.InferOutput<Schema> {
  try {
    const { b: body, f: found, h: hash } = v.parse(envelopeSchema, { ...(decodeCbor(bytes) as object) });
    if (found !== format) throw new Error(`it is a ${found}, not a ${format}`);
    if (!hashOf(found, body).equals(hash)) throw new Error("its hash does not match");
    return v.parse(schema, plain(decodeCbor(body)));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CostorError("identity-damaged", `${path} is damaged: ${reason}`, { cause, details: { path } });
  }
}

/** Throws `identity-damaged` for a file that is missing, unreadable or changed. */
export async function readEnvelope<Schema extends v.GenericSchema>(
  path: string,
  format: string,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new CostorError("identity-damaged", `${path} cannot be read`, { cause, details: { path } });
  }
  return openEnvelope(bytes, format, schema, path);
}

/** Decoded maps have no prototype, which valibot's object schemas take for no object. */
const plain = (value: CborValue): unknown =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array)
    ? { ...value }
    : value;
