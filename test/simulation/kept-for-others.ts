/**
 * What is kept for others stays kept while a snapshot reaches it; what its owner has left out, as long as the lock is. And honest owners
 * leave out nothing that their snapshots reach.
 */
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { sliceOf } from "#ledger/slice.ts";
import { decodeCbor } from "#protocol/cbor.ts";
import { type PrimeId, type SiteId, parseSiteId, primeIdFromBytes } from "#protocol/ids.ts";
import { InvariantViolation } from "./invariant-violation.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimSite } from "./sim-site.ts";
import type { Witness } from "./witness.ts";

interface KeptBefore {
  /** All that was ever kept here, but for what was dropped when it might be. */
  readonly ids: Set<PrimeId>;
  /** As it was looked at last. */
  list: readonly PrimeId[] | undefined;
}

/** What a holder has noted as left out. */
interface Note {
  readonly owner: SiteId;
  readonly slice: number;
  /** Undefined for the whole slice. */
  readonly ids: ReadonlySet<PrimeId> | undefined;
  /** When it was seen first. */
  readonly seenMs: number;
  /** How many lives the holder had had by then. */
  readonly livesCount: number;
}

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
const ID_BYTES = 32;

export interface KeptForOthersWorld {
  readonly honest: readonly SimSite[];
  readonly witness: Witness;
  readonly elapsedMs: () => number;
}

export class KeptForOthers {
  readonly #world: KeptForOthersWorld;
  readonly #kept = new Map<SimDisk, Map<SiteId, KeptBefore>>();
  /** By their keys. */
  readonly #notes = new Map<SimDisk, Map<string, Note>>();

  constructor(world: KeptForOthersWorld) {
    this.#world = world;
  }

  hourly(): void {
    // By the notes of the hour before: what has come since is locked.
    this.#keepsWhatIsLocked();
    for (const holder of this.#world.honest) this.#readNotes(holder);
  }

  /** The newest live set of a slice, where it has come, has ended all notes of what it has not left out. */
  afterAll(): void {
    const { honest, witness } = this.#world;
    // What another machine has signed in its place counts for a site too, and trees, which would tell, are not simulated. Who is out signs no more
    // what is backed up since, and hears of no live set either.
    const signing = honest.filter(
      ({ program, isCloned, isLeaving }) => program?.signs === true && !isCloned && !isLeaving,
    );
    for (const owner of signing) {
      const { siteId } = owner.identity;
      const live = witness.wholeOf(siteId);
      for (const { name, disk, identity, program, isLeaving } of honest)
        for (const { owner: noted, slice, ids } of this.#notes.get(disk)?.values() ?? []) {
          if (noted !== siteId || ids === undefined || program === undefined || isLeaving) continue;
          const liveSet = program.ledger.statement(siteId, "live-set", `${slice}`)?.statement;
          const receipt = program.ledger.statement(identity.siteId, "receipt", `${siteId}/${slice}`)?.statement;
          const id = [...ids].find((one) => live.has(one));
          if (id !== undefined && receipt !== undefined && receipt.hash === liveSet?.hash)
            throw new InvariantViolation("I5-omitted", `${name} still notes prime ${id} as left out by ${owner.name}`);
        }
    }
  }

  #keepsWhatIsLocked(): void {
    const { honest, witness } = this.#world;
    for (const holder of honest) {
      const { disk, name } = holder;
      // Those, too, of whom nothing is kept any more.
      for (const owner of new Set([
        ...disk.keptTotals().map(({ site }) => site),
        ...(this.#kept.get(disk)?.keys() ?? []),
      ])) {
        const ids = disk.kept(owner);
        const former = this.#keptBefore(disk, owner);
        if (former.list === ids) continue;
        const live = witness.liveOf(owner);
        for (const id of former.ids) {
          if (disk.hasKept(owner, id) || witness.isDamaged(disk, id)) continue;
          // The note has gone with it: it is looked for once.
          if (this.#mayDrop(holder, owner, id)) former.ids.delete(id);
          else if (live.has(id))
            throw new InvariantViolation(
              "I5-early",
              `${name} has dropped prime ${id}, which a snapshot of ${owner} reaches`,
            );
        }
        for (const id of ids) former.ids.add(id);
        former.list = ids;
      }
    }
  }

  /** By true time, but that a site may count a day for each time that it was off. */
  #mayDrop(holder: SimSite, owner: SiteId, id: PrimeId): boolean {
    const { elapsedMs, honest } = this.#world;
    const isOver = ({ seenMs, livesCount }: Pick<Note, "seenMs" | "livesCount">): boolean =>
      elapsedMs() - seenMs + HOUR_MS + (holder.livesCount - livesCount) * DAY_MS >= LOCK_MS;
    const departedMs = honest.find(({ identity }) => identity.siteId === owner)?.leavingSinceMs;
    if (departedMs !== undefined && isOver({ seenMs: departedMs, livesCount: 0 })) return true;
    const notes = [...(this.#notes.get(holder.disk)?.values() ?? [])];
    return notes.some(
      (note) => note.owner === owner && (note.ids?.has(id) ?? note.slice === sliceOf(id)) && isOver(note),
    );
  }

  /** An honest owner has left out nothing that its snapshots reach, unless it had forgotten it once: that is how everything would be lost in the end. */
  #readNotes({ name, disk, livesCount }: SimSite): void {
    const { honest, witness, elapsedMs } = this.#world;
    const former = this.#notes.get(disk);
    const notes = new Map<string, Note>();
    for (const { key, value } of disk.facts("omitted", "")) {
      const [site, digit] = key.split("/") as [string, string];
      const owner = parseSiteId(site);
      const bytes = (decodeCbor(value) as { ids: Uint8Array | null }).ids;
      const ids = bytes === null ? undefined : new Set(idsOf(bytes));
      const before = former?.get(key);
      const { seenMs, ...since } = before ?? { seenMs: elapsedMs(), livesCount };
      notes.set(key, { owner, slice: Number.parseInt(digit, 16), ids, seenMs, livesCount: since.livesCount });
      const author = honest.find(({ identity }) => identity.siteId === owner);
      if (before !== undefined || author === undefined || author.isCloned || ids === undefined) continue;
      const live = witness.liveOf(owner);
      const needed = [...ids].find((id) => live.has(id) && !witness.hasExpired(owner, id));
      if (needed !== undefined)
        throw new InvariantViolation(
          "I5-omitted",
          `${author.name} has left out prime ${needed} at ${name}, and needs it`,
        );
    }
    this.#notes.set(disk, notes);
  }

  #keptBefore(disk: SimDisk, owner: SiteId): KeptBefore {
    let owners = this.#kept.get(disk);
    if (!owners) this.#kept.set(disk, (owners = new Map()));
    let kept = owners.get(owner);
    if (!kept) owners.set(owner, (kept = { ids: new Set(), list: undefined }));
    return kept;
  }
}

function* idsOf(bytes: Uint8Array): Generator<PrimeId> {
  for (let at = 0; at < bytes.length; at += ID_BYTES) yield primeIdFromBytes(bytes.subarray(at, at + ID_BYTES));
}
