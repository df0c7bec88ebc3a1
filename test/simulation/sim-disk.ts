/**
 * What lies on one machine's disk, in memory: all that outlives a crash. Everything here is at once and whole; what is slow, refused
 * or torn is the store's affair (sim-store.ts).
 */
import type { Fact, KeptTotal, SliceTotal } from "#node/store/prime-store.ts";
import type { AgentId, LogId, PrimeId, SiteId } from "#protocol/ids.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import type { Rng } from "#ledger/rng.ts";
import { SimFacts } from "./sim-facts.ts";
import { textsWith } from "./sorted-texts.ts";

/** What a record takes besides what it is about. */
const RECORD_BYTES = 64;
const SLOW_WRITES_RATIO = 0.1;
const SLOW_WRITE_MS = 500;

interface Kept {
  readonly ids: Set<PrimeId>;
  bytes: number;
  lostCount: number;
  /** Until the next change. */
  sorted: PrimeId[] | undefined;
  /** Until the next change, or that of a prime in it. */
  slices: SliceTotal[] | undefined;
}

export interface SimDiskInit {
  readonly capacityBytes?: number;
  readonly writeMs?: number;
}

export interface SimDiskComponents {
  readonly rng: Rng;
  /** It is durable that a prime is kept for a site. */
  readonly onKept?: (site: SiteId, id: PrimeId) => void;
}

export class SimDisk {
  readonly #components: SimDiskComponents;
  readonly #madeBytes: number;
  readonly primes = new Map<PrimeId, Buffer>();
  /** Primes whose bytes are not what they were, which nobody has noticed yet. */
  readonly rotten = new Set<PrimeId>();
  /** Primes that were found damaged and are not here again. */
  readonly quarantined = new Set<PrimeId>();
  readonly #claims = new Map<PrimeId, Set<AgentId>>();
  readonly #keeps = new Map<SiteId, Kept>();
  /** Until the next change. */
  #totals: readonly KeptTotal[] | undefined;
  /** For how many sites a prime is kept. */
  readonly #keepersCounts = new Map<PrimeId, number>();
  #facts = new SimFacts();
  readonly closedMarks = new Set<string>();
  closedEpoch = 1;
  generation: string;
  capacityBytes: number;
  usedBytes = 0;
  /** Of the primes alone. */
  #primesBytes = 0;
  /** How long a group of writes mostly takes. */
  writeMs: number;
  isOpen = false;

  constructor(components: SimDiskComponents, { capacityBytes = 2 ** 40, writeMs = 0 }: SimDiskInit = {}) {
    this.#components = components;
    this.#madeBytes = capacityBytes;
    this.capacityBytes = capacityBytes;
    this.writeMs = writeMs;
    this.generation = this.#components.rng.bytes(16).toString("hex");
  }

