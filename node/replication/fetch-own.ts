/** Fetches primes of this site's own from a holder, and keeps them. docs/specs/replication.md, Fetching */
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
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
/** Batches that are being written while more come. */
const WRITES_COUNT = 3;
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
  const writing: Promise<void>[] = [];
  const write = async (written: readonly StoredPrime[]): Promise<void> => {
    await store.putFor(self, batchOf(encodeBatch(written)));
    for (const { id } of written) wanted.delete(id);
  };
  const keep = async (mostCount: number): Promise<void> => {
    if (primes.length > 0) {
      const written = write(primes);
      written.catch(() => undefined);
      writing.push(written);
    }
    primes = [];
    bytes = 0;
    while (writing.length > mostCount) await writing.shift();
  };
  let isWhole = false;
  const reason = (): Error => new CostorError("peer-unreachable", "the holder does not come to an end");
  using deadline = new Deadline({ clock }, { afterMs: HOLDER_MS, signal, reason });
  try {
    for await (const prime of fetchPrimes({ peers }, { peer, owner: self, ids, signal: deadline.signal })) {
      primes.push(prime);
      bytes += batchEntryBytes(prime.stored.length);
      if (bytes >= BATCH_BYTES) await keep(WRITES_COUNT);
    }
    isWhole = true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!isPeersFault(error)) throw error;
    onFailure?.(holder, error);
  }
  await keep(0);
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
