/**
 * Where primes lie, in memory: 44 bytes a place in a table that is half to a third empty, some 130 MB for a million. For a store that is
 * read without its index. A prime that lies in several places has them all.
 */
import type { PrimeLocation } from "./index-entries.ts";

const ID_BYTES = 32;
const FIRST_CAPACITY_COUNT = 1024;
const FILLED_RATIO = 0.7;

interface Table {
  /** A power of two. */
  readonly capacityCount: number;
  readonly ids: Buffer;
  /** 0 where nothing is. */
  readonly segments: Uint32Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
}

const newTable = (capacityCount: number): Table => ({
  capacityCount,
  ids: Buffer.alloc(capacityCount * ID_BYTES),
  segments: new Uint32Array(capacityCount),
  offsets: new Uint32Array(capacityCount),
  lengths: new Uint32Array(capacityCount),
});

export class PrimePlaces {
  #table = newTable(FIRST_CAPACITY_COUNT);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(id: Buffer, place: PrimeLocation): void {
    if (this.#count >= this.#table.capacityCount * FILLED_RATIO) this.#grow();
    insert(this.#table, id, place);
    this.#count++;
  }

  /** Of one prime, the place that was added last first. */
  of(id: Buffer): PrimeLocation[] {
    const { capacityCount, ids, segments, offsets, lengths } = this.#table;
    const places: PrimeLocation[] = [];
    for (let at = slotOf(id, capacityCount); segments[at] !== 0; at = (at + 1) & (capacityCount - 1)) {
      if (ids.compare(id, 0, ID_BYTES, at * ID_BYTES, (at + 1) * ID_BYTES) !== 0) continue;
      places.unshift({ segment: segments[at]!, offset: offsets[at]!, bodyBytes: lengths[at]! });
    }
    return places;
  }

  /** Those of one prime stay in their order: they are moved in the order of their slots, but for those that have gone around the end. */
  #grow(): void {
    const { capacityCount, ids, segments, offsets, lengths } = this.#table;
    const table = newTable(capacityCount * 2);
    const firstFree = segments.indexOf(0);
    for (let count = 0; count < capacityCount; count++) {
      const at = (firstFree + count) & (capacityCount - 1);
      if (segments[at] === 0) continue;
      const place = { segment: segments[at]!, offset: offsets[at]!, bodyBytes: lengths[at]! };
      insert(table, ids.subarray(at * ID_BYTES, (at + 1) * ID_BYTES), place);
    }
    this.#table = table;
  }
}

/** Ids are hashes: their first bytes are as good as chance. */
const slotOf = (id: Buffer, capacityCount: number): number => id.readUInt32BE(0) & (capacityCount - 1);

function insert(table: Table, id: Buffer, { segment, offset, bodyBytes }: PrimeLocation): void {
  const { capacityCount, ids, segments, offsets, lengths } = table;
  let at = slotOf(id, capacityCount);
  while (segments[at] !== 0) at = (at + 1) & (capacityCount - 1);
  id.copy(ids, at * ID_BYTES, 0, ID_BYTES);
  segments[at] = segment;
  offsets[at] = offset;
  lengths[at] = bodyBytes;
}
