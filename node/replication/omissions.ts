/**
 * What owners have left out of what this site keeps for them, and since when: durable notes, by which locks are counted.
 * docs/specs/replication.md, Dropping. Whoever calls has the owner's turn (owner-turns.ts).
 *
 * A note is a fact: kind `omitted`, key owner/slice/since/part, since in 16 digits of the holder's own clock.
 */
import * as v from "valibot";
import type { Omission } from "#ledger/drop-plan.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type SiteFact, readFactValue } from "#node/site/site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { type LogId, type PrimeId, type SiteId, parseLogId, parseSiteId, primeIdFromBytes } from "#protocol/ids.ts";
import type { HeldClock } from "./held-clock.ts";

const KIND = "omitted";
const ID_BYTES = 32;
/** A fact has at most 4 MiB. */
const IDS_PER_NOTE_COUNT = 100_000;
const SINCE_DIGITS = 16;

const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array);
const schema = v.strictObject({
  log: v.pipe(
    bytes,
    v.transform((value): LogId =>
      parseLogId(Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex")),
    ),
  ),
  since: v.pipe(v.number(), v.safeInteger()),
  /** End to end; null for the whole slice. */
  ids: v.nullable(bytes),
});

export interface OmissionNote extends Omission {
  readonly key: string;
  readonly owner: SiteId;
  readonly slice: number;
  /** Undefined for the whole slice. */
  readonly ids: readonly PrimeId[] | undefined;
}

interface OmissionComponents {
  readonly store: Pick<PrimeStore, "facts" | "appendFacts">;
  readonly heldClock: Pick<HeldClock, "note">;
}

export class Omissions {
  readonly #components: OmissionComponents;

  constructor(components: OmissionComponents) {
    this.#components = components;
  }

  /** All notes, or those of an owner and slice. */
  async *notes(owner?: SiteId, slice?: number): AsyncGenerator<OmissionNote> {
    const prefix = owner === undefined ? "" : `${owner}/${slice === undefined ? "" : `${slice.toString(16)}/`}`;
    for await (const { key, value } of this.#components.store.facts(KIND, prefix)) {
      const { log, since, ids } = readFactValue(value, schema, KIND);
      const [site, digit] = key.split("/") as [string, string];
      yield {
        key,
        owner: parseSiteId(site),
        slice: Number.parseInt(digit, 16),
        sinceMs: since,
        logId: log,
        ids: ids === null ? undefined : splitIds(ids),
      };
    }
  }

  /** What is not among these is live again, and noted no more. Durable when it resolves. */
  async narrow(owner: SiteId, slice: number, omitted: ReadonlySet<PrimeId>): Promise<void> {
    const facts: SiteFact[] = [];
    for await (const note of this.notes(owner, slice)) {
      const still = (note.ids ?? []).filter((id) => omitted.has(id));
      facts.push(...narrowed(note, still));
    }
    if (facts.length > 0) await this.#components.store.appendFacts(facts);
  }

  /**
   * Notes that a live set in this log leaves out exactly these of what is kept, once notes were narrowed to them: what an earlier one
   * in the same log left out, too, stays noted since then. Durable when it resolves.
   */
  async note(owner: SiteId, slice: number, logId: LogId, omitted: ReadonlySet<PrimeId>): Promise<void> {
    const facts: SiteFact[] = [];
    const fresh = new Set(omitted);
    for await (const note of this.notes(owner, slice))
      if (note.logId === logId) for (const id of note.ids ?? []) fresh.delete(id);
      else facts.push(gone(note));
    if (fresh.size > 0) facts.push(...this.#newNotes(owner, slice, logId, [...fresh]));
    if (facts.length > 0) await this.#components.store.appendFacts(facts);
  }

  /** Notes that the owner's placement in this log names this site for the slice no more; once for a log. */
  async noteSlice(owner: SiteId, slice: number, logId: LogId): Promise<void> {
    const notes = await Array.fromAsync(this.notes(owner, slice));
    if (notes.some((note) => note.ids === undefined && note.logId === logId)) return;
    const stale = notes.filter((note) => note.ids === undefined).map(gone);
    await this.#components.store.appendFacts([...stale, ...this.#newNotes(owner, slice, logId, undefined)]);
  }

  /** The placement names this site again. */
  async clearSlice(owner: SiteId, slice: number): Promise<void> {
    const notes = await Array.fromAsync(this.notes(owner, slice));
    await this.forget(notes.filter((note) => note.ids === undefined));
  }

  /** After what they are about was dropped. */
  async forget(notes: readonly OmissionNote[]): Promise<void> {
    if (notes.length > 0) await this.#components.store.appendFacts(notes.map(gone));
  }

  #newNotes(owner: SiteId, slice: number, logId: LogId, ids: readonly PrimeId[] | undefined): SiteFact[] {
    const { nowMs: sinceMs, fact: clockFact } = this.#components.heldClock.note();
    const since = String(sinceMs).padStart(SINCE_DIGITS, "0");
    const keyOf = (part: string) => `${owner}/${slice.toString(16)}/${since}/${part}`;
    const note = { sinceMs, logId };
    if (ids === undefined) return [{ kind: KIND, key: keyOf("slice"), value: encode(note, null) }, clockFact];
    const facts: SiteFact[] = [clockFact];
    for (let at = 0; at < ids.length; at += IDS_PER_NOTE_COUNT) {
      // Two notes of one moment and different logs stay apart.
      const part = `${logId.slice(0, 16)}-${at / IDS_PER_NOTE_COUNT}`;
      facts.push({ kind: KIND, key: keyOf(part), value: encode(note, ids.slice(at, at + IDS_PER_NOTE_COUNT)) });
    }
    return facts;
  }
}

/** Naming a slice's primes one by one says that the slice is placed here. */
const narrowed = (note: OmissionNote, still: readonly PrimeId[]): SiteFact[] => {
  if (still.length === note.ids?.length) return [];
  return [still.length === 0 ? gone(note) : { kind: KIND, key: note.key, value: encode(note, still) }];
};

const gone = ({ key }: OmissionNote): SiteFact => ({ kind: KIND, key, value: undefined });

const encode = ({ sinceMs, logId }: Omission, ids: readonly PrimeId[] | null): Buffer =>
  encodeCbor({
    log: Buffer.from(logId, "hex"),
    since: sinceMs,
    ids: ids === null ? null : Buffer.from(ids.join(""), "hex"),
  });

const splitIds = (ids: Uint8Array): PrimeId[] =>
  Array.from({ length: ids.length / ID_BYTES }, (_, at) =>
    primeIdFromBytes(ids.subarray(at * ID_BYTES, (at + 1) * ID_BYTES)),
  );
