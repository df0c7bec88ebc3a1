/** Where the scrub is, kept as a fact: it goes on there after a restart. docs/specs/site-files.md */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { readFactValue } from "./site-facts.ts";

const KIND = "scrub";
const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const place = v.strictObject({ segment: natural, offset: natural });
const pass = v.strictObject({
  startedMs: natural,
  endedMs: natural,
  readBytes: natural,
  findingsCount: natural,
  wasIndexRight: v.boolean(),
});
const broken = v.strictObject({ agent: v.string(), snapshot: v.string(), missingCount: natural });
const schema = v.strictObject({
  startedMs: natural,
  /** Where the pass has begun, and will end. */
  start: place,
  /** What is read next; null: it begins at the first record again, and goes on to `start`. */
  next: v.nullable(place),
  hasWrapped: v.boolean(),
  readBytes: natural,
  totalBytes: natural,
  findingsCount: natural,
  /** Bytes a second; null: by what there is. */
  rate: v.nullable(natural),
  pausedUntilMs: natural,
  last: v.nullable(pass),
  /** Snapshots that cannot be restored in full, as of `brokenAsOfMs`; the first ones. */
  broken: v.array(broken),
  brokenAsOfMs: natural,
});
export type ScrubState = Readonly<v.InferOutput<typeof schema>>;
export type BrokenSnapshot = Readonly<v.InferOutput<typeof broken>>;

export async function readScrubState(store: Pick<PrimeStore, "fact">): Promise<ScrubState | undefined> {
  const value = await store.fact(KIND, "");
  return value === undefined ? undefined : readFactValue(value, schema, KIND);
}

export const writeScrubState = (store: Pick<PrimeStore, "appendFacts">, state: ScrubState): Promise<void> =>
  store.appendFacts([{ kind: KIND, key: "", value: encodeCbor(structuredClone(state)) }]);
