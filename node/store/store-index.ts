/**
 * The index of a store in Level: a projection of the segments that may be deleted at any time. Every answer may be
 * wrong after damage to Level's files, so places are verified by who reads them, and `verify` finds missing entries.
 *
 * One writer; readers at any time. Throws {@link IndexFault} for what a rebuild mends.
 */
import { ClassicLevel } from "classic-level";
import {
  claimKey,
  closedKey,
  countEntry,
  decodeFactValue,
  decodeLocation,
  decodeMeta,
  decodeQuarantineEntry,
  encodeMeta,
  entryCrc,
  factKey,
  type Fingerprint,
  type IndexMeta,
  metaKey,
  primeKey,
  type PrimeLocation,
  removedSegmentValue,
  segmentOfKey,
} from "./index-entries.ts";
import { areSoundLevelFiles, openingBytes } from "./level-files.ts";
import {
  assertNotOpenHere,
  closeLevel,
  entriesOf,
  keysWithPrefixes,
  guard,
  IndexFault,
  type Level,
  openLevel,
} from "./level-handle.ts";
import { type EntryChange, Projection, type EntryReader, type PlacedRecord } from "./projection.ts";
import type { DamagedStretch } from "./record-body.ts";
import type { RecordPlace, StoreSalt } from "./record.ts";

const lookUpsPerCallCount = 4096;
const closedPrefix = Buffer.from("k", "latin1");
const forgottenMoreCount = 4096;

/** From `gte`, or after `gt`; to before `lt`, or to `lte`; at most `limit` entries. */
export interface IndexRange {
  readonly gt?: Buffer;
  readonly gte?: Buffer;
  readonly lt?: Buffer;
  readonly lte?: Buffer;
  readonly limit?: number;
}

export interface IndexInit {
  readonly location: string;
}

export class StoreIndex implements EntryReader {
  readonly #location: string;
  #level: Level;
  #meta: IndexMeta;
  /** The marks of former epochs are gone up to here. */
  #forgotten: Buffer = closedPrefix;

  private constructor(location: string, level: Level, meta: IndexMeta) {
    this.#location = location;
    this.#level = level;
    this.#meta = meta;
  }

  /** The index at `location`, undefined when there is none or it cannot be used. Throws `store-locked`. */
  static async open(init: IndexInit): Promise<StoreIndex | undefined> {
    assertNotOpenHere(init.location);
    if (!(await areSoundLevelFiles(init.location))) return undefined;
    const level = await openLevel(init.location);
    if (level === undefined) return undefined;
    try {
      const meta = await readMeta(level);
      if (meta !== undefined) return new StoreIndex(init.location, level, meta);
    } catch (error) {
      if (!(error instanceof IndexFault)) throw error;
    }
    await closeLevel(level);
    return undefined;
  }

  /** A new, empty index in the place of whatever is at `location`. Throws `store-locked`, {@link IndexFault}. */
  static async create(init: IndexInit, salt: StoreSalt): Promise<StoreIndex> {
    await guard("removing the index", () => ClassicLevel.destroy(init.location));
    const level = await openLevel(init.location);
    if (level === undefined) throw new IndexFault("a new index does not open");
    const nothing: Fingerprint = { count: 0, sum: 0 };
    const meta: IndexMeta = {
      salt,
      generation: "",
      position: { segment: 0, offset: 0 },
      closedEpoch: 0,
      primeCount: 0,
      primeBytes: 0,
      receivedMs: 0,
      facts: nothing,
      rest: nothing,
      isComplete: false,
    };
    try {
      await guard("writing the index", () => level.put(metaKey, encodeMeta(meta)));
    } catch (error) {
      await closeLevel(level);
      throw error;
    }
    return new StoreIndex(init.location, level, meta);
  }

  get meta(): IndexMeta {
    return this.#meta;
  }

  /** Applies durable records that follow {@link IndexMeta.position}, all or none. */
  async apply(records: readonly PlacedRecord[]): Promise<void> {
    if (records.length > 0) await this.#project((projection) => projection.apply(records));
  }

  async closeSegment(segment: number, endBytes: number, next: RecordPlace): Promise<void> {
    await this.#project((projection) => projection.closeSegment(segment, endBytes, next));
  }

