/**
 * Saves facts when segments are damaged and the index is not. Up to its position the index knows what a rebuild from what is left
 * would lose, and what it would bring back; of what comes after it only the segments tell, and they are believed.
 */
import type { Disk } from "./disk.ts";
import type { PlacedRecord } from "./projection.ts";
import { decodeFact, factRecord } from "./record-body.ts";
import { comparePlaces, type NewRecord, recordKind, type RecordPlace } from "./record.ts";
import { type FoldInit, foldSegments, type FoldTarget } from "./segment-fold.ts";
import type { LogEnd } from "./segment-writer.ts";
import type { StoreIndex } from "./store-index.ts";

export interface FactSalvage {
  /** What makes a rebuild give the right facts. */
  readonly records: readonly NewRecord[];
  /** Where it has to be appended. */
  readonly end: LogEnd;
}

/** Undefined when the index cannot be trusted either. */
export async function salvageFacts(
  components: { disk: Disk; index: StoreIndex },
  init: FoldInit,
): Promise<FactSalvage | undefined> {
  const { disk, index } = components;
  if (!(await index.verify("facts"))) return undefined;
  const replay = new FactReplay(index.meta.position);
  const { end } = await foldSegments({ disk, index: replay }, init);
  const records: NewRecord[] = [];
  for await (const { kind, key, place, value } of index.allFacts()) {
    const name = nameOf(kind, key);
    const found = replay.older.get(name);
    replay.older.delete(name);
    if (replay.newer.has(name) || (found !== undefined && comparePlaces(found, place) === 0)) continue;
    records.push(factRecord(kind, key.toString("utf8"), Buffer.from(value)));
  }
  for (const name of replay.older.keys()) {
    const [kind, key] = partsOf(name);
    records.push(factRecord(kind, key.toString("utf8"), undefined));
  }
  return { records, end };
}

/** What the segments alone say of facts, told apart by whether it is said before or after a position. */
class FactReplay implements FoldTarget {
  readonly meta = { position: { segment: 0, offset: 0 } };
  /** Where the facts are that nothing after the position is about. */
  readonly older = new Map<string, RecordPlace>();
  /** The facts that something after the position is about. */
  readonly newer = new Set<string>();
  readonly #position: RecordPlace;

  constructor(position: RecordPlace) {
    this.#position = position;
  }

  async apply(records: readonly PlacedRecord[]): Promise<void> {
    for (const { kind, body, segment, offset } of records) {
      if (kind !== recordKind.fact && kind !== recordKind.factRemoval) continue;
      const fact = decodeFact(body!);
      const name = nameOf(fact.kind, fact.key);
      this.older.delete(name);
      if (comparePlaces({ segment, offset }, this.#position) >= 0) this.newer.add(name);
      else if (kind === recordKind.fact) this.older.set(name, { segment, offset });
    }
  }

  async closeSegment(): Promise<void> {}
  async setComplete(): Promise<void> {}
}

const nameOf = (kind: string, key: Buffer): string => `${kind}\0${key.toString("latin1")}`;

function partsOf(name: string): [kind: string, key: Buffer] {
  const end = name.indexOf("\0");
  return [name.slice(0, end), Buffer.from(name.slice(end + 1), "latin1")];
}
