/** Gets back from holders what this site's store has lost of its own. docs/specs/replication.md, Fetching */
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import { SLICES_COUNT, sliceOf } from "#ledger/slice.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type StoredPrime, batchEntryBytes } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { fetchPrimes } from "./fetch-primes.ts";
import { batchOf, encodeBatch } from "./frame-codec.ts";
import type { LedgerReader, Sites } from "./replication-ports.ts";

export interface HealingComponents {
  readonly clock: Clock;
  readonly self: SiteId;
  readonly peers: Pick<Peers, "open">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement">;
  readonly store: Pick<PrimeStore, "keptTotals" | "lostOf" | "putFor">;
}

/** Written at once. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** One holder has so long; then the next one is asked, and this one again at the next time. */
const HOLDER_MS = 3_600_000;

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
  { self, clock, peers, sites, store }: HealingComponents,
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
  const late = new AbortController();
  const done = new AbortController();
  void clock.sleep(HOLDER_MS, done.signal).then(
    () => late.abort(),
    () => undefined,
  );
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  try {
    for await (const prime of fetchPrimes({ peers }, { peer, owner: self, ids, signal: either })) {
      primes.push(prime);
      bytes += batchEntryBytes(prime.stored.length);
      if (bytes >= BATCH_BYTES) await keep();
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!late.signal.aborted && !isPeersFault(error)) throw error;
  } finally {
    done.abort();
  }
  await keep();
}

const isPeersFault = (error: unknown): boolean =>
  (["peer-unreachable", "peer-refused", "peer-misbehaved", "prime-mismatch", "bad-encoding"] as const).some((code) =>
    isCostorError(error, code),
  );
