/** Facts that the site keeps in the prime store: one canonical CBOR map each. Kinds and fields: docs/specs/site-files.md. */
import * as v from "valibot";
import { decodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";

export type SiteFact = Parameters<PrimeStore["appendFacts"]>[0][number];

/** Throws `store-damaged`: the store verifies what it returns, so a fact of another shape was written by other software. */
export function readFactValue<Schema extends v.GenericSchema>(
  value: Uint8Array,
  schema: Schema,
  what: string,
): v.InferOutput<Schema> {
  try {
    return v.parse(schema, { ...(decodeCbor(value) as object) });
  } catch (cause) {
    throw new CostorError("store-damaged", `a stored ${what} record cannot be read`, { cause });
  }
}
