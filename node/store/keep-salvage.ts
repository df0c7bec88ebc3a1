/**
 * Keeps that a rebuild from damaged segments would lose or bring back. What the segments say of each keep is not held in memory: an
 * entry whose record is still there is right, so only the places of records are, and the keeps that the index has not.
 */
import { idOfKeepKey, keepKey, siteOfKeepKey } from "./keep-entries.ts";
import { allKeeps } from "./keep-index.ts";
import type { IndexReplay } from "./index-salvage.ts";
import type { PlacedRecord } from "./projection.ts";
import { decodeKeep, keepRecords, releaseRecords } from "./record-body.ts";
import { comparePlaces, type NewRecord, recordKind, type RecordPlace } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export class KeepReplay implements IndexReplay {
  readonly #index: StoreIndex;
  /** Places of keep records before the position of the index. */
  readonly #found = new Set<string>();
  /** Keys of keeps before the position that the index has not, and that nothing has ended since. */
  readonly #returned = new Set<string>();
  /** Keys of keeps that something after the position is about. */
  readonly #newer = new Set<string>();

  constructor(index: StoreIndex) {
    this.#index = index;
  }

  async apply(records: readonly PlacedRecord[]): Promise<void> {
    for (const record of records) {
      if (record.kind !== recordKind.keep && record.kind !== recordKind.release) continue;
      const { site, ids } = decodeKeep(record.body!);
      const keys = ids.map((id) => keepKey(site, id));
      if (comparePlaces(record, this.#index.meta.position) >= 0) for (const key of keys) this.#newer.add(textOf(key));
      else if (record.kind === recordKind.release) for (const key of keys) this.#returned.delete(textOf(key));
      else {
        this.#found.add(placeText(record));
        const entries = await this.#index.getMany(keys);
        for (const [at, key] of keys.entries()) if (entries[at] === undefined) this.#returned.add(textOf(key));
      }
    }
  }

  async records(removed: ReadonlySet<number>): Promise<NewRecord[]> {
    const lost: Buffer[] = [];
    for await (const { site, id, place } of allKeeps(this.#index)) {
      const key = keepKey(site, id);
      if (removed.has(place.segment)) continue;
      if (!this.#found.has(placeText(place)) && !this.#newer.has(textOf(key))) lost.push(key);
    }
    const returned = [...this.#returned].filter((text) => !this.#newer.has(text));
    return [
      ...recordsOf(lost, keepRecords),
      ...recordsOf(
        returned.map((text) => Buffer.from(text, "latin1")),
        releaseRecords,
      ),
    ];
  }
}

function recordsOf(keys: readonly Buffer[], make: typeof keepRecords): NewRecord[] {
  const bySite = Map.groupBy(keys, (key) => textOf(siteOfKeepKey(key)));
  return [...bySite].flatMap(([site, ones]) => make(Buffer.from(site, "latin1"), ones.map(idOfKeepKey)));
}

const textOf = (key: Buffer): string => key.toString("latin1");
const placeText = ({ segment, offset }: RecordPlace): string => `${segment} ${offset}`;