  /** Says whether all damage that was met is on record. */
  async setComplete(isComplete: boolean): Promise<void> {
    if (this.#meta.isComplete === isComplete) return;
    const meta = { ...this.#meta, isComplete };
    await this.#write([{ key: metaKey, value: encodeMeta(meta) }]);
    this.#meta = meta;
  }

  async #project(apply: (projection: Projection) => Promise<void>): Promise<void> {
    const projection = new Projection(this, this.#meta);
    await apply(projection);
    const { changes, meta } = projection.finish();
    await this.#write([...changes, { key: metaKey, value: encodeMeta(meta) }]);
    this.#meta = meta;
  }

  #write(changes: readonly EntryChange[]): Promise<void> {
    const operations = changes.map(({ key, value }) =>
      value === undefined ? ({ type: "del", key } as const) : ({ type: "put", key, value } as const),
    );
    return guard("writing the index", () => this.#level.batch(operations));
  }

  /** Opens Level again after it failed for want of space; entries that were not written are applied again by the caller. */
  async reopen(): Promise<void> {
    await closeLevel(this.#level);
    const level = await openLevel(this.#location);
    const meta = level === undefined ? undefined : await readMeta(level);
    if (level === undefined || meta === undefined) {
      if (level !== undefined) await closeLevel(level);
      throw new IndexFault("the index does not open again");
    }
    this.#level = level;
    this.#meta = meta;
  }

  get isOpen(): boolean {
    return this.#level.status === "open";
  }

  /** What {@link reopen} may take of the disk. */
  reopeningBytes(): Promise<number> {
    return openingBytes(this.#location);
  }

  async close(): Promise<void> {
    await closeLevel(this.#level);
  }

  async getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    const values: (Buffer | undefined)[] = [];
    for (let at = 0; at < keys.length; at += lookUpsPerCallCount) {
      const part = keys.slice(at, at + lookUpsPerCallCount);
      values.push(...(await guard("reading the index", () => this.#level.getMany(part))));
    }
    return values;
  }

  async *keysWith(prefix: Buffer): AsyncGenerator<Buffer> {
    for await (const [key] of this.#entries(prefix)) yield key;
  }

  /** The same for many prefixes, which ascend. */
  keysWithEach(prefixes: readonly Buffer[]): AsyncGenerator<Buffer> {
    return keysWithPrefixes(this.#level, prefixes);
  }

  async locate(ids: readonly Buffer[]): Promise<(PrimeLocation | undefined)[]> {
    const values = await this.getMany(ids.map(primeKey));
    return values.map((value) => (value === undefined ? undefined : decodeLocation(value)));
  }

  async hasClaims(ids: readonly Buffer[], agent: Buffer): Promise<boolean[]> {
    return (await this.getMany(ids.map((id) => claimKey(id, agent)))).map((value) => value !== undefined);
  }

  async fact(kind: string, key: Buffer): Promise<{ place: RecordPlace; value: Buffer } | undefined> {
    const indexKey = factKey(kind, key);
    const [entry] = await this.getMany([indexKey]);
    return entry === undefined ? undefined : this.#factOf(indexKey, entry);
  }

  /** Facts of a kind in byte order of their keys, those that start with `prefix`, after the key `after`. */
  async factsAfter(
    kind: string,
    prefix: Buffer,
    after: Buffer | undefined,
    limit: { readonly count: number; readonly bytes: number },
  ): Promise<{ key: Buffer; value: Buffer }[]> {
    const kindBytes = factKey(kind, Buffer.alloc(0)).length;
    const found: { key: Buffer; value: Buffer }[] = [];
    let foundBytes = 0;
    for await (const [key, entry] of this.#entries(
      factKey(kind, prefix),
      after === undefined ? undefined : factKey(kind, after),
    )) {
      found.push({ key: key.subarray(kindBytes), value: this.#factOf(key, entry).value });
      foundBytes += key.length + entry.length;
      if (found.length >= limit.count || foundBytes >= limit.bytes) break;
    }
    return found;
  }

  #factOf(key: Buffer, entry: Buffer): { place: RecordPlace; value: Buffer } {
    const fact = decodeFactValue(key, entry);
    if (fact === undefined) throw new IndexFault("an entry of a fact is damaged");
    return fact;
  }

  /** As many marks of former epochs go, and some more, so that they do not pile up. */
  async markClosed(marks: readonly string[]): Promise<void> {
    const epoch = this.#meta.closedEpoch;
    const changes: EntryChange[] = marks.map((mark) => ({ key: closedKey(epoch, mark), value: Buffer.alloc(0) }));
    let forgotten = this.#forgotten;
    const former = { gt: forgotten, lt: closedKey(epoch, ""), limit: marks.length + forgottenMoreCount };
    for await (const [key] of this.entriesIn(former)) changes.push({ key: (forgotten = key), value: undefined });
    await this.#write(changes);
    this.#forgotten = forgotten;
  }

  async areClosed(marks: readonly string[]): Promise<boolean[]> {
    const epoch = this.#meta.closedEpoch;
    return (await this.getMany(marks.map((mark) => closedKey(epoch, mark)))).map((value) => value !== undefined);
  }

  async *primes(): AsyncGenerator<{ id: Buffer; location: PrimeLocation }> {
    for await (const [key, value] of this.#entries(Buffer.from("p"))) {
      const location = decodeLocation(value);
      if (location === undefined) throw new IndexFault("an entry of a prime is damaged");
      yield { id: key.subarray(1), location };
    }
  }

  /** All current facts, with the places of their records. */
  async *allFacts(): AsyncGenerator<{ kind: string; key: Buffer; place: RecordPlace; value: Buffer }> {
    for await (const [key, entry] of this.#entries(Buffer.from("f"))) {
      const end = key.indexOf(0);
      yield { kind: key.toString("latin1", 1, end), key: key.subarray(end + 1), ...this.#factOf(key, entry) };
    }
  }

  /** All recorded damage, or that of one prime. */
  async quarantined(id?: Buffer): Promise<DamagedStretch[]> {
    const found: DamagedStretch[] = [];
    const prefix = Buffer.concat([Buffer.from("q"), id ?? Buffer.alloc(0)]);
    for await (const [key, value] of this.#entries(prefix)) found.push(decodeQuarantineEntry(key, value));
    return found;
  }

  /** Up to where the records of each finished segment count; undefined for a removed one. */
  async segments(): Promise<Map<number, number | undefined>> {
    const found = new Map<number, number | undefined>();
    for await (const [key, value] of this.#entries(Buffer.from("s"))) {
      const endBytes = value.readUInt32BE(0);
      found.set(segmentOfKey(key), endBytes === removedSegmentValue ? undefined : endBytes);
    }
    return found;
  }

  /**
   * Whether the index holds exactly the entries that its meta entry counts; of facts only, or of all the others.
   * Works on a snapshot taken before it returns its promise, so that writes may go on.
   */
  async verify(what: "facts" | "rest", signal?: AbortSignal): Promise<boolean> {
    const level = this.#level;
    const snapshot = await guard("reading the index", async () => level.snapshot());
    try {
      const bytes = await guard("reading the index", () => level.get(metaKey, { snapshot } as object));
      const meta = bytes === undefined ? undefined : decodeMeta(bytes);
      if (meta === undefined) return false;
      const counted: Fingerprint = { count: 0, sum: 0 };
      const ranges = what === "facts" ? [{ gte: Buffer.from("f"), lt: Buffer.from("g") }] : restRanges;
      for (const range of ranges) {
        for await (const [key, value] of entriesOf(level, { ...range, snapshot })) {
          signal?.throwIfAborted();
          countEntry(counted, 1, entryCrc(key, value));
        }
      }
      return counted.count === meta[what].count && counted.sum === meta[what].sum;
    } finally {
      await snapshot.close();
    }
  }

  /** Every entry that a rebuild must give again, as text, in byte order. */
  async *dump(): AsyncGenerator<string> {
    const { generation, primeCount, primeBytes, facts, rest } = this.#meta;
    yield JSON.stringify({ generation, primeCount, primeBytes, facts, rest });
    for (const prefix of ["c", "f", "h", "p", "q", "s", "t"]) {
      for await (const [key, value] of this.#entries(Buffer.from(prefix)))
        yield `${key.toString("hex")} ${value.toString("hex")}`;
    }
  }

  /** Bytes of Level's tables, as Level estimates them. */
  async sizeBytes(): Promise<number> {
    return guard("reading the index", () => this.#level.approximateSize(Buffer.from("a"), Buffer.from("z")));
  }

  /** Entries in byte order of their keys. */
  entriesIn(range: IndexRange): AsyncGenerator<[Buffer, Buffer]> {
    return entriesOf(this.#level, range);
  }

  #entries(prefix: Buffer, after?: Buffer): AsyncGenerator<[Buffer, Buffer]> {
    const end = Buffer.concat([prefix, Buffer.alloc(64, 0xff)]);
    return this.entriesIn(after === undefined ? { gte: prefix, lt: end } : { gt: after, lt: end });
  }
}

/** All entries but the meta entry, the closed marks and the facts. */
const restRanges = [
  { gte: Buffer.from("a"), lt: Buffer.from("f") },
  { gte: Buffer.from("g"), lt: Buffer.from("k") },
  { gte: Buffer.from("n"), lt: Buffer.from("~") },
];

async function readMeta(level: Level): Promise<IndexMeta | undefined> {
  const bytes = await guard("reading the index", () => level.get(metaKey));
  return bytes === undefined ? undefined : decodeMeta(bytes);
}
