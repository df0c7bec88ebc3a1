/** Gets back from holders what this site's store has lost of its own. docs/specs/replication.md, Fetching */
import type { Peers } from "#ledger/peers.ts";
import { SLICES_COUNT, sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type StoredPrime, batchEntryBytes } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { fetchPrimes } from "./fetch-primes.ts";
import { batchOf, encodeBatch } from "./frame-codec.ts";
import type { LedgerReader, Sites } from "./replication-ports.ts";

export interface HealingComponents {
  readonly self: SiteId;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement">;
  /** A holder did not do its part. */
  readonly onFailure?: (holder: SiteId, error: unknown) => void;
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf" | "putFor">;
}

/** Written at once. */
const BATCH_BYTES = 4 * 1024 * 1024;

/** How many came back. A holder that is not reached, or does not have them, leaves them to the next one, or to the next time. */
export async function healOwn(components: HealingComponents, signal?: AbortSignal): Promise<number> {
  const { self, store } = components;
  const own = (await store.keptTotals()).find(({ site }) => site === self);
  if (own === undefined || own.lostCount === 0) return 0;
  const lost = new Set((await Array.fromAsync(store.lostOf(self))).flat());
  const lostCount = lost.size;
  for (let slice = 0; slice < SLICES_COUNT; slice++)
    for (const holder of holdersOf(components, slice)) {
      const ids = [...lost].filter((id) => sliceOf(id) === slice);
      if (ids.length > 0) await fetchFrom(components, holder, ids, lost, signal);
    }
  return lostCount - lost.size;
}

/** Those that say to have the slice. */
const holdersOf = ({ self, sites, ledger }: HealingComponents, slice: number): SiteId[] =>
  sites.sites().filter((site) => ledger.statement(site, "receipt", `${self}/${slice}`) !== undefined);

/** Takes out of `lost` what has come and is durable. */
async function fetchFrom(
  { self, peers, sites, store, onFailure }: HealingComponents,
  holder: SiteId,
  ids: readonly PrimeId[],
  lost: Set<PrimeId>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const peer = sites.peerOf(holder);
  if (peer === undefined) return;
  let primes: StoredPrime[] = [];
  let bytes = 0;
  const keep = async (): Promise<void> => {
    if (primes.length === 0) return;
    await store.putFor(self, batchOf(encodeBatch(primes)));
    for (const { id } of primes) lost.delete(id);
    primes = [];
    bytes = 0;
  };
  const fetched = fetchPrimes({ peers }, { peer, owner: self, ids, ...(signal && { signal }) });
  for await (const prime of untilPeersFault(fetched, (error) => onFailure?.(holder, error))) {
    primes.push(prime);
    bytes += batchEntryBytes(prime.stored.length);
    if (bytes >= BATCH_BYTES) await keep();
  }
  signal?.throwIfAborted();
  await keep();
}

/** Whatever a holder sends, others are asked after it. What the one who takes the primes throws is not the holder's. */
async function* untilPeersFault(
  primes: AsyncIterable<StoredPrime>,
  onFault: (error: CostorError) => void,
): AsyncGenerator<StoredPrime> {
  try {
    yield* primes;
  } catch (error) {
    if (!(error instanceof CostorError)) throw error;
    onFault(error);
  }
}
