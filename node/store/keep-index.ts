/** Reads of keeps in the index. Like all its answers they may be wrong after damage to Level's files. */
import {
  decodeKeepPlace,
  decodeTotal,
  idOfKeepKey,
  keepKey,
  keepPrefix,
  type KeepTotal,
  siteOfKeepKey,
  siteOfTotalKey,
  sliceOfTotalKey,
  totalPrefix,
} from "./keep-entries.ts";
import { claimKey } from "./index-entries.ts";
import { IndexFault } from "./level-handle.ts";
import type { RecordPlace } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export async function hasKeeps(index: StoreIndex, site: Buffer, ids: readonly Buffer[]): Promise<boolean[]> {
  return (await index.getMany(ids.map((id) => keepKey(site, id)))).map((value) => value !== undefined);
}

export interface KeptRange {
  readonly first: Buffer;
  /** Without `first` itself. */
  readonly isAfter: boolean;
  readonly last: Buffer;
  readonly count: number;
}

/** At most `count` of the ids that are kept for a site, ascending, from `first` to `last`. */
export async function keptIds(index: StoreIndex, site: Buffer, range: KeptRange): Promise<Buffer[]> {
  const first = keepKey(site, range.first);
  const start = range.isAfter ? { gt: first } : { gte: first };
  const ids: Buffer[] = [];
  for await (const [key] of index.entriesIn({ ...start, lte: keepKey(site, range.last), limit: range.count }))
    ids.push(idOfKeepKey(key));
  return ids;
}

/** At most `count` of the ids that any agent has sent, ascending, after `after`. */
export async function sentIds(index: StoreIndex, after: Buffer | undefined, count: number): Promise<Buffer[]> {
  const ids: Buffer[] = [];
  const start = after === undefined ? claimKey(Buffer.alloc(0), Buffer.alloc(0)) : claimKey(after, lastAgent);
  for await (const [key] of index.entriesIn({ gt: start, lt: claimEnd })) {
    const id = key.subarray(1, 1 + idBytes);
    if (ids.at(-1)?.equals(id) === true) continue;
    if (ids.length >= count) break;
    ids.push(id);
  }
  return ids;
}

const idBytes = 32;
const lastAgent = Buffer.alloc(16, 0xff);
const claimEnd = Buffer.from("d", "latin1");

/** Everything that is kept, with the places of the records. */
export async function* allKeeps(index: StoreIndex): AsyncGenerator<{ site: Buffer; id: Buffer; place: RecordPlace }> {
  for await (const [key, value] of index.entriesIn(rangeOf(keepPrefix))) {
    const place = decodeKeepPlace(value);
    if (place === undefined) throw new IndexFault("an entry of a keep is damaged");
    yield { site: siteOfKeepKey(key), id: idOfKeepKey(key), place };
  }
}

export interface FoundTotal {
  readonly site: Buffer;
  readonly slice: number;
  readonly total: KeepTotal;
}

/** In order of the sites, then of the slices; none for a slice of which nothing is kept. */
export async function keepTotals(index: StoreIndex): Promise<FoundTotal[]> {
  const found: FoundTotal[] = [];
  for await (const [key, value] of index.entriesIn(rangeOf(totalPrefix))) {
    const total = decodeTotal(value);
    if (total === undefined) throw new IndexFault("an entry of a total is damaged");
    found.push({ site: siteOfTotalKey(key), slice: sliceOfTotalKey(key), total });
  }
  return found;
}

export async function sitesWithKeeps(index: StoreIndex): Promise<Buffer[]> {
  const totals = await keepTotals(index);
  return totals.map(({ site }) => site).filter((site, at) => at === 0 || !site.equals(totals[at - 1]!.site));
}

const rangeOf = (letter: Buffer) => ({ gte: letter, lt: Buffer.from([letter[0]! + 1]) });
