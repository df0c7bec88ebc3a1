/**
 * What each record does to the index. The same code runs after every write, at opening and in a rebuild, on the records
 * in their order: that is why a rebuild gives an equal index.
 */
import { primeIdToBytes } from "#protocol/ids.ts";
import { assertInvariant } from "#protocol/errors.ts";
import {
  claimKey,
  countEntry,
  decodeLocation,
  encodeFactValue,
  encodeLocation,
  encodeNumber,
  entryCrc,
  factKey,
  type IndexMeta,
  primeKey,
  quarantineKey,
  removedSegmentValue,
  segmentKey,
} from "./index-entries.ts";
import {
  decodeTotal,
  encodeKeepPlace,
  encodeTotal,
  keepKey,
  siteOfTotalKey,
  sliceOfId,
  sliceOfTotalKey,
  totalChanges,
  totalKey,
  totalPrefix,
} from "./keep-entries.ts";
import {
  decodeClaims,
  decodeClaimSet,
  decodeDeletion,
  decodeFact,
  decodeKeep,
  decodeQuarantine,
  decodeSegmentRemoval,
  decodeStatement,
} from "./record-body.ts";
import { type RecordHeader, recordKind, type RecordPlace } from "./record.ts";

/** A durable record with its place. The body of a prime is not needed. */
export interface PlacedRecord extends RecordHeader, RecordPlace {
  readonly body?: Buffer;
}

/** What the projection reads of the index as it is. */
export interface EntryReader {
  getMany(keys: readonly Buffer[]): Promise<readonly (Buffer | undefined)[]>;
  /** Keys from `start` on that begin with `prefix`. */
  keysWith(prefix: Buffer): AsyncIterable<Buffer>;
  /** The same for many prefixes, which ascend. */
  keysWithEach(prefixes: readonly Buffer[]): AsyncIterable<Buffer>;
}

export interface EntryChange {
  readonly key: Buffer;
  /** Undefined removes the entry. */
  readonly value: Buffer | undefined;
}

const factPrefix = "f".charCodeAt(0);
const primePrefix = "p".charCodeAt(0);
const claimLetter = "c".charCodeAt(0);
const claimPrefixBytes = claimKey(Buffer.alloc(32), Buffer.alloc(0)).length;

interface Touched {
  readonly key: Buffer;
  readonly before: Buffer | undefined;
  after: Buffer | undefined;
}

type MutableMeta = { -readonly [Name in keyof IndexMeta]: IndexMeta[Name] };

/** Collects the changes of a run of records; each record sees those before it. */
export class Projection {
  readonly #reader: EntryReader;
  readonly #touched = new Map<string, Touched>();
  /** Keys of those that are claims, by what they begin with: letter and prime. */
  readonly #touchedClaims = new Map<string, Buffer[]>();
  readonly #meta: MutableMeta;

  constructor(reader: EntryReader, meta: IndexMeta) {
    this.#reader = reader;
    this.#meta = { ...meta, facts: { ...meta.facts }, rest: { ...meta.rest } };
  }

  /** Notes that the records of `segment` count up to `endBytes`, and that the next record is at `next`. */
  async closeSegment(segment: number, endBytes: number, next: RecordPlace): Promise<void> {
    await this.#load([segmentKey(segment)]);
    this.#set(segmentKey(segment), encodeNumber(endBytes));
    this.#meta.position = next;
  }

  async apply(records: readonly PlacedRecord[]): Promise<void> {
    await this.#load(records.flatMap(keysOf));
    await this.#loadKeepsOf(records);
    for (const record of records) {
      await this.#applyOne(record);
      this.#meta.position = { segment: record.segment, offset: record.offset + 64 + record.bodyBytes };
    }
  }

  /** The changes of the entries, and the meta entry that goes with them. */
  finish(): { changes: EntryChange[]; meta: IndexMeta } {
    this.#updateTotals();
    const changes: EntryChange[] = [];
    const meta = this.#meta;
    for (const { key, before, after } of this.#touched.values()) {
      if (before === after || (before !== undefined && after !== undefined && before.equals(after))) continue;
      changes.push({ key, value: after });
      const fingerprint = key[0] === factPrefix ? meta.facts : meta.rest;
      if (before !== undefined) countEntry(fingerprint, -1, entryCrc(key, before));
      if (after !== undefined) countEntry(fingerprint, 1, entryCrc(key, after));
      if (key[0] === primePrefix) {
        meta.primeCount += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
        meta.primeBytes += locationBytes(after) - locationBytes(before);
      }
    }
    return { changes, meta: { ...meta } };
  }

