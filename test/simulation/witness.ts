/** Sees everything and forgets nothing: what sites have promised, by which the checkers judge them. */
import { COPIES_COUNT } from "#node/replication/replication.ts";
import type { PrimeId, SiteId, SnapshotId } from "#protocol/ids.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimSite } from "./sim-site.ts";
import type { SimSnapshot } from "./workload.ts";

export interface Promised {
  readonly site: SimSite;
  readonly snapshot: SimSnapshot;
  /** On which it was kept when it was acknowledged. */
  readonly disk: SimDisk;
}

export interface WitnessInit {
  /** Hostile sites that give receipts for what they have thrown away. */
  readonly droppersCount: number;
}

export class Witness {
  /** So many others at least were seen to keep what a site rightly calls safe. */
  readonly leastCopiesCount: number;
  readonly promised = new Map<SnapshotId, Promised>();
  /** Snapshots of which a site once said that they are safe. */
  readonly safe = new Map<SnapshotId, Promised>();
  /** All primes that were ever sent. */
  readonly known = new Set<PrimeId>();
  readonly #expired = new Map<SiteId, Set<PrimeId>>();
  /** What faults have damaged on a disk. */
  readonly #damaged = new Map<SimDisk, Set<PrimeId>>();

  /** All snapshots that were ever sent. */
  readonly begunSnapshots = new Map<SnapshotId, SimSnapshot>();

  constructor({ droppersCount }: WitnessInit) {
    this.leastCopiesCount = COPIES_COUNT - droppersCount;
  }

  begun(snapshot: SimSnapshot): void {
    for (const { id } of snapshot.primes) this.known.add(id);
    this.begunSnapshots.set(snapshot.id, snapshot);
  }

  acknowledgedCount = 0;

  acknowledged(site: SimSite, disk: SimDisk, snapshot: SimSnapshot): void {
    this.acknowledgedCount++;
    this.promised.set(snapshot.id, { site, disk, snapshot });
  }

  /** A site is about to forget a snapshot: nothing of it is promised any more. */
  expiring({ site, snapshot }: Promised): void {
    this.promised.delete(snapshot.id);
    this.safe.delete(snapshot.id);
    const { siteId } = site.identity;
    const ids = this.#expired.get(siteId) ?? new Set();
    this.#expired.set(siteId, ids);
    for (const { id } of snapshot.primes) ids.add(id);
  }

  /** Whether a snapshot of the site that reached the prime was ever forgotten. */
  hasExpired(siteId: SiteId, id: PrimeId): boolean {
    return this.#expired.get(siteId)?.has(id) ?? false;
  }

  /** Snapshots whose acknowledgement lies on the disk. */
  promisedOn(disk: SimDisk): Promised[] {
    return [...this.promised.values()].filter((promised) => promised.disk === disk);
  }

  /** What was promised of a disk, and was not forgotten since, is to be found on the copy that takes its place. */
  moved(promised: readonly Promised[], disk: SimDisk): void {
    for (const { site, snapshot } of promised)
      if (this.promised.has(snapshot.id)) this.promised.set(snapshot.id, { site, snapshot, disk });
  }

  /** Sites that were seen to keep a prime for another one: by owner and prime. */
  readonly #keepers = new Map<string, Set<SimSite>>();

  keeps(keeper: SimSite, owner: SiteId, id: PrimeId): void {
    if (owner === keeper.identity.siteId) return;
    const place = `${owner} ${id}`;
    const keepers = this.#keepers.get(place);
    if (keepers) keepers.add(keeper);
    else this.#keepers.set(place, new Set([keeper]));
  }

  keepersOf(owner: SiteId, id: PrimeId): ReadonlySet<SimSite> {
    return this.#keepers.get(`${owner} ${id}`) ?? new Set();
  }

  /** Of a former machine, and not all of it could be had again: a site finds that out by its trees, which are not simulated. */
  isBroken(id: SnapshotId): boolean {
    const { site, disk, snapshot } = this.promised.get(id) ?? {};
    if (site === undefined || site.disk === disk) return false;
    return snapshot!.primes.some((prime) => !site.disk.hasKept(site.identity.siteId, prime.id));
  }

  /** A site says that a snapshot is safe, in the meaning of docs/specs/replication.md. What was promised, when it says so first. */
  saidSafe(id: SnapshotId): Promised | undefined {
    const promised = this.promised.get(id);
    if (!promised || this.safe.has(id)) return undefined;
    this.safe.set(id, promised);
    return promised;
  }

  /** What faults have done to a disk they have done to its copy. */
  copied(disk: SimDisk, copy: SimDisk): void {
    const ids = this.#damaged.get(disk);
    if (ids) this.#damaged.set(copy, new Set(ids));
  }

  damaged(disk: SimDisk, id: PrimeId): void {
    const ids = this.#damaged.get(disk) ?? new Set();
    this.#damaged.set(disk, ids.add(id));
  }

  isDamaged(disk: SimDisk, id: PrimeId): boolean {
    return this.#damaged.get(disk)?.has(id) ?? false;
  }

  /** Primes that some live snapshot of a site reaches. */
  liveOf(siteId: SiteId): Set<PrimeId> {
    return this.#reached(siteId, () => true);
  }

  /** As {@link liveOf}, without snapshots that were not yet safe when their machine was lost, and went with it. */
  wholeOf(siteId: SiteId): Set<PrimeId> {
    return this.#reached(siteId, (id) => this.safe.has(id) || !this.isBroken(id));
  }

  #reached(siteId: SiteId, counts: (id: SnapshotId) => boolean): Set<PrimeId> {
    const ids = new Set<PrimeId>();
    for (const { site, snapshot } of this.promised.values())
      if (site.identity.siteId === siteId && counts(snapshot.id)) for (const { id } of snapshot.primes) ids.add(id);
    return ids;
  }

  /** Whether everything that is safe, or that its site may call so by now, would still be somewhere without `ids`, or anything, of a disk. */
  canLose(sites: readonly SimSite[], disk: SimDisk, ids?: ReadonlySet<PrimeId>): boolean {
    for (const promised of this.promised.values())
      if (this.#maySaySafe(promised))
        for (const { id } of promised.snapshot.primes) {
          if ((ids && !ids.has(id)) || !isSound(disk, id)) continue;
          // Nobody gets back what somebody has who is out, or has for others only.
          const { siteId } = promised.site.identity;
          const isElsewhere = sites.some(
            (other) =>
              other.disk !== disk && !other.isLeaving && other.disk.hasKept(siteId, id) && isSound(other.disk, id),
          );
          if (!isElsewhere) return false;
        }
    return true;
  }

  /**
   * Of copies that rotted unnoticed an honest one is sound at least: they go on counting, as those of hostile sites do, and make something
   * safe that was not so far.
   */
  canRot(sites: readonly SimSite[], honest: readonly SimSite[], disk: SimDisk, id: PrimeId): boolean {
    const others = sites.filter((other) => other.disk !== disk && !other.isLeaving && other.disk.primes.has(id));
    return others.length === 0 || others.some((other) => honest.includes(other) && isSound(other.disk, id));
  }

  /** It is asked once an hour, and says nothing while it is under suspicion; receipts count meanwhile. */
  #maySaySafe({ site, snapshot }: Promised): boolean {
    const { siteId } = site.identity;
    return (
      this.safe.has(snapshot.id) ||
      snapshot.primes.every(({ id }) => this.keepersOf(siteId, id).size >= this.leastCopiesCount)
    );
  }
}

export const isSound = (disk: SimDisk, id: PrimeId): boolean => disk.primes.has(id) && !disk.rotten.has(id);
