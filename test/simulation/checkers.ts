/**
 * The invariants of a federation, as functions over the states of all sites; `id` names each in reports. Hourly ones are
 * checked while faults strike, the others once all is well again.
 */
import type { LogId } from "#protocol/ids.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimSite } from "./sim-site.ts";
import { type Witness, isSound } from "./witness.ts";

export class InvariantViolation extends Error {
  readonly id: string;

  constructor(id: string, message: string, cause?: unknown) {
    super(`${id}: ${message}`, cause === undefined ? undefined : { cause });
    this.id = id;
  }
}

export interface CheckedWorld {
  /** Those that run the real program. */
  readonly honest: readonly SimSite[];
  readonly witness: Witness;
}

export class Checkers {
  readonly #world: CheckedWorld;
  readonly #ledgerKeys = new Map<SimDisk, Set<string>>();
  checksCount = 0;

  constructor(world: CheckedWorld) {
    this.#world = world;
  }

  hourly(): void {
    this.checksCount++;
    this.#keepsWhatWasAcknowledged();
    this.#keepsWhatIsSafe();
    this.#keepsNothingElse();
    this.#keepsForOthers();
    this.#neverForgetsEntries();
    this.#neverRunsAheadOfAuthors();
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
    for (const { name, program } of this.#staying) {
      const why = program ? await program.whyNotSettled() : "is not up";
      if (why !== undefined) return `${name} ${why}`;
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

  /** What was once safe is sound somewhere. */
  #keepsWhatIsSafe(): void {
    const { honest, witness } = this.#world;
    for (const { site, snapshot } of witness.safe.values())
      for (const { id } of snapshot.primes)
        if (!honest.some(({ disk }) => isSound(disk, id)))
          throw new InvariantViolation("I1-safe", `prime ${id} of ${site.name} was safe and is nowhere`);
  }

  /** No site has a prime that no agent has sent. */
  #keepsNothingElse(): void {
    const { honest, witness } = this.#world;
    for (const { name, disk } of honest)
      for (const id of disk.primes.keys())
        if (!witness.known.has(id)) throw new InvariantViolation("I3-phantom", `${name} has ${id}, which nobody sent`);
  }

  /** What a site keeps for another stays kept while a snapshot reaches it, and stays here unless a fault took it. */
  #keepsForOthers(): void {
    const { honest, witness } = this.#world;
    for (const { disk, name } of honest)
      for (const { site: owner } of disk.keptTotals()) {
        const former = this.#keptBefore(disk, owner);
        const live = witness.liveOf(owner);
        for (const id of former)
          if (live.has(id) && !disk.hasKept(owner, id) && !witness.isDamaged(disk, id))
            throw new InvariantViolation(
              "I5-early",
              `${name} has dropped prime ${id}, which a snapshot of ${owner} reaches`,
            );
        for (const id of disk.kept(owner)) former.add(id);
      }
  }

  readonly #kept = new Map<SimDisk, Map<string, Set<ReturnType<SimDisk["kept"]>[number]>>>();

  #keptBefore(disk: SimDisk, owner: string): Set<ReturnType<SimDisk["kept"]>[number]> {
    let owners = this.#kept.get(disk);
    if (!owners) this.#kept.set(disk, (owners = new Map()));
    let ids = owners.get(owner);
    if (!ids) owners.set(owner, (ids = new Set()));
    return ids;
  }

  /** What is written of a ledger stays. */
  #neverForgetsEntries(): void {
    for (const { name, disk } of this.#world.honest) {
      const keys = new Set(disk.factKeys("ledger"));
      for (const key of this.#ledgerKeys.get(disk) ?? [])
        if (!keys.has(key)) throw new InvariantViolation("I9-monotonic", `${name} has forgotten ${key}`);
      this.#ledgerKeys.set(disk, keys);
    }
  }

  /** Nobody knows more of a log than is durable at its author: it was given out too early, or written twice. */
  #neverRunsAheadOfAuthors(): void {
    for (const author of this.#world.honest) this.#neverRunsAheadOf(author);
  }

  #neverRunsAheadOf(author: SimSite): void {
    if (author.isCloned || author.wasSetBack) return;
    const logId = author.identity.log.id;
    const lastSeq = lastSeqOn(author.disk, logId);
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

function lastSeqOn(disk: SimDisk, logId: LogId): number {
  const key = disk.factKeys("ledger", `entry/${logId}/`).at(-1);
  return key === undefined ? -1 : Number(key.slice(key.lastIndexOf("/") + 1));
}
