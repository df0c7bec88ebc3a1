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
  const plain = typeof value === "object" && value !== null ? { ...value } : value;
  const parsed = v.safeParse(optionFor(schema, plain), plain);
  if (parsed.success) return parsed.output;
  throw new CostorError(code, `not ${what}: ${parsed.issues[0].message}`);
}

const optionsOf = new WeakMap<object, { readonly key: string; readonly options: ReadonlyMap<unknown, object> }>();

/**
 * Of a variant the option that the value names by its key; otherwise the schema itself. A variant tries one option after the other, which
 * costs more than all else that is done with a small message.
 */
export function optionFor<Schema extends v.GenericSchema>(schema: Schema, value: unknown): Schema {
  if (schema.type !== "variant" || typeof value !== "object" || value === null) return schema;
  let known = optionsOf.get(schema);
  if (known === undefined) {
    const { key, options } = schema as unknown as Variant;
    known = { key, options: new Map(options.map((option) => [option.entries[key]?.literal, option])) };
    optionsOf.set(schema, known);
  }
  return (known.options.get((value as Record<string, unknown>)[known.key]) as Schema | undefined) ?? schema;
}

/** As valibot makes it. */
interface Variant {
  readonly key: string;
  readonly options: readonly { readonly entries: Readonly<Record<string, { readonly literal?: unknown }>> }[];
}
