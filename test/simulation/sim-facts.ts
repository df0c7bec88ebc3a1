/** The facts on a simulated disk. What hundreds of sites have alike in their ledgers is in memory once, as far as that can be. */
import type { Fact } from "#node/store/prime-store.ts";
import { firstFrom, textsWith } from "./sorted-texts.ts";

/** The facts of one kind. */
interface Facts {
  /** Keys that were there, and are not any more or were not for a while. */
  readonly removed: string[];
  readonly values: Map<string, Buffer>;
  /** In the order of the keys' bytes; without those that came since somebody asked last. */
  sorted: string[];
  fresh: string[];
}

const LEDGER_KIND = "ledger";

export class SimFacts {
  /** By kind; keys as bytes, one a character, so that their order is that of the bytes. */
  readonly #kinds = new Map<string, Facts>();

  copy(): SimFacts {
    const copy = new SimFacts();
    for (const [kind, { values }] of this.#kinds)
      copy.#kinds.set(kind, { values: new Map(values), sorted: [], fresh: [...values.keys()], removed: [] });
    return copy;
  }

  get count(): number {
    return [...this.#kinds.values()].reduce((sum, { values }) => sum + values.size, 0);
  }

  /** How many bytes more it takes. */
  set({ kind, key, value }: Fact): number {
    let facts = this.#kinds.get(kind);
    if (!facts) this.#kinds.set(kind, (facts = { values: new Map(), sorted: [], fresh: [], removed: [] }));
    const { values } = facts;
    const place = kind === LEDGER_KIND ? sharedPlaceOf(key) : placeOf(key);
    const former = values.get(place);
    if (former === undefined && value !== undefined) facts.fresh.push(place);
    if (former !== undefined && value === undefined) {
      const sorted = sortedOf(facts);
      sorted.splice(firstFrom(sorted, place), 1);
      facts.removed.push(key);
    }
    if (value === undefined) values.delete(place);
    // What ledgers hand over nobody changes, and hundreds of sites hand over the same.
    else values.set(place, kind === LEDGER_KIND ? (value as Buffer) : Buffer.from(value));
    return (value?.length ?? 0) - (former?.length ?? 0);
  }

  get(kind: string, key: string): Buffer | undefined {
    return this.#kinds.get(kind)?.values.get(placeOf(key));
  }

  /** In byte order of the keys. */
  list(kind: string, prefix: string): { key: string; value: Buffer }[] {
    const values = this.#kinds.get(kind)?.values;
    return this.#placesOf(kind, prefix).map((place) => ({ key: keyAt(place), value: values!.get(place)! }));
  }

  /** All that were ever taken away. */
  removedKeys(kind: string): readonly string[] {
    return this.#kinds.get(kind)?.removed ?? [];
  }

  keys(kind: string, prefix: string): string[] {
    return this.#placesOf(kind, prefix).map(keyAt);
  }

  #placesOf(kind: string, prefix: string): string[] {
    const facts = this.#kinds.get(kind);
    return facts ? textsWith(sortedOf(facts), placeOf(prefix)) : [];
  }
}

/** A ledger of hundreds of sites is hundreds of times as long as what comes to it between two looks at all of it. */
function sortedOf(facts: Facts): string[] {
  const { sorted, fresh } = facts;
  if (fresh.length === 0) return sorted;
  if (fresh.length === 1) sorted.splice(firstFrom(sorted, fresh[0]!), 0, fresh[0]!);
  else facts.sorted = [...sorted, ...fresh].sort();
  facts.fresh = [];
  return facts.sorted;
}

const sharedPlaces = new Map<string, string>();
const MOST_SHARED_COUNT = 100_000;

/** Of one key the same text for all disks. */
function sharedPlaceOf(key: string): string {
  let place = sharedPlaces.get(key);
  if (place !== undefined) return place;
  if (sharedPlaces.size >= MOST_SHARED_COUNT) sharedPlaces.clear();
  sharedPlaces.set(key, (place = placeOf(key)));
  return place;
}

/** A key's bytes, one a character. */
const placeOf = (key: string): string => (IS_ASCII.test(key) ? key : Buffer.from(key).toString("latin1"));
const keyAt = (place: string): string => (IS_ASCII.test(place) ? place : Buffer.from(place, "latin1").toString());
// oxlint-disable-next-line no-control-regex
const IS_ASCII = /^[\u0000-\u007f]*$/;
