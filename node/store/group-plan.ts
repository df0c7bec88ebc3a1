/** Decides what a group of requests writes: only primes, claims and keeps that are not there yet, and only what has room. */
import { CostorError } from "#protocol/errors.ts";
import { hasKeeps } from "./keep-index.ts";
import { keepKey } from "./keep-entries.ts";
import type { FactCause } from "./prime-store.ts";
import { claimRecords, keepRecords, primeRecord } from "./record-body.ts";
import { planReleases, type ReleaseRequest } from "./release-plan.ts";
import { type NewRecord, recordBytes, recordHeaderBytes, segmentHeaderBytes } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

/** Primes that an agent has sent, or that are kept for a site. */
export interface ClaimRequest {
  readonly type: "claim";
  /** 16 or 32 bytes. */
  readonly by: { readonly agent: Buffer } | { readonly site: Buffer };
  readonly ids: readonly Buffer[];
  /** Those of them that come with the request. */
  readonly primes: readonly { readonly digest: Buffer; readonly stored: Uint8Array }[];
}

/** Facts, deletions and the like. */
export interface RecordsRequest {
  readonly type: "records";
  readonly records: readonly NewRecord[];
  readonly cause: FactCause;
}

export type StoreRequest = ClaimRequest | ReleaseRequest | RecordsRequest;

export function requestBytes(request: StoreRequest): number {
  if (request.type === "records") return request.records.reduce((sum, { body }) => sum + recordBytes(body.length), 0);
  const idsBytes = request.ids.length * idBytes;
  if (request.type === "release") return idsBytes;
  return request.primes.reduce((sum, { stored }) => sum + recordBytes(stored.length), idsBytes);
}

export interface GroupPlan {
  readonly records: readonly NewRecord[];
  /** An entry for each request: why it is refused, or undefined. */
  readonly refusals: readonly (CostorError | undefined)[];
}

/** What a group may take of the disk. What the site itself has to write is not bounded. */
export interface GroupRoom {
  /** With new primes. */
  readonly primesBytes: number;
  /** With all that agents cause, their facts and claims too. */
  readonly agentsBytes: number;
}

/** A fact is in a segment, in Level's log, and in the table that is made from that. */
const factCopiesCount = 3;
const idBytes = 32;

/** Whether it may use the last part of the reserve. */
export const isOfSite = (request: StoreRequest): boolean =>
  request.type === "release" || (request.type === "records" && request.cause === "site");

/** Whether it brings what is kept for a site: unlike what agents send, of which a commit follows the trees, nobody reads it soon. */
export const isCold = (request: StoreRequest): boolean => request.type === "claim" && "site" in request.by;

export async function planGroup(
  index: StoreIndex,
  requests: readonly StoreRequest[],
  room: GroupRoom,
): Promise<GroupPlan> {
  const claiming = requests.filter((request) => request.type === "claim");
  const sent = claiming.flatMap(({ primes }) => primes.map(({ digest }) => digest));
  const places = await index.locate(sent);
  const held = new Set(sent.filter((_, at) => places[at] !== undefined).map(textOf));
  const claims = (await Promise.all(claiming.map((request) => areThere(index, request)))).values();
  /** What a release of the same group must not take away. */
  const claimed = new Set<string>();
  const kept = new Set<string>();

  const primes: NewRecord[] = [];
  const others: NewRecord[] = [];
  const refusals: (CostorError | undefined)[] = [];
  let takenBytes = segmentHeaderBytes + 2 * recordHeaderBytes;
  const refusal = (needBytes: number, roomBytes: number): CostorError | undefined => {
    if (needBytes > 0 && takenBytes + needBytes > roomBytes)
      return new CostorError("store-full", "the disk has no room for more data", { details: { needBytes } });
    takenBytes += needBytes;
    return undefined;
  };
  for (const request of requests) {
    if (request.type === "records") {
      const refused = isOfSite(request)
        ? undefined
        : refusal(requestBytes(request) * factCopiesCount, room.agentsBytes);
      if (refused === undefined) for (const record of request.records) others.push(record);
      refusals.push(refused);
      continue;
    }
    if (request.type === "release") {
      refusals.push(undefined);
      continue;
    }
    const isThere = claims.next().value!;
    const wanted = new Map<string, NewRecord>();
    for (const { digest, stored } of request.primes) {
      const text = textOf(digest);
      if (!held.has(text)) wanted.set(text, primeRecord(digest, stored));
    }
    const unclaimed = new Map(request.ids.filter((_, at) => !isThere[at]).map((id) => [textOf(id), id]));
    const needBytes = [...wanted.values()].reduce(
      (sum, { body }) => sum + recordBytes(body.length),
      unclaimed.size * idBytes,
    );
    const refused = refusal(needBytes, wanted.size > 0 ? room.primesBytes : room.agentsBytes);
    refusals.push(refused);
    if (refused !== undefined) continue;
    for (const [text, record] of wanted) {
      held.add(text);
      primes.push(record);
    }
    others.push(...recordsOf(request, [...unclaimed.values()]));
    for (const id of request.ids) {
      claimed.add(textOf(id));
      if ("site" in request.by) kept.add(textOf(keepKey(request.by.site, id)));
    }
  }
  const releases = requests.filter((request) => request.type === "release");
  if (releases.length > 0) others.push(...(await planReleases(index, releases, { claimed, kept })));
  return { records: [...primes, ...others], refusals };
}

/** Whether something of it would not be written, because it is there already. */
export async function isAnyThere(index: StoreIndex, request: ClaimRequest): Promise<boolean> {
  const [places, claims] = await Promise.all([
    index.locate(request.primes.map(({ digest }) => digest)),
    areThere(index, request),
  ]);
  return claims.includes(true) || places.some((place) => place !== undefined);
}

const areThere = (index: StoreIndex, { by, ids }: ClaimRequest): Promise<boolean[]> =>
  "agent" in by ? index.hasClaims(ids, by.agent) : hasKeeps(index, by.site, ids);

const recordsOf = ({ by }: ClaimRequest, ids: readonly Buffer[]): NewRecord[] =>
  "agent" in by ? claimRecords(by.agent, ids) : keepRecords(by.site, ids);

const textOf = (id: Buffer): string => id.toString("latin1");
