/** Has another site gather primes of this one from the holders alone. docs/specs/replication.md, Drills across sites */
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
import type { Channel, Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { sliceOf } from "#ledger/slice.ts";
import { signDrillOrder } from "#node/replication/drill-order.ts";
import { isPeersFault } from "#node/replication/fetch-own.ts";
import { isHolder } from "#node/replication/fetch-rights.ts";
import { receivedBatch } from "#node/replication/fetch-primes.ts";
import { batchOf, decodeMessage, encodeMessage, isBatch } from "#node/replication/frame-codec.ts";
import { refusalError } from "#node/replication/replicate-messages.ts";
import type { LedgerReader, Sites } from "#node/replication/replication-ports.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { drillProtocol, gatheredAnswer, witnessedAnswer } from "./drill-messages.ts";

export interface AcrossSitesComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "fraction">;
  readonly peers: Pick<Peers, "open" | "connected">;
  readonly sites: Pick<Sites, "sites" | "peerOf" | "roleOf">;
  readonly ledger: Pick<LedgerReader, "statement">;
}

export interface Gathered {
  readonly gatherer: SiteId;
  /** Of those that came. */
  readonly bytes: number;
  /** What did not come, or was not what this site has, and why. */
  readonly failed: ReadonlyMap<PrimeId, string>;
}

/** Who sends nothing for so long is given up: one prime over a slow line, from a holder that is not the first that was asked. */
const SILENT_MS = 5 * 60_000;
/** So many are asked for one drill: other drills wait meanwhile. */
const ASKED_COUNT = 3;

export class AcrossSites {
  readonly #components: AcrossSitesComponents;
  readonly #peerSeed: Uint8Array;

  constructor(components: AcrossSitesComponents, init: { readonly peerSeed: Uint8Array }) {
    this.#components = components;
    this.#peerSeed = init.peerSeed;
  }

  /** Whether there is any member to ask now. */
  get isPossible(): boolean {
    return this.#gatherers([]).length > 0;
  }

  /**
   * By a site that is connected, drawn among those that hold the fewest of them, and by the next one when that one does not do its part or
   * is silent; it has signed the result. `examine` throws a `CostorError` for a prime that is not what this site has. Throws `peer-unreachable`
   * when nobody gathers, and then nothing is proven.
   */
  async gather(
    ids: readonly PrimeId[],
    examine: (prime: StoredPrime) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Gathered> {
    const faults: string[] = [];
    for (const { site, peer } of this.#gatherers(ids).slice(0, ASKED_COUNT)) {
      try {
        return { gatherer: site, ...(await this.#ask(peer, ids, examine, signal)) };
      } catch (error) {
        signal.throwIfAborted();
        if (!isPeersFault(error)) throw error;
        faults.push(`${site.slice(0, 16)}: ${(error as Error).message}`);
      }
    }
    throw new CostorError(
      "peer-unreachable",
      `no other site has gathered: ${faults.join("; ") || "none is connected"}`,
    );
  }

  #gatherers(ids: readonly PrimeId[]): { readonly site: SiteId; readonly peer: PeerKey }[] {
    const { self, peers, sites, rng } = this.#components;
    const connected = new Set(peers.connected());
    const heldCount = (site: SiteId): number =>
      ids.filter((id) => isHolder(this.#components, site, self, sliceOf(id))).length;
    return sites
      .sites()
      .flatMap((site) => {
        const peer = site === self || sites.roleOf(site).role !== "member" ? undefined : sites.peerOf(site);
        if (peer === undefined || !connected.has(peer)) return [];
        return [{ site, peer, rank: heldCount(site) + rng.fraction() }];
      })
      .toSorted((one, other) => one.rank - other.rank);
  }

  async #ask(
    peer: PeerKey,
    ids: readonly PrimeId[],
    examine: (prime: StoredPrime) => Promise<void>,
    outer: AbortSignal,
  ): Promise<Omit<Gathered, "gatherer">> {
    const { self, clock, peers } = this.#components;
    const afterMs = limits.drillOrderLifeMs;
    using deadline = new Deadline({ clock }, { afterMs, signal: outer, reason: tooSlow });
    const { signal } = deadline;
    const fields = { owner: self, gatherer: peer, ids, expiresMs: clock.now() + afterMs };
    const channel = await peers.open(peer, drillProtocol, signal);
    try {
      await channel.send(encodeMessage({ kind: "gather", order: signDrillOrder(fields, this.#peerSeed) }));
      const next = (): Promise<Uint8Array> => this.#nextFrame(channel, signal);
      const gathered = await take(next, ids, examine);
      await channel.send(encodeMessage({ kind: "result", failedCount: gathered.failed.size }));
      const answer = decodeMessage(await next(), witnessedAnswer);
      if (answer.kind === "refused") throw refusalError(answer);
      await channel.close();
      return gathered;
    } finally {
      channel.abort();
    }
  }

  async #nextFrame(channel: Channel, outer: AbortSignal): Promise<Uint8Array> {
    const { clock } = this.#components;
    using deadline = new Deadline({ clock }, { afterMs: SILENT_MS, signal: outer, reason: isSilent });
    const frame = await channel.receive(deadline.signal);
    if (frame === undefined) throw new CostorError("peer-unreachable", "the other site ended the drill");
    return frame;
  }
}

const isSilent = (): Error => new CostorError("peer-unreachable", "the other site is silent");

async function take(
  next: () => Promise<Uint8Array>,
  ids: readonly PrimeId[],
  examine: (prime: StoredPrime) => Promise<void>,
): Promise<Omit<Gathered, "gatherer">> {
  const waited = new Set(ids);
  const failed = new Map<PrimeId, string>();
  for (let bytes = 0; ;) {
    const frame = await next();
    if (!isBatch(frame)) {
      const answer = decodeMessage(frame, gatheredAnswer);
      if (answer.kind === "refused") throw refusalError(answer);
      const lacking = new Set(answer.lacking);
      if (lacking.size !== waited.size || ![...waited].every((id) => lacking.has(id)))
        throw new CostorError("peer-misbehaved", "the other site does not say what became of each prime");
      for (const id of lacking) failed.set(id, "prime-missing: no holder gave it to the other site");
      return { bytes, failed };
    }
    for (const prime of receivedBatch(batchOf(frame), waited)) {
      bytes += prime.stored.length;
      await examine(prime).catch((error: unknown) => {
        if (!isCostorError(error)) throw error;
        failed.set(prime.id, `${error.code}: ${error.message}`);
      });
    }
  }
}

const tooSlow = (): Error => new CostorError("peer-unreachable", "the other site took too long");
