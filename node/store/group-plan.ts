/** Decides what a group of requests writes: only primes and claims that are not there yet, and only what has room. */
import { CostorError } from "#protocol/errors.ts";
import type { FactCause } from "./prime-store.ts";
import { claimRecords, primeRecord } from "./record-body.ts";
import { type NewRecord, recordBytes, recordHeaderBytes, segmentHeaderBytes } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export interface PutRequest {
  readonly type: "put";
  /** 16 bytes. */
  readonly agent: Buffer;
  readonly primes: readonly { readonly digest: Buffer; readonly stored: Uint8Array }[];
}

/** Facts, deletions and the like. */
export interface RecordsRequest {
  readonly type: "records";
  readonly records: readonly NewRecord[];
  readonly cause: FactCause;
}

export type StoreRequest = PutRequest | RecordsRequest;

export const requestBytes = (request: StoreRequest): number =>
  request.type === "put"
    ? request.primes.reduce((sum, { stored }) => sum + recordBytes(stored.length), 0)
    : request.records.reduce((sum, { body }) => sum + recordBytes(body.length), 0);

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

/** Whether it may use the last part of the reserve. */
export const isOfSite = (request: StoreRequest): boolean => request.type === "records" && request.cause === "site";

export async function planGroup(
  index: StoreIndex,
  requests: readonly StoreRequest[],
  room: GroupRoom,
): Promise<GroupPlan> {
  const puts = requests.filter((request) => request.type === "put");
  const ids = puts.flatMap(({ primes }) => primes.map(({ digest }) => digest));
  const places = await index.locate(ids);
  const held = new Set(ids.filter((_, at) => places[at] !== undefined).map(textOf));
  const claims = (
    await Promise.all(puts.map(({ agent, primes }) => index.hasClaims(primes.map(digestOf), agent)))
  ).values();

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
      if (refused === undefined) others.push(...request.records);
      refusals.push(refused);
      continue;
    }
    const hasClaim = claims.next().value!;
    const wanted = new Map<string, NewRecord>();
    for (const { digest, stored } of request.primes) {
      const text = textOf(digest);
      if (!held.has(text)) wanted.set(text, primeRecord(digest, stored));
    }
    const unclaimed = new Map(
      request.primes.filter((_, at) => !hasClaim[at]).map(({ digest }) => [textOf(digest), digest]),
    );
    const needBytes = [...wanted.values()].reduce(
      (sum, { body }) => sum + recordBytes(body.length),
      unclaimed.size * 32,
    );
    const refused = refusal(needBytes, wanted.size > 0 ? room.primesBytes : room.agentsBytes);
    refusals.push(refused);
    if (refused !== undefined) continue;
    for (const [text, record] of wanted) {
      held.add(text);
      primes.push(record);
    }
    others.push(...claimRecords(request.agent, [...unclaimed.values()]));
  }
  return { records: [...primes, ...others], refusals };
}

const textOf = (id: Buffer): string => id.toString("latin1");
const digestOf = ({ digest }: { digest: Buffer }): Buffer => digest;
