/**
 * Decides what releases take away, in the writer's turn: the keeps, and then the primes that are kept for no site any more and that
 * no agent has sent.
 */
import { claimKey } from "./index-entries.ts";
import { keepKey } from "./keep-entries.ts";
import { hasKeeps, sitesWithKeeps } from "./keep-index.ts";
import { deletionRecords, releaseRecords } from "./record-body.ts";
import type { NewRecord } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export interface ReleaseRequest {
  readonly type: "release";
  /** 32 bytes. */
  readonly site: Buffer;
  readonly ids: readonly Buffer[];
  /** How many primes go with it; set by the plan. */
  removedPrimesCount: number;
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
  const candidates = new Map<string, { id: Buffer; request: ReleaseRequest }>();
  for (const request of requests) {
    request.removedPrimesCount = 0;
    const { site } = request;
    const ids = [...new Map(request.ids.map((id) => [textOf(id), id])).values()];
    const [isKept, places] = await Promise.all([hasKeeps(index, site, ids), index.locate(ids)]);
    const ending = ids.filter((id, at) => isKept[at] && !kept.has(textOf(keepKey(site, id))));
    for (const id of ending) released.add(textOf(keepKey(site, id)));
    records.push(...releaseRecords(site, ending));
    for (const [at, id] of ids.entries()) {
      if (places[at] !== undefined && !claimed.has(textOf(id))) candidates.set(textOf(id), { id, request });
    }
  }
  for (const site of await sitesWithKeeps(index)) {
    const left = [...candidates.values()].map(({ id }) => id);
    const isKept = await hasKeeps(index, site, left);
    for (const [at, id] of left.entries()) {
      if (isKept[at] && !released.has(textOf(keepKey(site, id)))) candidates.delete(textOf(id));
    }
  }
  const removed: Buffer[] = [];
  for (const { id, request } of candidates.values()) {
    if (await isClaimed(index, id)) continue;
    removed.push(id);
    request.removedPrimesCount++;
  }
  return [...records, ...deletionRecords(removed)];
}

async function isClaimed(index: StoreIndex, id: Buffer): Promise<boolean> {
  for await (const _ of index.keysWith(claimKey(id, Buffer.alloc(0)))) return true;
  return false;
}

const textOf = (bytes: Buffer): string => bytes.toString("latin1");