  /** What lies on it now, on a disk of its own, as large as this one was made: what else fills this one is not copied. */
  copy(): SimDisk {
    const copy = new SimDisk(this.#components, { capacityBytes: this.#madeBytes, writeMs: this.writeMs });
    for (const [id, stored] of this.primes) copy.primes.set(id, stored);
    for (const id of this.rotten) copy.rotten.add(id);
    for (const id of this.quarantined) copy.quarantined.add(id);
    for (const [id, senders] of this.#claims) copy.#claims.set(id, new Set(senders));
    for (const [site, kept] of this.#keeps) copy.#keeps.set(site, { ...kept, ids: new Set(kept.ids) });
    for (const [id, count] of this.#keepersCounts) copy.#keepersCounts.set(id, count);
    copy.#facts = this.#facts.copy();
    copy.usedBytes = this.usedBytes;
    copy.#primesBytes = this.#primesBytes;
    return copy;
  }

  get freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.usedBytes);
  }

  get primesBytes(): number {
    return this.#primesBytes;
  }

  get factsCount(): number {
    return this.#facts.count;
  }

  /** How long the next group of writes takes: now and then a disk has other things to do. */
  drawWriteMs(): number {
    if (this.writeMs === 0) return 0;
    return this.#components.rng.fraction() < SLOW_WRITES_RATIO ? Math.max(this.writeMs, SLOW_WRITE_MS) : this.writeMs;
  }

  putPrime({ id, stored }: StoredPrime): void {
    // What rots unnoticed is taken for there, and so not written again.
    if (this.primes.has(id)) return;
    this.#totals = undefined;
    this.primes.set(id, Buffer.from(stored));
    this.quarantined.delete(id);
    this.usedBytes += stored.length + RECORD_BYTES;
    this.#primesBytes += stored.length;
    for (const kept of this.#keptWith(id)) {
      kept.bytes += stored.length;
      kept.lostCount--;
      kept.slices = undefined;
    }
  }

  claim(id: PrimeId, sender: AgentId): void {
    const senders = this.#claims.get(id);
    if (senders) senders.add(sender);
    else this.#claims.set(id, new Set([sender]));
  }

  hasClaim(id: PrimeId, sender: AgentId): boolean {
    return this.#claims.get(id)?.has(sender) === true;
  }

  /** Loses a prime as damage does: senders and keeps stay. */
  lose(id: PrimeId): void {
    this.quarantined.add(id);
    this.#drop(id);
    this.generation = this.#components.rng.bytes(16).toString("hex");
  }

  remove(id: PrimeId): boolean {
    const wasHere = this.#drop(id);
    this.quarantined.delete(id);
    this.#claims.delete(id);
    return wasHere;
  }

  #drop(id: PrimeId): boolean {
    this.#reopenTrees();
    const stored = this.primes.get(id);
    if (!stored) return false;
    this.#totals = undefined;
    this.primes.delete(id);
    this.rotten.delete(id);
    this.usedBytes -= stored.length + RECORD_BYTES;
    this.#primesBytes -= stored.length;
    for (const kept of this.#keptWith(id)) {
      kept.bytes -= stored.length;
      kept.lostCount++;
      kept.slices = undefined;
    }
    return true;
  }

  keep(site: SiteId, id: PrimeId): void {
    let kept = this.#keeps.get(site);
    if (!kept) {
      kept = { ids: new Set(), bytes: 0, lostCount: 0, sorted: undefined, slices: undefined };
      this.#keeps.set(site, kept);
    }
    if (kept.ids.has(id)) return;
    this.#totals = undefined;
    kept.ids.add(id);
    kept.sorted = kept.slices = undefined;
    this.#count(kept, id, 1);
    this.#keepersCounts.set(id, (this.#keepersCounts.get(id) ?? 0) + 1);
    this.#components.onKept?.(site, id);
  }

  /** Ends a keep; whether the prime is of no use to anybody any more. */
  release(site: SiteId, id: PrimeId): boolean {
    const kept = this.#keeps.get(site);
    if (kept?.ids.delete(id)) {
      this.#totals = undefined;
      kept.sorted = kept.slices = undefined;
      this.#count(kept, id, -1);
      const keepersCount = this.#keepersCounts.get(id)! - 1;
      if (keepersCount > 0) this.#keepersCounts.set(id, keepersCount);
      else this.#keepersCounts.delete(id);
      if (kept.ids.size === 0) this.#keeps.delete(site);
      this.#reopenTrees();
    }
    return !this.#keepersCounts.has(id) && !this.#claims.has(id);
  }

  /** Ascending: what any agent has sent. */
  sent(): PrimeId[] {
    return [...this.#claims.keys()].toSorted();
  }

  isRelied(id: PrimeId, relying: ReadonlySet<AgentId>): boolean {
    return !relying.isDisjointFrom(this.#claims.get(id) ?? new Set());
  }

  /** Whether it is kept for another site. */
  isKeptForOther(site: SiteId, id: PrimeId): boolean {
    return (this.#keepersCounts.get(id) ?? 0) > Number(this.hasKept(site, id));
  }

  /** Ends a keep and all claims, and removes what is kept for nobody else. */
  collect(site: SiteId, id: PrimeId): void {
    this.#claims.delete(id);
    if (this.release(site, id)) this.remove(id);
  }

  hasKept(site: SiteId, id: PrimeId): boolean {
    return this.#keeps.get(site)?.ids.has(id) ?? false;
  }

  /** Ascending. */
  kept(site: SiteId): readonly PrimeId[] {
    const kept = this.#keeps.get(site);
    return kept ? (kept.sorted ??= [...kept.ids].sort()) : [];
  }

  /** Those of them that start with it. */
  keptWith(site: SiteId, prefix: string): PrimeId[] {
    return textsWith(this.kept(site), prefix);
  }

  lostOf(site: SiteId): PrimeId[] {
    if ((this.#keeps.get(site)?.lostCount ?? 0) === 0) return [];
    return this.kept(site).filter((id) => !this.primes.has(id));
  }

  keptTotals(): readonly KeptTotal[] {
    return (this.#totals ??= [...this.#keeps]
      .map(([site, { ids, bytes, lostCount }]) => ({ site, count: ids.size, bytes, lostCount }))
      .sort((one, other) => (one.site < other.site ? -1 : 1)));
  }

  keptSlices(site: SiteId): readonly SliceTotal[] {
    const kept = this.#keeps.get(site);
    return kept ? (kept.slices ??= this.#slicesOf(site)) : [];
  }

  #slicesOf(site: SiteId): SliceTotal[] {
    const slices = new Map<number, { slice: number; count: number; bytes: number; lostCount: number }>();
    for (const id of this.kept(site)) {
      const slice = Number.parseInt(id.charAt(0), 16);
      const total = slices.get(slice) ?? { slice, count: 0, bytes: 0, lostCount: 0 };
      slices.set(slice, total);
      const stored = this.primes.get(id);
      total.count++;
      total.bytes += stored?.length ?? 0;
      if (!stored) total.lostCount++;
    }
    return [...slices.values()];
  }

  setFact(fact: Fact): void {
    this.usedBytes += this.#facts.set(fact);
  }

  fact(kind: string, key: string): Buffer | undefined {
    return this.#facts.get(kind, key);
  }

  /** In byte order of the keys. */
  facts(kind: string, prefix: string): { key: string; value: Buffer }[] {
    return this.#facts.list(kind, prefix);
  }

  /** All that were ever taken away. */
  removedKeys(kind: string): readonly string[] {
    return this.#facts.removedKeys(kind);
  }

  factKeys(kind: string, prefix = ""): string[] {
    return this.#facts.keys(kind, prefix);
  }

  /** What was found whole may be so no more. */
  #reopenTrees(): void {
    this.closedMarks.clear();
    this.closedEpoch++;
  }

  #count(kept: Kept, id: PrimeId, sign: 1 | -1): void {
    const stored = this.primes.get(id);
    if (stored) kept.bytes += sign * stored.length;
    else kept.lostCount += sign;
  }

  #keptWith(id: PrimeId): Kept[] {
    if (!this.#keepersCounts.has(id)) return [];
    return [...this.#keeps.values()].filter(({ ids }) => ids.has(id));
  }
}

/** The newest entry of a log that lies there; -1 for none. */
export function lastSeqOn(disk: SimDisk, logId: LogId): number {
  const key = disk.factKeys("ledger", `entry/${logId}/`).at(-1);
  return key === undefined ? -1 : Number(key.slice(key.lastIndexOf("/") + 1));
}