  async #applyOne(record: PlacedRecord): Promise<void> {
    const { segment, offset } = record;
    switch (record.kind) {
      case recordKind.prime:
        return this.#set(primeKey(record.digest), encodeLocation({ segment, offset, bodyBytes: record.bodyBytes }));
      case recordKind.claims: {
        const { agent, ids } = decodeClaims(bodyOf(record));
        for (const id of ids) this.#set(claimKey(id, agent), Buffer.alloc(0));
        return;
      }
      case recordKind.fact: {
        const fact = decodeFact(bodyOf(record));
        const key = factKey(fact.kind, fact.key);
        return this.#set(key, encodeFactValue(key, { segment, offset }, fact.value));
      }
      case recordKind.factRemoval: {
        const fact = decodeFact(bodyOf(record));
        return this.#set(factKey(fact.kind, fact.key), undefined);
      }
      case recordKind.generation:
        this.#meta.generation = bodyOf(record).toString("hex");
        return;
      case recordKind.quarantine:
        return this.#quarantine(bodyOf(record));
      case recordKind.deletion:
        return this.#delete(decodeDeletion(bodyOf(record)));
      case recordKind.claimSet: {
        const { id, agents } = decodeClaimSet(bodyOf(record));
        await this.#removeWith(claimKey(id, Buffer.alloc(0)));
        for (const agent of agents) this.#set(claimKey(id, agent), Buffer.alloc(0));
        return;
      }
      case recordKind.segmentRemoval:
        return this.#removeSegments(decodeSegmentRemoval(bodyOf(record)));
      case recordKind.batch:
      case recordKind.clean:
        this.#meta.receivedMs = Math.max(this.#meta.receivedMs, decodeStatement(bodyOf(record)).receivedMs);
        return;
      case recordKind.keep: {
        const { site, ids } = decodeKeep(bodyOf(record));
        const value = encodeKeepPlace({ segment, offset });
        for (const id of ids) this.#set(keepKey(site, id), value);
        return;
      }
      case recordKind.release: {
        const { site, ids } = decodeKeep(bodyOf(record));
        for (const id of ids) this.#set(keepKey(site, id), undefined);
        // What a walk would have kept again may now be kept no more.
        this.#meta.closedEpoch += 1;
        return;
      }
    }
  }

  /** The keeps of all primes that may come or go: only a site that has lost some can keep one that is not here. */
  async #loadKeepsOf(records: readonly PlacedRecord[]): Promise<void> {
    const coming: Buffer[] = [];
    const going: Buffer[] = [];
    for (const record of records) {
      for (const id of primesOf(record)) (this.#get(primeKey(id)) === undefined ? coming : going).push(id);
    }
    if (coming.length + going.length === 0) return;
    const totals: Buffer[] = [];
    for await (const key of this.#reader.keysWith(totalPrefix)) totals.push(key);
    await this.#load(totals);
    for (const key of totals) {
      const total = decodeTotal(this.#get(key)!);
      const site = siteOfTotalKey(key);
      const slice = sliceOfTotalKey(key);
      const ids = total?.lostCount === 0 ? going : [...going, ...coming];
      await this.#load(ids.filter((id) => sliceOfId(id) === slice).map((id) => keepKey(site, id)));
    }
  }

  #updateTotals(): void {
    const primeOf = (key: Buffer): Touched => this.#touched.get(textOf(key))!;
    for (const [key, change] of totalChanges(this.#touched.values(), primeOf)) {
      const value = this.#get(key);
      const total = (value === undefined ? undefined : decodeTotal(value)) ?? { count: 0, bytes: 0, lostCount: 0 };
      total.count += change.count;
      total.bytes += change.bytes;
      total.lostCount += change.lostCount;
      this.#set(key, total.count === 0 ? undefined : encodeTotal(total));
    }
  }

  #quarantine(body: Buffer): void {
    for (const stretch of decodeQuarantine(body)) {
      const length = encodeNumber(stretch.lengthBytes);
      const isNew = this.#get(quarantineKey(stretch))?.equals(length) !== true;
      this.#set(quarantineKey(stretch), length);
      if (stretch.id === undefined) {
        // What was there is not known, so an index that has it is not what the segments say any more. A record that was moved says nothing new.
        if (isNew) this.#meta.isComplete = false;
        continue;
      }
      const key = primeKey(primeIdToBytes(stretch.id));
      const value = this.#get(key);
      const location = value === undefined ? undefined : decodeLocation(value);
      if (location?.segment === stretch.segment && location.offset === stretch.offset) this.#set(key, undefined);
    }
    this.#meta.closedEpoch += 1;
  }

  async #delete(ids: readonly Buffer[]): Promise<void> {
    const prefixes = ids.map((id) => claimKey(id, Buffer.alloc(0))).sort((one, other) => one.compare(other));
    const claims = prefixes.flatMap((prefix) => this.#touchedClaims.get(textOf(prefix)) ?? []);
    for await (const key of this.#reader.keysWithEach(prefixes)) claims.push(key);
    await this.#load(claims);
    for (const key of [...ids.map(primeKey), ...claims]) this.#set(key, undefined);
    this.#meta.closedEpoch += 1;
  }

  async #removeSegments(segments: readonly number[]): Promise<void> {
    for (const segment of segments) this.#set(segmentKey(segment), encodeNumber(removedSegmentValue));
    const removed = new Set(segments);
    await this.#removeWith(Buffer.from("q", "latin1"), (key) => removed.has(key.readUInt32BE(33)));
  }

  async #removeWith(prefix: Buffer, isWanted: (key: Buffer) => boolean = () => true): Promise<void> {
    const keys: Buffer[] = [];
    for await (const key of this.#reader.keysWith(prefix)) keys.push(key);
    if (prefix[0] === claimLetter) keys.push(...(this.#touchedClaims.get(textOf(prefix)) ?? []));
    else
      for (const touched of this.#touched.values())
        if (touched.key.subarray(0, prefix.length).equals(prefix)) keys.push(touched.key);
    await this.#load(keys);
    for (const key of keys) if (isWanted(key)) this.#set(key, undefined);
  }

  async #load(keys: readonly Buffer[]): Promise<void> {
    const wanted = keys.filter((key) => !this.#touched.has(textOf(key)));
    if (wanted.length === 0) return;
    const values = await this.#reader.getMany(wanted);
    for (const [index, key] of wanted.entries()) {
      this.#touched.set(textOf(key), { key, before: values[index], after: values[index] });
      if (key[0] !== claimLetter) continue;
      const place = textOf(key.subarray(0, claimPrefixBytes));
      const claims = this.#touchedClaims.get(place);
      if (claims === undefined) this.#touchedClaims.set(place, [key]);
      else claims.push(key);
    }
  }

  #get(key: Buffer): Buffer | undefined {
    const touched = this.#touched.get(textOf(key));
    assertInvariant(touched !== undefined, "a record's keys are loaded before it is applied");
    return touched.after;
  }

  #set(key: Buffer, value: Buffer | undefined): void {
    const touched = this.#touched.get(textOf(key));
    assertInvariant(touched !== undefined, "a record's keys are loaded before it is applied");
    touched.after = value;
  }
}

const textOf = (key: Buffer): string => key.toString("latin1");

function locationBytes(value: Buffer | undefined): number {
  return value === undefined ? 0 : (decodeLocation(value)?.bodyBytes ?? 0);
}

function bodyOf(record: PlacedRecord): Buffer {
  assertInvariant(record.body !== undefined, "a small record comes with its body", { kind: record.kind });
  return record.body;
}

/** The entries that a record changes and that its body names. */
function keysOf(record: PlacedRecord): Buffer[] {
  switch (record.kind) {
    case recordKind.prime:
      return [primeKey(record.digest)];
    case recordKind.claims: {
      const { agent, ids } = decodeClaims(bodyOf(record));
      return ids.map((id) => claimKey(id, agent));
    }
    case recordKind.fact:
    case recordKind.factRemoval: {
      const fact = decodeFact(bodyOf(record));
      return [factKey(fact.kind, fact.key)];
    }
    case recordKind.quarantine:
      return decodeQuarantine(bodyOf(record)).flatMap((stretch) =>
        stretch.id === undefined
          ? [quarantineKey(stretch)]
          : [quarantineKey(stretch), primeKey(primeIdToBytes(stretch.id))],
      );
    case recordKind.claimSet: {
      const { id, agents } = decodeClaimSet(bodyOf(record));
      return agents.map((agent) => claimKey(id, agent));
    }
    case recordKind.deletion:
      return decodeDeletion(bodyOf(record)).map(primeKey);
    case recordKind.segmentRemoval:
      return decodeSegmentRemoval(bodyOf(record)).map(segmentKey);
    case recordKind.keep:
    case recordKind.release: {
      const { site, ids } = decodeKeep(bodyOf(record));
      const totals = [...new Set(ids.map(sliceOfId))].map((slice) => totalKey(site, slice));
      return [...totals, ...ids.flatMap((id) => [keepKey(site, id), primeKey(id)])];
    }
    default:
      return [];
  }
}

/** The primes that a record brings or takes away. */
function primesOf(record: PlacedRecord): Buffer[] {
  if (record.kind === recordKind.prime) return [record.digest];
  if (record.kind === recordKind.deletion) return decodeDeletion(bodyOf(record));
  if (record.kind !== recordKind.quarantine) return [];
  return decodeQuarantine(bodyOf(record)).flatMap(({ id }) => (id === undefined ? [] : [primeIdToBytes(id)]));
}
