/** Fetches primes of this site's own from a holder, and keeps them. docs/specs/replication.md, Fetching */
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
import type { Peers } from "#ledger/peers.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { fetchBatches } from "./fetch-primes.ts";
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

/** Batches that are being written, and verified by the store, while more come. */
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
  const writing: Promise<void>[] = [];
  const written = async (mostCount: number): Promise<void> => {
    while (writing.length > mostCount) await writing.shift();
  };
  const reason = (): Error => new CostorError("peer-unreachable", "the holder does not come to an end");
  using deadline = new Deadline({ clock }, { afterMs: HOLDER_MS, signal, reason });
  /** A write has failed: nothing more is waited for. */
  const failed = new AbortController();
  const until = AbortSignal.any([deadline.signal, failed.signal]);
  try {
    for await (const fetched of fetchBatches({ peers }, { peer, owner: self, ids, signal: until })) {
      const write = store.putFor(self, fetched.batch).then(() => {
        passFailpoint("heal.kept");
        for (const id of fetched.ids) wanted.delete(id);
      });
      write.catch((error: unknown) => failed.abort(error));
      writing.push(write);
      await written(WRITES_COUNT);
    }
    await written(0);
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    // What it sent may be wrong though it has ended the answer since: that says more of it.
    const reasons = (await Promise.allSettled(writing)).flatMap((end) =>
      end.status === "rejected" ? [end.reason as unknown] : [],
    );
    for (const reason of [...reasons, error]) if (!isPeersFault(reason)) throw reason;
    onFailure?.(holder, reasons[0] ?? error);
    return false;
  }
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
