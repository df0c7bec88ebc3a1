/** Decides what a group of requests writes: only primes and claims that are not there yet, and only what has room. */
import { CostorError } from "#protocol/errors.ts";
import { claimRecords, primeRecord } from "./record-body.ts";
import { type NewRecord, recordBytes, recordHeaderBytes, segmentHeaderBytes } from "./record.ts";
import type { StoreIndex } from "./store-index.ts";

export interface PutRequest {
  readonly type: "put";
  /** 16 bytes. */
  readonly agent: Buffer;
  readonly primes: readonly { readonly digest: Buffer; readonly stored: Uint8Array }[];
}

/** Facts, deletions and the like: they may use the reserve. */
export interface RecordsRequest {
  readonly type: "records";
  readonly records: readonly NewRecord[];
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

/** `roomBytes`: what new primes may take. */
export async function planGroup(
  index: StoreIndex,
  requests: readonly StoreRequest[],
  roomBytes: number,
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
  let leftBytes = roomBytes - segmentHeaderBytes - 2 * recordHeaderBytes;
  for (const request of requests) {
    if (request.type === "records") {
      others.push(...request.records);
      refusals.push(undefined);
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
    if (wanted.size > 0 && needBytes > leftBytes) {
      refusals.push(new CostorError("store-full", "the disk has no room for more data", { details: { needBytes } }));
      continue;
    }
    if (wanted.size > 0) leftBytes -= needBytes;
    for (const [text, record] of wanted) {
      held.add(text);
      primes.push(record);
    }
    others.push(...claimRecords(request.agent, [...unclaimed.values()]));
    refusals.push(undefined);
  }
  return { records: [...primes, ...others], refusals };
}

const textOf = (id: Buffer): string => id.toString("latin1");
const digestOf = ({ digest }: { digest: Buffer }): Buffer => digest;
