/** Answers what is kept for which site, only once the index is known to be right. */
import { type PrimeId, type SiteId, parseSiteId, primeIdToBytes } from "#protocol/ids.ts";
import { hasKeeps, keepTotals, keptIds, type KeptRange, sentIds } from "./keep-index.ts";
import type { LiveIndex } from "./live-index.ts";
import type { KeptTotal, SliceTotal } from "./prime-store.ts";
import { siteIdToBytes } from "./record-body.ts";

/** Ids on a page: 128 KiB. */
const pageIdsCount = 4096;

export class KeptReader {
  readonly #live: LiveIndex;

  constructor(components: { readonly live: LiveIndex }) {
    this.#live = components.live;
  }

  async has(site: SiteId, ids: readonly PrimeId[]): Promise<boolean[]> {
    const digests = ids.map(primeIdToBytes);
    await this.#live.verified("rest");
    return this.#live.read((index) => hasKeeps(index, siteIdToBytes(site), digests));
  }

  /** The ids of the next page, one after the other, of those that start with `prefix` and come after `after`; none at the end. */
  async page(site: SiteId, prefix: string, after: Uint8Array | undefined): Promise<Buffer> {
    await this.#live.verified("rest");
    const range = rangeOf(prefix, after);
    return Buffer.concat(await this.#live.read((index) => keptIds(index, siteIdToBytes(site), range)));
  }

  /**
   * The same of those that are not here: what one page has, and the id that it ends with; undefined at the end. Places are looked up
   * only while the total of the site counts something lost.
   */
  async lostPage(site: SiteId, after: Uint8Array | undefined): Promise<LostPage | undefined> {
    if (((await this.totals()).find((total) => total.site === site)?.lostCount ?? 0) === 0) return undefined;
    return this.#live.read(async (index) => {
      const ids = await keptIds(index, siteIdToBytes(site), rangeOf("", after));
      const places = await index.locate(ids);
      const last = ids.at(-1);
      return last === undefined
        ? undefined
        : { ids: Buffer.concat(ids.filter((_, at) => places[at] === undefined)), last };
    });
  }

  /** As {@link page}, of what any agent has sent. */
  async sentPage(after: Uint8Array | undefined): Promise<Buffer> {
    await this.#live.verified("rest");
    return Buffer.concat(await this.#live.read((index) => sentIds(index, after && Buffer.from(after), pageIdsCount)));
  }

  async totals(): Promise<KeptTotal[]> {
    await this.#live.verified("rest");
    const totals = await this.#live.read(keepTotals);
    const bySite = new Map<string, { count: number; bytes: number; lostCount: number }>();
    for (const { site, total } of totals) {
      const text = site.toString("hex");
      const sum = bySite.get(text) ?? { count: 0, bytes: 0, lostCount: 0 };
      bySite.set(text, sum);
      for (const name of ["count", "bytes", "lostCount"] as const) sum[name] += total[name];
    }
    return [...bySite].map(([site, sum]) => ({ site: parseSiteId(site), ...sum }));
  }

  async slices(site: SiteId): Promise<SliceTotal[]> {
    await this.#live.verified("rest");
    const bytes = siteIdToBytes(site);
    const totals = await this.#live.read(keepTotals);
    return totals.filter((found) => found.site.equals(bytes)).map(({ slice, total }) => ({ slice, ...total }));
  }
}

function rangeOf(prefix: string, after: Uint8Array | undefined): KeptRange {
  const first = after === undefined ? Buffer.from(prefix.padEnd(64, "0"), "hex") : Buffer.from(after);
  return {
    first,
    isAfter: after !== undefined,
    last: Buffer.from(prefix.padEnd(64, "f"), "hex"),
    count: pageIdsCount,
  };
}

/** The ids that a page has. */
function idsOfPage(page: Uint8Array): PrimeId[] {
  const text = Buffer.from(page.buffer, page.byteOffset, page.length).toString("hex");
  return Array.from({ length: page.length / 32 }, (_, at) => text.slice(at * 64, at * 64 + 64) as PrimeId);
}

type NextPage = (site: SiteId, prefix: string, after: Uint8Array | undefined) => Promise<Uint8Array>;

export const keptIdPages = (nextPage: NextPage, site: SiteId, prefix: string): AsyncGenerator<PrimeId[]> =>
  sentIdPages((after) => nextPage(site, prefix, after));

export async function* sentIdPages(
  nextPage: (after: Uint8Array | undefined) => Promise<Uint8Array>,
): AsyncGenerator<PrimeId[]> {
  for (let after: Uint8Array | undefined; ;) {
    const page = await nextPage(after);
    if (page.length === 0) return;
    yield idsOfPage(page);
    after = page.slice(-32);
  }
}

/** A page may have nothing that is lost, so it says where it ends. */
export interface LostPage {
  readonly ids: Uint8Array;
  readonly last: Uint8Array;
}

type NextLostPage = (site: SiteId, after: Uint8Array | undefined) => Promise<LostPage | undefined>;

export async function* lostIdPages(nextPage: NextLostPage, site: SiteId): AsyncGenerator<PrimeId[]> {
  for (let after: Uint8Array | undefined; ;) {
    const page = await nextPage(site, after);
    if (page === undefined) return;
    if (page.ids.length > 0) yield idsOfPage(page.ids);
    after = page.last;
  }
}
