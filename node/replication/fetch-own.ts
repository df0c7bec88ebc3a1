/** Fetches primes of this site's own from a holder, and keeps them. docs/specs/replication.md, Fetching */
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type StoredPrime, batchEntryBytes } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { fetchPrimes } from "./fetch-primes.ts";
import { batchOf, encodeBatch } from "./frame-codec.ts";
import type { Sites } from "./replication-ports.ts";

export interface FetchedComponents {
  /** A holder did not do its part. */
  readonly onFailure?: (holder: SiteId, error: unknown) => void;
  readonly clock: Clock;
  readonly self: SiteId;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly store: Pick<PrimeStore, "putFor">;
}

/** Written at once. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** One holder has so long; then the next one is asked, and this one again at the next time. */
const HOLDER_MS = 3_600_000;

/** Takes out of `wanted` what has come and is durable. Whether the holder has answered to the end. */
export async function fetchOwn(
  { self, clock, peers, sites, store, onFailure }: FetchedComponents,
  holder: SiteId,
  wanted: Set<PrimeId>,
  signal?: AbortSignal,
): Promise<boolean> {
  const peer = sites.peerOf(holder);
  if (peer === undefined) return false;
  const ids = [...wanted];
  let primes: StoredPrime[] = [];
  let bytes = 0;
  const keep = async (): Promise<void> => {
    if (primes.length === 0) return;
    await store.putFor(self, batchOf(encodeBatch(primes)));
    for (const { id } of primes) wanted.delete(id);
    primes = [];
    bytes = 0;
  };
  let isWhole = false;
  const late = new AbortController();
  const done = new AbortController();
  void clock.sleep(HOLDER_MS, done.signal).then(
    () => late.abort(new CostorError("peer-unreachable", "the holder does not come to an end")),
    () => undefined,
  );
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  try {
    for await (const prime of fetchPrimes({ peers }, { peer, owner: self, ids, signal: either })) {
      primes.push(prime);
      bytes += batchEntryBytes(prime.stored.length);
      if (bytes >= BATCH_BYTES) await keep();
    }
    isWhole = true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!isPeersFault(error)) throw error;
    onFailure?.(holder, error);
  } finally {
    done.abort();
  }
  await keep();
  return isWhole;
}

/** What another holder, or another time, may make good. */
export const isPeersFault = (error: unknown): boolean =>
  (
    [
      "peer-unreachable",
      "peer-refused",
      "peer-misbehaved",
      "prime-mismatch",
      "bad-encoding",
      "bad-request",
      "bad-id",
      "limit-exceeded",
      "too-many-requests",
      "quota-exceeded",
    ] as const
  ).some((code) => isCostorError(error, code));
