/** What the messages of the ledger are made of, and how each is read: one canonical CBOR value that fits its schema, or nothing. */
import * as v from "valibot";
import { decodeCbor } from "#protocol/cbor.ts";
import { CostorError, type ErrorCode } from "#protocol/errors.ts";

export const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array);

export const bytesOf = (lengthBytes: number) =>
  v.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === lengthBytes);

/** 32 bytes, as what `parse` makes of their hex digits; what it throws passes. */
export const idOf = <Id>(parse: (hex: string) => Id) =>
  v.pipe(
    bytesOf(32),
    v.transform((id) => parse(Buffer.from(id).toString("hex"))),
  );

/** 0 … 2⁵³−1. */
export const natural = v.pipe(
  v.number(),
  v.check((value) => Number.isSafeInteger(value) && value >= 0),
);

/** `what`: such as "a roster". Throws `code` for another shape, and `bad-encoding` for what is no CBOR. */
export function readMessage<Output>(
  schema: v.GenericSchema<unknown, Output>,
  encoded: Uint8Array,
  what: string,
  code: ErrorCode = "bad-encoding",
): Output {
  const value = decodeCbor(encoded);
  // A map of ours has no prototype, and a schema wants a plain object.
  const parsed = v.safeParse(schema, typeof value === "object" && value !== null ? { ...value } : value);
  if (parsed.success) return parsed.output;
  throw new CostorError(code, `not ${what}: ${parsed.issues[0].message}`);
}
