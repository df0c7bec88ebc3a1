/**
 * Decides what releases take away, in the writer's turn: the keeps, and then the primes that are kept for no site any more and that
 * no agent has sent. Of what is collected the claims go too, unless an agent that relies on them has one: then all of it stays.
 */
import { type Claimants, claimantsOf } from "./claim-index.ts";
import { keepKey } from "./keep-entries.ts";
import { hasKeeps, sitesWithKeeps } from "./keep-index.ts";
import { claimSetRecord, deletionRecords, releaseRecords } from "./record-body.ts";
import type { NewRecord } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export interface ReleaseRequest {
  readonly type: "release";
  /** 32 bytes. */
  readonly site: Buffer;
  readonly ids: readonly Buffer[];
  /** Of a collection: the agents that rely on what they have sent, as latin1. Without it all do, and only for themselves. */
  readonly relying?: ReadonlySet<string>;
  /** What goes with it; set by the plan. */
  removedPrimesCount: number;
  removedBytes: number;
}

/** What other requests of the group add: ids, and keys of keeps, as latin1. */
export interface GroupAdditions {
  readonly claimed: ReadonlySet<string>;
  readonly kept: ReadonlySet<string>;
}

/**
 * A prime that is not kept for the site is looked at all the same: a crash may have cut an earlier release between the end of the keep
 * and that of the prime.
 */
export async function planReleases(
  index: StoreIndex,
  requests: readonly ReleaseRequest[],
  { claimed, kept }: GroupAdditions,
): Promise<NewRecord[]> {
  const records: NewRecord[] = [];
  const released = new Set<string>();
  const candidates = new Map<string, Candidate>();
  const claims = await claimantsOf(
    index,
    requests.flatMap(({ ids }) => ids),
  );
  for (const request of requests) {
    request.removedPrimesCount = 0;
    request.removedBytes = 0;
    const { site, relying } = request;
    const asked = [...new Map(request.ids.map((id) => [textOf(id), id])).values()];
    const ids =
      relying === undefined ? asked : asked.filter((id) => !claimed.has(textOf(id)) && !isRelied(id, relying, claims));
    const [isKept, places] = await Promise.all([hasKeeps(index, site, ids), index.locate(ids)]);
    const ending = ids.filter((id, at) => isKept[at] && !kept.has(textOf(keepKey(site, id))));
    for (const id of ending) released.add(textOf(keepKey(site, id)));
    records.push(...releaseRecords(site, ending));
    for (const [at, id] of ids.entries()) {
      // Of what is not here the claims have to end all the same: nobody misses it any more.
      const isAny = places[at] !== undefined || (relying !== undefined && claims.has(textOf(id)));
      if (isAny && !claimed.has(textOf(id)))
        candidates.set(textOf(id), { id, request, bodyBytes: places[at]?.bodyBytes });
    }
  }
  for (const site of await sitesWithKeeps(index)) {
    const left = [...candidates.values()];
    const isKept = await hasKeeps(
      index,
      site,
      left.map(({ id }) => id),
    );
    for (const [at, { id, request }] of left.entries()) {
      if (!isKept[at] || released.has(textOf(keepKey(site, id)))) continue;
      candidates.delete(textOf(id));
      if (request.relying !== undefined && claims.has(textOf(id))) records.push(claimSetRecord(id, []));
    }
  }
  const removed: Buffer[] = [];
  for (const { id, request, bodyBytes } of candidates.values()) {
    if (request.relying === undefined && claims.has(textOf(id))) continue;
    removed.push(id);
    if (bodyBytes === undefined) continue;
    request.removedPrimesCount++;
    request.removedBytes += bodyBytes;
  }
  return [...records, ...deletionRecords(removed)];
}

interface Candidate {
  readonly id: Buffer;
  readonly request: ReleaseRequest;
  /** Undefined when it is not here. */
  readonly bodyBytes: number | undefined;
}

const isRelied = (id: Buffer, relying: ReadonlySet<string>, claims: Claimants): boolean =>
  claims.get(textOf(id))?.some((agent) => relying.has(textOf(agent))) ?? false;

const textOf = (bytes: Buffer): string => bytes.toString("latin1");
