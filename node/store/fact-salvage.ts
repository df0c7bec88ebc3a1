/** Facts that a rebuild from damaged segments would lose or bring back: docs/specs/store.md, "Opening". */
import type { IndexReplay } from "./index-salvage.ts";
import type { PlacedRecord } from "./projection.ts";
import { decodeFact, factRecord } from "./record-body.ts";
import { comparePlaces, type NewRecord, recordKind, type RecordPlace } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

/** What the segments alone say of facts, told apart by whether it is said before or after a position. */
export class FactReplay implements IndexReplay {
  /** Where the facts are that nothing after the position is about. */
  readonly #older = new Map<string, RecordPlace>();
  /** The facts that something after the position is about. */
  readonly #newer = new Set<string>();
  readonly #index: StoreIndex;

  constructor(index: StoreIndex) {
    this.#index = index;
  }

  async apply(records: readonly PlacedRecord[]): Promise<void> {
    for (const { kind, body, segment, offset } of records) {
      if (kind !== recordKind.fact && kind !== recordKind.factRemoval) continue;
      const fact = decodeFact(body!);
      const name = nameOf(fact.kind, fact.key);
      this.#older.delete(name);
      if (comparePlaces({ segment, offset }, this.#index.meta.position) >= 0) this.#newer.add(name);
      else if (kind === recordKind.fact) this.#older.set(name, { segment, offset });
    }
  }

  async records(removed: ReadonlySet<number>): Promise<NewRecord[]> {
    const records: NewRecord[] = [];
    const returned = new Map(this.#older);
    for await (const { kind, key, place, value } of this.#index.allFacts()) {
      const name = nameOf(kind, key);
      const found = returned.get(name);
      returned.delete(name);
      if (this.#newer.has(name) || removed.has(place.segment)) continue;
      if (found !== undefined && comparePlaces(found, place) === 0) continue;
      records.push(factRecord(kind, key.toString("utf8"), Buffer.from(value)));
    }
    for (const name of returned.keys()) {
      const [kind, key] = partsOf(name);
      records.push(factRecord(kind, key.toString("utf8"), undefined));
    }
    return records;
  }
}

const nameOf = (kind: string, key: Buffer): string => `${kind}\0${key.toString("latin1")}`;

function partsOf(name: string): [kind: string, key: Buffer] {
  const end = name.indexOf("\0");
  return [name.slice(0, end), Buffer.from(name.slice(end + 1), "latin1")];
}
