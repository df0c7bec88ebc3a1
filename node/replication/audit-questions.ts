/**
 * What a holder can be asked for by its receipts, whatever was backed up or forgotten since: of each slice a sample that only this site
 * knows. Durable, so that a holder that takes nothing new is asked all the same. docs/specs/replication.md, Audits
 *
 * A sample is a fact: kind `audit-questions`, key holder/slice. What a later live set leaves out is taken from it before the holder
 * hears of that live set: so all of it is in every set that the holder has given a receipt for since it was drawn.
 */
import * as v from "valibot";
import { drawIndexes } from "#ledger/audit-sample.ts";
import type { Clock } from "#ledger/clock.ts";
import type { Rng } from "#ledger/rng.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { idsField, idsToBytes } from "./replicate-messages.ts";
import type { SignedSlice } from "./owner-run.ts";

export interface AuditQuestionsComponents {
  readonly clock: Pick<Clock, "now">;
  readonly rng: Rng;
  readonly store: Pick<PrimeStore, "fact" | "facts" | "appendFacts">;
}

type CoveredSlice = Pick<SignedSlice, "slice" | "generation" | "ids">;

const KIND = "audit-questions";
/** One that is older is drawn anew with the next receipt: who has been asked does not know what comes next. */
const DRAWN_EVERY_MS = 20 * 3_600_000;
/** Likewise once the set has grown by so much. */
const GROWN_RATIO = 1.1;

const integer = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const schema = v.strictObject({
  /** How many there were to draw from. */
  count: integer,
  drawn: integer,
  generation: integer,
  ids: idsField(limits.auditQuestionsCount),
});

export interface AuditSample extends v.InferOutput<typeof schema> {
  readonly slice: number;
}

export class AuditQuestions {
  readonly #components: AuditQuestionsComponents;

  constructor(components: AuditQuestionsComponents) {
    this.#components = components;
  }

  /**
   * Before a holder hears of a live set: what it leaves out is asked for no more. Durable when it resolves, with a new sample if the
   * former one does no longer: {@link note} it once there is a receipt.
   */
  async prepare(holder: SiteId, covered: CoveredSlice): Promise<AuditSample | undefined> {
    const { clock, rng, store } = this.#components;
    const { slice, generation, ids } = covered;
    const before = await this.#read(holder, slice);
    const still = before?.ids.filter((id) => isAmong(ids, id)) ?? [];
    if (before !== undefined && still.length < before.ids.length)
      await store.appendFacts([factOf(holder, { ...before, ids: still })]);
    const nowMs = clock.now();
    const wantedCount = Math.min(ids.length, limits.auditQuestionsCount);
    const isEnough =
      before !== undefined &&
      still.length * 2 >= wantedCount &&
      ids.length <= before.count * GROWN_RATIO &&
      Math.abs(nowMs - before.drawn) < DRAWN_EVERY_MS;
    if (isEnough) return undefined;
    const drawn = drawIndexes(ids.length, wantedCount, rng).map((at) => ids[at]!);
    return { slice, generation, count: ids.length, drawn: nowMs, ids: drawn };
  }

  /** There are receipts for their generations. Durable when it resolves. */
  async note(holder: SiteId, samples: readonly AuditSample[]): Promise<void> {
    if (samples.length > 0) await this.#components.store.appendFacts(samples.map((sample) => factOf(holder, sample)));
  }

  /**
   * What the holder is bound to have, as long as this site still has it in its set, by whatever receipt of its own counts now: it has given one
   * for all of this, and has not heard since that any of it is left out.
   */
  async of(holder: SiteId, slice: number): Promise<readonly PrimeId[]> {
    return (await this.#read(holder, slice))?.ids ?? [];
  }

  /** Forgets those of others than a table of placements names; of all, on a disk that is older than what was told. */
  async retain(table: readonly (readonly SiteId[])[]): Promise<void> {
    const { store } = this.#components;
    const named = new Set(table.flatMap((holders, slice) => holders.map((holder) => keyOf(holder, slice))));
    const gone: SiteFact[] = [];
    for await (const { key } of store.facts(KIND))
      if (!named.has(key)) gone.push({ kind: KIND, key, value: undefined });
    if (gone.length > 0) await store.appendFacts(gone);
  }

  async #read(holder: SiteId, slice: number): Promise<AuditSample | undefined> {
    const value = await this.#components.store.fact(KIND, keyOf(holder, slice));
    return value && { slice, ...readFactValue(value, schema, KIND) };
  }
}

const keyOf = (holder: SiteId, slice: number): string => `${holder}/${slice.toString(16)}`;

const factOf = (holder: SiteId, { slice, ids, ...rest }: AuditSample): SiteFact => ({
  kind: KIND,
  key: keyOf(holder, slice),
  value: encodeCbor({ ...rest, ids: idsToBytes(ids) }),
});

function isAmong(ascending: readonly PrimeId[], id: PrimeId): boolean {
  let [first, end] = [0, ascending.length];
  while (first < end) {
    const middle = (first + end) >> 1;
    if (ascending[middle]! < id) first = middle + 1;
    else end = middle;
  }
  return ascending[first] === id;
}
