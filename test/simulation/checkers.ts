/**
 * The invariants of a federation, as functions over the states of all sites; `id` names each in reports. Hourly ones are
 * checked while faults strike, the others once all is well again.
 */
import { LOCK_MS } from "#ledger/drop-plan.ts";
import { Ledger } from "#ledger/ledger.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { Membership } from "#ledger/membership.ts";
import { COPIES_COUNT } from "#node/replication/replication.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type LogId, type PrimeId, parseSnapshotId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { InvariantViolation } from "./invariant-violation.ts";
import { KeptForOthers } from "./kept-for-others.ts";
import { type SimDisk, lastSeqOn } from "./sim-disk.ts";
import type { SimSite } from "./sim-site.ts";
import { UnaskedEntries } from "./unasked-entries.ts";
import { type Witness, isSound } from "./witness.ts";
import type { SimSnapshot } from "./workload.ts";

const DAY_MS = 24 * 3600_000;
const REBUILDS_COUNT = 5;
const MOST_REBUILT_COUNT = 16;

export interface CheckedWorld {
  readonly sites: readonly SimSite[];
  /** Those that run the real program. */
  readonly honest: readonly SimSite[];
  readonly witness: Witness;
  readonly elapsedMs: () => number;
}

export class Checkers {
  readonly #world: CheckedWorld;
  readonly #keptForOthers: KeptForOthers;
  readonly #unasked: UnaskedEntries;
  checksCount = 0;

  constructor(world: CheckedWorld) {
    this.#world = world;
    this.#keptForOthers = new KeptForOthers(world);
    this.#unasked = new UnaskedEntries(world);
  }

  /** A machine begins a life. */
  starting(site: SimSite): void {
    this.#unasked.starting(site);
  }

  /** It hears from another one, the first time in this life. */
  hearing(site: SimSite): void {
    this.#unasked.check(site);
  }

  hourly(): void {
    this.checksCount++;
    this.#keepsWhatWasAcknowledged();
    this.#showsWholeSnapshots();
    this.#keepsTrueBytes();
    this.#keepsWhatIsSafe();
    this.#keepsNothingElse();
    this.#keptForOthers.hourly();
    this.#unasked.hourly();
    this.#neverForgetsEntries();
    this.#neverRunsAheadOfAuthors();
    this.#withdrawsForAuthorsOnly();
  }

