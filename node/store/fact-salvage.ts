/**
 * Saves facts when segments are damaged and the index is not: the index holds their values, and a rebuild from what is left would
 * lose the newest ones and bring removed ones back.
 */
import type { DamagedStretch } from "./record-body.ts";
import { factRecord } from "./record-body.ts";
import type { NewRecord, RecordPlace } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export interface SalvagedFacts {
  /** The facts whose records are lost, to be written again. */
  readonly records: readonly NewRecord[];
  /** All facts that there are. */
  readonly known: ReadonlySet<string>;
}

/** What `index` knows of facts, undefined when it cannot be trusted either. */
export async function salvageFacts(
  index: StoreIndex,
  isLost: (place: RecordPlace) => boolean,
): Promise<SalvagedFacts | undefined> {
  if (!(await index.verify("facts"))) return undefined;
  const records: NewRecord[] = [];
  const known = new Set<string>();
  for await (const { kind, key, place, value } of index.allFacts()) {
    known.add(nameOf(kind, key));
    if (isLost(place)) records.push(factRecord(kind, key.toString("utf8"), Buffer.from(value)));
  }
  return { records, known };
}

/** Removes the facts again that a rebuild from damaged segments brought back. */
export async function removalsOf(rebuilt: StoreIndex, known: ReadonlySet<string>): Promise<NewRecord[]> {
  const records: NewRecord[] = [];
  for await (const { kind, key } of rebuilt.allFacts()) {
    if (!known.has(nameOf(kind, key))) records.push(factRecord(kind, key.toString("utf8"), undefined));
  }
  return records;
}

const nameOf = (kind: string, key: Buffer): string => `${kind}\0${key.toString("latin1")}`;

export const isWithin = (place: RecordPlace, stretches: readonly DamagedStretch[]): boolean =>
  stretches.some(
    ({ segment, offset, lengthBytes }) =>
      segment === place.segment && offset <= place.offset && place.offset < offset + lengthBytes,
  );
