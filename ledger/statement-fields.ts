/** Fields of an entry's data: what each is in CBOR, and as a value. */
import * as v from "valibot";
import type { CborMap, CborValue } from "#protocol/cbor.ts";
import {
  type AgentId,
  type RosterHash,
  type SiteId,
  type SnapshotId,
  parseAgentId,
  parseRosterHash,
  parseSiteId,
  parseSnapshotId,
  uuidFromBytes,
  uuidToBytes,
} from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";

export interface Field<T> {
  readonly schema: v.GenericSchema<unknown, T>;
  encode(value: T): CborValue;
}

export type Fields = Readonly<
  Record<string, { readonly schema: v.GenericSchema; readonly encode: (value: never) => CborValue }>
>;

/** The values of a set of fields. */
export type Values<Fields> = { readonly [Name in keyof Fields]: Fields[Name] extends Field<infer T> ? T : never };

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
const bytesOf = (lengthBytes: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array),
    v.check((value) => value.length === lengthBytes),
  );
const fromHex = (value: string): Buffer => Buffer.from(value, "hex");

const HASH_BYTES = 32;
const UUID_BYTES = 16;

/** 32 bytes as 64 hex digits. */
export const hash: Field<string> = { schema: v.pipe(bytesOf(HASH_BYTES), v.transform(hexOf)), encode: fromHex };

export const site: Field<SiteId> = {
  schema: v.pipe(
    bytesOf(HASH_BYTES),
    v.transform((bytes) => parseSiteId(hexOf(bytes))),
  ),
  encode: fromHex,
};

export const rosterHash: Field<RosterHash> = {
  schema: v.pipe(
    bytesOf(HASH_BYTES),
    v.transform((bytes) => parseRosterHash(hexOf(bytes))),
  ),
  encode: fromHex,
};

/** What is no UUIDv7 makes the parser throw `bad-id`. */
export const agent: Field<AgentId> = {
  schema: v.pipe(
    bytesOf(UUID_BYTES),
    v.transform((bytes) => parseAgentId(uuidFromBytes(bytes))),
  ),
  encode: uuidToBytes,
};

export const snapshot: Field<SnapshotId> = {
  schema: v.pipe(
    bytesOf(UUID_BYTES),
    v.transform((bytes) => parseSnapshotId(uuidFromBytes(bytes))),
  ),
  encode: uuidToBytes,
};

/** 0 … 2⁵³−1, or from `least`. */
export const natural = (least = 0): Field<number> => ({
  schema: v.pipe(
    v.number(),
    v.check((value) => Number.isSafeInteger(value) && value >= least),
  ),
  encode: (value) => value,
});

/** The first hex digit of the PrimeIds in it, 0 … 15. */
export const slice: Field<number> = {
  schema: v.pipe(
    v.number(),
    v.check((value) => Number.isInteger(value) && value >= 0 && value <= 15),
  ),
  encode: (value) => value,
};

/** A copy, so that nothing keeps the message that it came in. */
export const bytes = (lengthBytes?: number): Field<Buffer> => ({
  schema: v.pipe(
    v.custom<Uint8Array>(
      (value) => value instanceof Uint8Array && (lengthBytes === undefined || value.length === lengthBytes),
    ),
    v.transform((value) => Buffer.from(value)),
  ),
  encode: (value) => value,
});

/** Links of recovery keys, each as it was signed. */
export const chain: Field<readonly Buffer[]> = {
  schema: v.pipe(v.array(bytes().schema), v.maxLength(limits.recoveryKeysCount)),
  encode: (value) => value,
};

/** For people's eyes: no control characters. */
const textSchema = v.pipe(v.string(), v.maxLength(limits.ledgerTextCharacters), v.regex(/^\P{Cc}*$/u));
export const text: Field<string> = { schema: textSchema, encode: (value) => value };

export const addresses: Field<readonly string[]> = {
  schema: v.pipe(v.array(textSchema), v.maxLength(limits.ledgerAddressesCount)),
  encode: (value) => value,
};

/** SiteIds, ascending. */
export const holders: Field<readonly SiteId[]> = {
  schema: v.pipe(
    v.array(site.schema),
    v.maxLength(limits.holdersPerSliceCount),
    v.check((ids) => ids.every((id, index) => index === 0 || ids[index - 1]! < id)),
  ),
  encode: (ids) => ids.map(fromHex),
};

/** The same; a statement of an earlier version has none. */
export const optionalSites: Field<readonly SiteId[]> = {
  schema: v.optional(holders.schema, []) as Field<readonly SiteId[]>["schema"],
  encode: holders.encode,
};

/** A statement of an earlier version has none, which is no. */
export const optionalFlag: Field<boolean> = {
  schema: v.optional(v.boolean(), false) as Field<boolean>["schema"],
  encode: (value) => value,
};

/** The map of a set of values. */
export function encodeFields(fields: Fields, values: object): CborMap {
  const data: Record<string, CborValue> = {};
  for (const [name, field] of Object.entries(fields))
    data[name] = (field.encode as (value: unknown) => CborValue)((values as Record<string, unknown>)[name]);
  return data;
}