  /** Those that are there and are not to go. */
  get #staying(): SimSite[] {
    return this.#world.honest.filter(({ hasBegun, isLeaving }) => hasBegun && !isLeaving);
  }

  /** Undefined when all honest sites that are up are equal. */
  whyNotConverged(): string | undefined {
    const digests = Map.groupBy(
      this.#staying.filter(({ program }) => program !== undefined),
      ({ program }) => program!.digest(),
    );
    if (digests.size <= 1) return undefined;
    const groups = [...digests].map(
      ([digest, sites]) => `${digest.slice(0, 8)}: ${sites.map(({ name }) => name).join()}`,
    );
    return groups.slice(0, 10).join("; ");
  }

  /** Undefined when all honest sites run and have nothing left to do. */
  async whyNotSettled(): Promise<string | undefined> {
    for (const site of this.#staying) {
      const { program } = site;
      const why = program
        ? ((await program.whyNotSettled()) ?? this.#whyNotBack(site) ?? this.#whyNotTwice(site))
        : "is not up";
      if (why !== undefined) return `${site.name} ${why}`;
    }
    return undefined;
  }

  /** What a site has lost of its own, and another one has. */
  #whyNotBack({ disk, identity: { siteId }, program }: SimSite): string | undefined {
    if (!program?.signs) return undefined;
    const others = this.#staying.filter((site) => site.disk !== disk && site.program?.signs);
    for (const id of disk.lostOf(siteId))
      for (const other of others)
        if (other.disk.hasKept(siteId, id) && isSound(other.disk, id))
          return `has not got back prime ${id} from ${other.name}`;
    return undefined;
  }

  /**
   * What a site says to be safe is at two others, whatever they have said. Of a hostile one only the bytes count, for whomever it
   * has them: by them it answers every audit.
   */
  #whyNotTwice(owner: SimSite): string | undefined {
    const { honest, sites, witness } = this.#world;
    const { siteId } = owner.identity;
    if (!owner.program?.signs) return undefined;
    const others = sites.filter((site) => site !== owner && !site.isLeaving);
    for (const { disk, snapshot } of witness.safe.values())
      for (const { id } of disk === owner.disk ? snapshot.primes : []) {
        const copies = others.filter(
          (site) => site.disk.primes.has(id) && (!honest.includes(site) || site.disk.hasKept(siteId, id)),
        );
        if (copies.length < COPIES_COUNT) return `has only ${copies.length} copies of prime ${id} elsewhere`;
      }
    return undefined;
  }

  /** Of a site that has crashed right now: what others have from it is what it will find when it comes back. */
  afterCrash(site: SimSite): void {
    this.#neverRunsAheadOf(site);
  }

  /** What a site has acknowledged lies on its disk, unless a fault has taken it. */
  #keepsWhatWasAcknowledged(): void {
    const { witness } = this.#world;
    for (const { site, disk, snapshot } of witness.promised.values()) {
      if (site.disk !== disk) continue;
      for (const { id } of snapshot.primes)
        if (!disk.primes.has(id) && !witness.isDamaged(disk, id))
          throw new InvariantViolation("I1-stored", `${site.name} has acknowledged prime ${id} and has it no more`);
    }
  }

  /** A snapshot that a site shows is one that was sent, and all of it is there, unless a fault took it. What comes back may be shown before. */
  #showsWholeSnapshots(): void {
    const { honest, witness } = this.#world;
    for (const { name, disk, identity, wasSetBack, program } of honest) {
      const isComing = program?.signs !== true || disk.lostOf(identity.siteId).length > 0;
      if ((identity.epoch > 1 || wasSetBack) && isComing) continue;
      for (const key of disk.factKeys("snapshot")) {
        if (this.#isSeen(disk, key)) continue;
        const snapshot = witness.begunSnapshots.get(parseSnapshotId(key.slice(key.indexOf("/") + 1)));
        // Of what a former machine had, only what others have can be here.
        const isHad = (id: PrimeId): boolean =>
          witness.promised.get(snapshot!.id)?.disk === disk ||
          honest.some(
            (other) => other.disk !== disk && other.disk.hasKept(identity.siteId, id) && isSound(other.disk, id),
          );
        const missing = snapshot?.primes.find(
          ({ id }) => !disk.primes.has(id) && !witness.isDamaged(disk, id) && isHad(id),
        );
        if (!snapshot || missing)
          throw new InvariantViolation("I4-partial", `${name} shows snapshot ${key} without ${missing?.id}`);
      }
    }
  }

  /** What is taken for sound is what its id says. */
  #keepsTrueBytes(): void {
    for (const { name, disk } of this.#world.honest)
      for (const [id, stored] of disk.primes) {
        if (disk.rotten.has(id) || this.#sound.has(stored)) continue;
        if (primeIdOf(stored) !== id)
          throw new InvariantViolation("I2-wrong", `${name} has other bytes than those of prime ${id}`);
        this.#sound.add(stored);
      }
  }

  readonly #sound = new WeakSet<Buffer>();
  readonly #seen = new Map<SimDisk, Set<string>>();

  /** Whether this is asked about a disk's record for the first time. */
  #isSeen(disk: SimDisk, key: string): boolean {
    let seen = this.#seen.get(disk);
    if (!seen) this.#seen.set(disk, (seen = new Set()));
    if (seen.has(key)) return true;
    seen.add(key);
    return false;
  }

  /** Of a snapshot that a site says for the first time to be safe: two other sites were seen to keep each prime. */
  saidSafe(site: SimSite, { primes }: SimSnapshot): void {
    const { witness } = this.#world;
    for (const { id } of primes) {
      const keepers = witness.keepersOf(site.identity.siteId, id);
      if (keepers.size < witness.leastCopiesCount)
        throw new InvariantViolation("I1-copies", `${site.name} says that prime ${id} is safe before it is`);
      const places = new Set([...keepers].map(({ place }) => place));
      if (places.size < witness.leastCopiesCount)
        throw new InvariantViolation(
          "I1-places",
          `${site.name} says that prime ${id} is safe, and all have it in one place`,
        );
    }
  }

  /** What lies on the disk says the same as what is in memory: the index and all else can be built anew from it. Of many sites some are looked at. */
  async afterAll(runOn: () => Promise<void>): Promise<void> {
    this.#keptForOthers.afterAll();
    // An entry may be under way to the disk.
    for (let count = 0; count < REBUILDS_COUNT; count++) {
      const why = await this.#whyNotRebuilt();
      if (why === undefined) return;
      if (count === REBUILDS_COUNT - 1) throw new InvariantViolation("I7-rebuild", why);
      await runOn();
    }
  }

  async #whyNotRebuilt(): Promise<string | undefined> {
    const { honest } = this.#world;
    const every = Math.ceil(honest.length / MOST_REBUILT_COUNT);
    for (const { name, number, disk, program, identity } of honest) {
      if (!program || number % every > 0) continue;
      const store = new LedgerFacts({ store: factsOf(disk) });
      const membership = await Membership.open({ store }, { siteId: identity.siteId });
      const ledger = await Ledger.open({ store, speakers: membership });
      if (ledger.digest() !== program.ledger.digest())
        return `${name} has another ledger on its disk than in its memory`;
    }
    return undefined;
  }

  /** What was once safe is sound somewhere. */
  #keepsWhatIsSafe(): void {
    const { honest, witness, elapsedMs } = this.#world;
    // What others keep of who is out ends with the lock, of which each may count a day for each time that it was off.
    const offMs = Math.max(...honest.map(({ livesCount }) => livesCount)) * DAY_MS;
    for (const { site, snapshot } of witness.safe.values()) {
      if (site.leavingSinceMs !== undefined && elapsedMs() - site.leavingSinceMs + offMs >= LOCK_MS) continue;
      for (const { id } of snapshot.primes)
        if (!honest.some(({ disk }) => isSound(disk, id)))
          throw new InvariantViolation("I1-safe", `prime ${id} of ${site.name} was safe and is nowhere`);
    }
  }

  /** No site has a prime that no agent has sent. */
  #keepsNothingElse(): void {
    const { honest, witness } = this.#world;
    for (const { name, disk } of honest)
      for (const id of disk.primes.keys())
        if (!witness.known.has(id)) throw new InvariantViolation("I3-phantom", `${name} has ${id}, which nobody sent`);
  }

  /** What is written of a ledger stays; but for entries that are withdrawn, for the lock, of which a site may count a day for each time that it was off. */
  #neverForgetsEntries(): void {
    const { honest, elapsedMs } = this.#world;
    for (const { name, disk, program, livesCount } of honest) {
      const isOver = elapsedMs() + livesCount * DAY_MS >= LOCK_MS;
      for (const key of disk.removedKeys("ledger")) {
        const [what, logId, seq] = key.split("/") as [string, LogId, string];
        // With its last entry goes the note of when it was withdrawn.
        const isForgotten = what === "withdrawn" || program?.ledger.log(logId)?.isWithdrawn(Number(seq)) !== false;
        if (isOver && isForgotten) continue;
        throw new InvariantViolation("I9-monotonic", `${name} has forgotten ${key}`);
      }
    }
  }

  /** What an author has said is out of force only where the author has withdrawn it. */
  #withdrawsForAuthorsOnly(): void {
    const { honest } = this.#world;
    for (const author of honest) {
      const { log, siteId } = author.identity;
      // What it says once others know that it is out counts with those only who do not know it.
      if (!author.program || author.isCloned || author.wasSetBack || author.isLeaving) continue;
      const own = SeqRanges.empty();
      for (const { statement } of author.program.ledger.statements(siteId, "retire"))
        if (statement.logId === log.id) own.addAll(statement.ranges);
      for (const { name, program } of honest)
        if (program?.ledger.log(log.id)?.withdrawn.without(own).isEmpty === false)
          throw new InvariantViolation("I3-withdrawn", `${name} hides what ${author.name} has said and not withdrawn`);
    }
  }

  /** Nobody knows more of a log than is durable at its author: it was given out too early, or written twice. */
  #neverRunsAheadOfAuthors(): void {
    for (const author of this.#world.honest) this.#neverRunsAheadOf(author);
  }

  #neverRunsAheadOf(author: SimSite): void {
    const logId = author.identity.log.id;
    const lastSeq = lastSeqOn(author.disk, logId);
    if (author.isCloned || lastSeq < author.formerSeq) return;
    for (const { name, program } of this.#world.honest) {
      const knownSeq = program?.ledger.log(logId)?.lastSeq;
      if (name !== author.name && knownSeq !== undefined && knownSeq > lastSeq)
        throw new InvariantViolation(
          "I3-ahead",
          `${name} has entry ${knownSeq} of ${author.name}, who has up to ${lastSeq}`,
        );
    }
  }
}

/** As a store, for reading. */
const factsOf = (disk: SimDisk): Pick<PrimeStore, "fact" | "facts" | "appendFacts"> => ({
  fact: async (kind, key) => disk.fact(kind, key),
  facts: async function* (kind, prefix = "") {
    yield* disk.facts(kind, prefix);
  },
  appendFacts: () => Promise.reject(new Error("nothing is written here")),
});
