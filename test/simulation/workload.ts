/** Agents at work: snapshots of small primes at times of chance, new ones, those of earlier snapshots, and some that many have. */
import type { StoredPrime } from "#protocol/batch.ts";
import { isCostorError } from "#protocol/errors.ts";
import {
  type AgentId,
  type PrimeId,
  type SnapshotId,
  makeUuidV7,
  parseAgentId,
  parseSnapshotId,
} from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import type { EventLog } from "./event-log.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SimSite } from "./sim-site.ts";
import type { VirtualTime } from "./virtual-time.ts";
import type { Witness } from "./witness.ts";

export interface SimSnapshot {
  readonly id: SnapshotId;
  readonly agent: AgentId;
  readonly primes: readonly StoredPrime[];
}

export interface WorkloadInit {
  readonly agentsPerSiteCount: number;
  /** Mean time between two snapshots of an agent; 0 for a single one, within the first hour. */
  readonly snapshotEveryMs: number;
}

/** Of the snapshots of an agent so many stay, and then now and then the oldest goes. */
const STAYING_COUNT = 2;
const EXPIRING_RATIO = 0.7;
const HOUR_MS = 3600 * 1000;
const NEW_PRIMES_COUNT = 8;
const OLD_PRIMES_COUNT = 40;
const SHARED_PRIMES_COUNT = 30;

export interface WorkloadComponents {
  readonly time: VirtualTime;
  readonly rng: SeededRng;
  readonly log: EventLog;
  readonly witness: Witness;
}

export class Workload {
  readonly #components: WorkloadComponents;
  readonly #init: WorkloadInit;
  readonly #shared: readonly StoredPrime[];
  #isOver = false;
  /** All that were begun, but for those that are forgotten, by site. */
  readonly #reaching = new Map<SimSite, Set<SimSnapshot>>();

  constructor(components: WorkloadComponents, init: WorkloadInit) {
    this.#components = components;
    this.#init = init;
    const rng = components.rng.fork("shared");
    this.#shared = Array.from({ length: SHARED_PRIMES_COUNT }, () => newPrime(rng));
  }

  begin(sites: readonly SimSite[]): void {
    for (const site of sites)
      for (let number = 0; number < this.#init.agentsPerSiteCount; number++) {
        const rng = this.#components.rng.fork(`${site.name} agent ${number}`);
        const id = parseAgentId(makeUuidV7(0, (bytes) => bytes.set(rng.bytes(16))));
        this.#wait(site, rng, id, []);
      }
  }

  end(): void {
    this.#isOver = true;
  }

  #wait(site: SimSite, rng: SeededRng, agent: AgentId, old: StoredPrime[]): void {
    const { snapshotEveryMs } = this.#init;
    const isOnce = snapshotEveryMs === 0;
    this.#components.time.after(isOnce ? rng.between(0, HOUR_MS) : rng.waitMs(snapshotEveryMs), () => {
      if (this.#isOver) return;
      void this.#backUp(site, rng, agent, old).then(() => this.#expire(site, rng, agent));
      if (!isOnce) this.#wait(site, rng, agent, old);
    });
  }

  async #expire(site: SimSite, rng: SeededRng, agent: AgentId): Promise<void> {
    const { log, witness } = this.#components;
    const { program, disk } = site;
    const kept = [...witness.promised.values()].filter(
      (promised) => promised.disk === disk && promised.snapshot.agent === agent,
    );
    if (!program || kept.length <= STAYING_COUNT || !rng.happens(EXPIRING_RATIO)) return;
    const { snapshot } = kept[0]!;
    witness.expiring(kept[0]!);
    try {
      await program.expire(snapshot, () => this.#unreached(site, snapshot));
      log.note(site.name, `expired ${snapshot.primes.length}`);
    } catch (error) {
      if (!isCostorError(error)) throw error;
      log.note(site.name, `not expired: ${error.code}`);
    }
  }

  #unreached(site: SimSite, gone: SimSnapshot): PrimeId[] {
    const reaching = this.#reaching.get(site)!;
    reaching.delete(gone);
    const reached = new Set([...reaching].flatMap(({ primes }) => primes.map(({ id }) => id)));
    return gone.primes.map(({ id }) => id).filter((id) => !reached.has(id));
  }

  async #backUp(site: SimSite, rng: SeededRng, agent: AgentId, old: StoredPrime[]): Promise<void> {
    const { log, witness } = this.#components;
    const primes = new Map<string, StoredPrime>();
    const add = (prime: StoredPrime): void => void primes.set(prime.id, prime);
    for (let count = rng.below(NEW_PRIMES_COUNT); count >= 0; count--) add(newPrime(rng));
    for (const prime of rng.sample(old, rng.below(old.length + 1))) add(prime);
    for (const prime of rng.sample(this.#shared, rng.below(3))) add(prime);
    const id = parseSnapshotId(makeUuidV7(0, (bytes) => bytes.set(rng.bytes(16))));
    const snapshot = { id, agent, primes: [...primes.values()] };
    old.push(...snapshot.primes);
    old.splice(0, Math.max(0, old.length - OLD_PRIMES_COUNT));
    const { program, disk } = site;
    if (!program) return;
    witness.begun(snapshot);
    const reaching = this.#reaching.get(site) ?? new Set();
    this.#reaching.set(site, reaching.add(snapshot));
    try {
      await program.commit(snapshot);
      log.note(site.name, `snapshot ${snapshot.primes.length}`);
      witness.acknowledged(site, disk, snapshot);
    } catch (error) {
      if (!isCostorError(error)) throw error;
      log.note(site.name, `no snapshot: ${error.code}`);
    }
  }
}

function newPrime(rng: SeededRng): StoredPrime {
  const stored = rng.bytes(20 + rng.below(60));
  return { id: primeIdOf(stored), stored };
}
