/** What came of restore drills: facts, the newest hundred. docs/specs/site-files.md */
import * as v from "valibot";
import { readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type CborMap, encodeCbor } from "#protocol/cbor.ts";

/**
 * `local`: from this site's own store. `offsite`: from the holders' copies alone. `across`: from those, gathered by another site. `tamper`:
 * what is forbidden is tried. `kit`: from the holders' copies, by a recovery kit that a person has offered.
 */
export const drillKinds = ["local", "offsite", "across", "tamper", "kit"] as const;
export type DrillKind = (typeof drillKinds)[number];

const KIND = "drill";
const KEPT_COUNT = 100;

const count = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({
  kind: v.picklist(drillKinds),
  /** Of a drill across sites: the SiteId of who has gathered, and has signed the result. */
  gatherer: v.optional(v.string()),
  /** Some files, or one whole snapshot. */
  isWhole: v.boolean(),
  startedMs: count,
  endedMs: count,
  /** Of a tamper drill: what was tried. */
  filesCount: count,
  bytes: count,
  failedCount: count,
  /** The first of them, for people. */
  failures: v.pipe(v.array(v.strictObject({ what: v.string(), message: v.string() })), v.readonly()),
  /** Of a tamper drill: what was refused, and with which code. */
  refusals: v.optional(v.pipe(v.array(v.strictObject({ what: v.string(), code: v.string() })), v.readonly())),
});
export type DrillResult = Readonly<v.InferOutput<typeof schema>>;

export class DrillRecord {
  readonly #store: Pick<PrimeStore, "appendFacts">;
  #results: readonly DrillResult[];

  private constructor(store: Pick<PrimeStore, "appendFacts">, results: readonly DrillResult[]) {
    this.#store = store;
    this.#results = results;
  }

  static async open(store: Pick<PrimeStore, "appendFacts" | "facts">): Promise<DrillRecord> {
    const results: DrillResult[] = [];
    for await (const { value } of store.facts(KIND)) results.push(readFactValue(value, schema, KIND));
    return new DrillRecord(store, results.sort(newestFirst));
  }

  /** The newest first. */
  list(): readonly DrillResult[] {
    return this.#results;
  }

  /** Durable when it resolves. */
  async add(result: DrillResult): Promise<void> {
    const results = [result, ...this.#results].sort(newestFirst);
    const value = encodeCbor(result as unknown as CborMap);
    const gone = results.slice(KEPT_COUNT);
    await this.#store.appendFacts([
      { kind: KIND, key: keyOf(result), value },
      ...gone.map((old) => ({ kind: KIND, key: keyOf(old), value: undefined })),
    ]);
    this.#results = results.slice(0, KEPT_COUNT);
  }
}

const keyOf = ({ startedMs, kind }: DrillResult): string => `${startedMs}/${kind}`;
const newestFirst = (one: DrillResult, other: DrillResult): number => other.startedMs - one.startedMs;
