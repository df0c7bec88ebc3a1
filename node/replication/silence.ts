/**
 * How long each site was silent while others were heard: time in which this site had no line of its own counts against nobody.
 * It is counted on the clock that never jumps, and kept over restarts. In a federation in which a site does not keep connections to all
 * others, one that is not connected is silent only since it was looked for in vain.
 */
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { auditProtocol } from "./primes-messages.ts";
import type { Sites } from "./replication-ports.ts";

const KIND = "silence";
const KEY = "sites";
const schema = v.record(v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(0)));

export interface SilenceComponents {
  readonly clock: Pick<Clock, "elapsedMs">;
  readonly peers: Pick<Peers, "connected" | "open">;
  readonly sites: Pick<Sites, "sites" | "siteOfPeer" | "peerOf">;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
  /** Who keeps something for this site, or has something kept here. */
  readonly partners: () => Promise<ReadonlySet<SiteId>>;
}

/** In one turn, of which there is one each quarter of an hour: each of hundreds of sites is looked for within hours of the start. */
const LOOKED_FOR_COUNT = 24;
const HOUR_MS = 3_600_000;
/** Between two looks for a partner, or for one that was not there. */
const PARTNER_MS = HOUR_MS;
/** For all others, who are only not to be drawn when they are away: looking for each costs a connection. */
const OTHER_MS = 24 * HOUR_MS;

export class Silence {
  readonly #components: SilenceComponents;
  /** When each site was looked for last, on the clock that never jumps; and those that were not there. */
  readonly #lookedFor = new Map<SiteId, number>();
  readonly #missed: Set<SiteId>;
  readonly #silentMs: Map<SiteId, number>;
  #countedMs: number;

  private constructor(components: SilenceComponents, silentMs: Map<SiteId, number>) {
    this.#components = components;
    this.#silentMs = silentMs;
    // Those that were not there before this start are not there until they are heard.
    this.#missed = new Set([...silentMs].flatMap(([site, ms]) => (ms > 0 ? site : [])));
    this.#countedMs = components.clock.elapsedMs();
  }

  static async open(components: SilenceComponents): Promise<Silence> {
    const value = await components.store.fact(KIND, KEY);
    const noted = value === undefined ? {} : readFactValue(value, schema, KIND);
    return new Silence(components, new Map(Object.entries(noted) as [SiteId, number][]));
  }

  of(site: SiteId): number {
    return this.#silentMs.get(site) ?? 0;
  }

  /** Counts the time since the last call by who is connected now; to be called each quarter of an hour or so. */
  count(): void {
    const { clock, peers, sites } = this.#components;
    const passedMs = clock.elapsedMs() - this.#countedMs;
    this.#countedMs += passedMs;
    const heard = new Set(peers.connected().map((peer) => sites.siteOfPeer(peer)));
    heard.delete(undefined);
    const known = new Set(sites.sites());
    for (const site of this.#silentMs.keys()) if (!known.has(site)) this.#silentMs.delete(site);
    if (heard.size === 0) return;
    const areAllKept = known.size <= limits.peerKeptCount;
    for (const site of known) {
      const isSilent = !heard.has(site) && (areAllKept || this.#missed.has(site));
      this.#silentMs.set(site, isSilent ? Math.floor(this.of(site) + passedMs) : 0);
    }
  }

  /** Looks for some of those that are not connected; of few sites all are kept connected, and nobody has to be looked for. */
  async lookFor(signal: AbortSignal): Promise<void> {
    const { peers, sites } = this.#components;
    const known = sites.sites();
    if (known.length <= limits.peerKeptCount) return;
    const nowMs = this.#components.clock.elapsedMs();
    const partners = await this.#components.partners();
    const heard = new Set(peers.connected().map((peer) => sites.siteOfPeer(peer)));
    for (const site of [...this.#missed]) if (heard.has(site)) this.#missed.delete(site);
    const lookedMs = (site: SiteId): number => this.#lookedFor.get(site) ?? Number.NEGATIVE_INFINITY;
    const everyMs = (site: SiteId): number => (partners.has(site) || this.#missed.has(site) ? PARTNER_MS : OTHER_MS);
    const due = known
      .filter((site) => !heard.has(site))
      .map((site) => ({ site, everyMs: everyMs(site), dueMs: lookedMs(site) + everyMs(site) }))
      .filter(({ dueMs }) => dueMs <= nowMs);
    // Minus infinity from itself is no number: those that nobody looked for come by what they are.
    due.sort(
      (one, other) => one.dueMs - other.dueMs || one.everyMs - other.everyMs || (one.site < other.site ? -1 : 1),
    );
    for (const { site } of due.slice(0, LOOKED_FOR_COUNT)) {
      this.#lookedFor.set(site, nowMs);
      if (await this.#answers(site, signal)) this.#missed.delete(site);
      else this.#missed.add(site);
    }
  }

  async #answers(site: SiteId, signal: AbortSignal): Promise<boolean> {
    const peer = this.#components.sites.peerOf(site);
    if (peer === undefined) return false;
    try {
      const channel = await this.#components.peers.open(peer, auditProtocol, signal);
      await channel.close();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      // Whoever refuses is there.
      return !isCostorError(error, "peer-unreachable");
    }
  }

  /** Makes it last. */
  async keep(): Promise<void> {
    const value = encodeCbor(Object.fromEntries(this.#silentMs));
    await this.#components.store.appendFacts([{ kind: KIND, key: KEY, value }]);
  }
}
