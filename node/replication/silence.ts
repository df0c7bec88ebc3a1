/**
 * How long each site was silent while others were heard: time in which this site had no line of its own counts against nobody.
 * It is counted on the clock that never jumps, and kept over restarts.
 */
import * as v from "valibot";
import type { Clock } from "#ledger/clock.ts";
import type { Peers } from "#ledger/peers.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { SiteId } from "#protocol/ids.ts";
import type { Sites } from "./replication-ports.ts";

const KIND = "silence";
const KEY = "sites";
const schema = v.record(v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(0)));

export interface SilenceComponents {
  readonly clock: Pick<Clock, "elapsedMs">;
  readonly peers: Pick<Peers, "connected">;
  readonly sites: Pick<Sites, "sites" | "siteOfPeer">;
  readonly store: Pick<PrimeStore, "fact" | "appendFacts">;
}

export class Silence {
  readonly #components: SilenceComponents;
  readonly #silentMs: Map<SiteId, number>;
  #countedMs: number;

  private constructor(components: SilenceComponents, silentMs: Map<SiteId, number>) {
    this.#components = components;
    this.#silentMs = silentMs;
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

  /** Counts the time since the last call by who is connected now; to be called every few minutes. */
  count(): void {
    const { clock, peers, sites } = this.#components;
    const passedMs = clock.elapsedMs() - this.#countedMs;
    this.#countedMs += passedMs;
    const heard = new Set(peers.connected().map((peer) => sites.siteOfPeer(peer)));
    heard.delete(undefined);
    const known = new Set(sites.sites());
    for (const site of this.#silentMs.keys()) if (!known.has(site)) this.#silentMs.delete(site);
    if (heard.size === 0) return;
    for (const site of known) this.#silentMs.set(site, heard.has(site) ? 0 : Math.floor(this.of(site) + passedMs));
  }

  /** Makes it last. */
  async keep(): Promise<void> {
    const value = encodeCbor(Object.fromEntries(this.#silentMs));
    await this.#components.store.appendFacts([{ kind: KIND, key: KEY, value }]);
  }
}
