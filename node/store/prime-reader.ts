/** Reads primes by id: finds the place, verifies, and tells a wrong index from a damaged disk when they do not agree. */
import { CostorError } from "#protocol/errors.ts";
import { type PrimeId, primeIdToBytes } from "#protocol/ids.ts";
import { claimKey, type PrimeLocation } from "./index-entries.ts";
import { siteOfTotalKey, totalPrefix } from "./keep-entries.ts";
import { hasKeeps } from "./keep-index.ts";
import type { LiveIndex } from "./live-index.ts";
import type { DamagedStretch } from "./record-body.ts";
import { comparePlaces, recordBytes } from "./record.ts";
import type { ReadResult, SegmentReader } from "./segment-reader.ts";
import type { StoreIndex } from "./store-index.ts";

export interface PrimeReaderComponents {
  readonly live: LiveIndex;
  readonly reader: SegmentReader;
  readonly runAlone: <T>(action: () => Promise<T>) => Promise<T>;
}

export interface PrimeReaderInit {
  /** Records damage; called in the writer's turn. */
  readonly quarantine: (damage: readonly DamagedStretch[]) => Promise<void>;
}

const readsAtOnceCount = 4;
const attemptsCount = 4;

export class PrimeReader {
  readonly #live: LiveIndex;
  readonly #reader: SegmentReader;
  readonly #runAlone: PrimeReaderComponents["runAlone"];
  readonly #quarantine: PrimeReaderInit["quarantine"];

  constructor(components: PrimeReaderComponents, init: PrimeReaderInit) {
    this.#live = components.live;
    this.#reader = components.reader;
    this.#runAlone = components.runAlone;
    this.#quarantine = init.quarantine;
  }

  async get(id: PrimeId): Promise<Buffer> {
    const [place] = await this.#live.read((index) => index.locate([primeIdToBytes(id)]));
    return this.#readAt(id, place);
  }

  async getMany(ids: readonly PrimeId[]): Promise<Buffer[]> {
    const places = await this.#live.read((index) => index.locate(ids.map(primeIdToBytes)));
    const order = ids.map((_, at) => at).toSorted((a, b) => comparePlaces(places[a], places[b]));
    const found: Buffer[] = new Array(ids.length);
    const next = order.values();
    const work = async (): Promise<void> => {
      for (const at of next) found[at] = await this.#readAt(ids[at]!, places[at]);
    };
    await Promise.all(Array.from({ length: Math.min(readsAtOnceCount, ids.length) }, work));
    return found;
  }

  async #readAt(id: PrimeId, known: PrimeLocation | undefined): Promise<Buffer> {
    const digest = primeIdToBytes(id);
    const locate = async () => (await this.#live.read((index) => index.locate([digest])))[0];
    let place = known;
    for (let attempt = 0; attempt < attemptsCount; attempt++) {
      if (place === undefined) {
        await this.#live.verified("rest");
        place = await locate();
        if (place === undefined) throw await this.#missing(id);
      }
      const result = await this.#read(digest, place, id);
      if (typeof result === "object") return result.stored;
      if (result !== "gone" || attempt > 0) await this.#settle(id, digest, place);
      place = await locate();
    }
    throw corrupt(id);
  }

  /** Reads once more when the first result is wrong: some errors pass. */
  async #read(digest: Buffer, place: PrimeLocation, id: PrimeId): Promise<ReadResult> {
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await this.#reader.read(digest, place);
        if (typeof result === "object" || result === "gone" || attempt > 0) return result;
      } catch (error) {
        if (attempt > 0)
          throw new CostorError("prime-corrupt", `prime ${id} cannot be read from the disk`, {
            cause: error,
            details: { id },
          });
      }
    }
  }

  /** A place turned out wrong: makes the index right when it is at fault, and quarantines the record when the disk is. */
  async #settle(id: PrimeId, digest: Buffer, place: PrimeLocation): Promise<void> {
    await this.#runAlone(async () => {
      const [current] = await this.#live.readInTurn((index) => index.locate([digest]));
      if (current === undefined || comparePlaces(current, place) !== 0) return;
      const result = await this.#read(digest, place, id);
      if (typeof result === "object") return;
      if (result !== "corrupt" && !(await this.#live.verifyInTurn())) {
        await this.#live.rebuildInTurn(`it has a wrong place for prime ${id}`);
        return;
      }
      const { segment, offset, bodyBytes } = place;
      await this.#quarantine([{ segment, offset, lengthBytes: recordBytes(bodyBytes), id }]);
    });
  }

  async #missing(id: PrimeId): Promise<CostorError> {
    const damaged = await this.#live.read((index) => index.quarantined(primeIdToBytes(id)));
    if (damaged.length > 0) return corrupt(id);
    return new CostorError("prime-missing", `prime ${id} is not held here`, { details: { id } });
  }
}

/** Recorded damage that no later copy has healed; stretches of unknown primes stay. Primes that nobody wants any more are no loss. */
export async function unhealedDamage(index: StoreIndex): Promise<DamagedStretch[]> {
  const damage = await index.quarantined();
  const named = [...new Set(damage.flatMap(({ id }) => id ?? []))].map(primeIdToBytes);
  const places = await index.locate(named);
  const gone = named.filter((_, at) => places[at] === undefined);
  const unhealed = new Set((await wanted(index, gone)).map((id) => id.toString("hex")));
  return damage.filter(({ id }) => id === undefined || unhealed.has(id));
}

/** Those that an agent has sent, or that are kept for a site. */
async function wanted(index: StoreIndex, ids: readonly Buffer[]): Promise<Buffer[]> {
  if (ids.length === 0) return [];
  const sites = new Map<string, Buffer>();
  for await (const key of index.keysWith(totalPrefix)) {
    const site = siteOfTotalKey(key);
    sites.set(site.toString("hex"), site);
  }
  const isWanted = new Set<Buffer>();
  for (const site of sites.values())
    for (const [at, isKept] of (await hasKeeps(index, site, ids)).entries()) if (isKept) isWanted.add(ids[at]!);
  for (const id of ids)
    if (!isWanted.has(id))
      for await (const _ of index.keysWith(claimKey(id, Buffer.alloc(0)))) {
        isWanted.add(id);
        break;
      }
  return [...isWanted];
}

function corrupt(id: PrimeId): CostorError {
  return new CostorError("prime-corrupt", `prime ${id} is damaged here`, { details: { id } });
}
