/**
 * One run of one plan: sites on a network, agents at work, faults, and then a time in which all is well and everything has to
 * be in order again.
 */
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { AmbientBan } from "./ambient-ban.ts";
import { Checkers } from "./checkers.ts";
import { EventLog } from "./event-log.ts";
import { FaultEffects } from "./fault-effects.ts";
import type { SimPlan, Vice } from "./fault-plan.ts";
import { makeGenesis } from "./genesis.ts";
import { InvariantViolation } from "./invariant-violation.ts";
import { People } from "./people.ts";
import { ProgramFaults } from "./program-faults.ts";
import { RememberedCrypto } from "./remembered-crypto.ts";
import { SeededRng } from "./seeded-rng.ts";
import { settledWithinMs } from "./settling.ts";
import { SimNetwork } from "./sim-network.ts";
import { SimSite } from "./sim-site.ts";
import type { StartProgram } from "./site-program.ts";
import { Struck } from "./struck.ts";
import { VirtualTime } from "./virtual-time.ts";
import { Witness } from "./witness.ts";
import { Workload } from "./workload.ts";

const MINUTE_MS = 60 * 1000;
const HOUR_MS = 60 * MINUTE_MS;
const CLOSELY_MS = 10 * MINUTE_MS;
/** Of honest sites: an owner and two others. */
const LEAST_PLACES_COUNT = 3;
const QUIET_STEP_MS = 6 * HOUR_MS;
/** Node's own. */
const DEFAULT_STACK_COUNT = 10;

export interface SimPrograms {
  readonly honest: StartProgram;
  readonly hostile: (vice: Vice, onDeed: () => void) => StartProgram;
}

/** What a time has cost. */
export interface DayCost {
  readonly sentBytes: number;
  readonly framesCount: number;
  /** Of the real processor, with what the simulator takes. */
  readonly usedMs: number;
}

export interface SimOutcome {
  readonly hash: string;
  readonly eventsCount: number;
  readonly checksCount: number;
  readonly simulatedMs: number;
  readonly struck: Struck;
  readonly snapshotsCount: number;
  /** How long after the last fault all ledgers were equal, to the minute. */
  readonly equalAfterMs: number;
  /** Of the last day before all came to an end, of all sites. */
  readonly lastDay: DayCost;
  readonly failure: InvariantViolation | undefined;
  /** What happened last. */
  readonly lastLines: readonly string[];
}

/** Nothing else may run in this process meanwhile. */
export async function simulate(plan: SimPlan, programs: SimPrograms): Promise<SimOutcome> {
  using stacks = new NoStacks();
  void stacks;
  using remembered = new RememberedCrypto();
  using ban = new AmbientBan();
  using faults = new ProgramFaults();
  void remembered;
  const sim = new FederationSim(plan, programs, faults);
  let failure: InvariantViolation | undefined;
  try {
    await sim.run(() => {
      ban.check();
      faults.check();
    });
  } catch (error) {
    failure = error instanceof InvariantViolation ? error : new InvariantViolation("unexpected", String(error), error);
  }
  return sim.outcome(failure);
}

/** Sites meet errors all the time; where each was made costs more than most of what they do. `--stack-trace-limit` brings stacks back. */
class NoStacks implements Disposable {
  readonly #limitCount = Error.stackTraceLimit;

  constructor() {
    if (this.#limitCount === DEFAULT_STACK_COUNT) Error.stackTraceLimit = 0;
  }

  [Symbol.dispose](): void {
    Error.stackTraceLimit = this.#limitCount;
  }
}

class FederationSim {
  readonly #plan: SimPlan;
  readonly #time = new VirtualTime();
  readonly #log = new EventLog(() => this.#time.elapsedMs);
  readonly #witness: Witness;
  readonly #sites: readonly SimSite[];
  readonly #honest: readonly SimSite[];
  readonly #workload: Workload;
  readonly #effects: FaultEffects;
  readonly #checkers: Checkers;
  readonly #struck = new Struck();
  readonly #network: SimNetwork;
  #equalAfterMs = Infinity;
  #lastDay: DayCost = { sentBytes: 0, framesCount: 0, usedMs: 0 };
  #violation: unknown;

  constructor(plan: SimPlan, programs: SimPrograms, faults: ProgramFaults) {
    this.#plan = plan;
    const rng = new SeededRng(String(plan.seed));
    const names = new Map<PeerKey, string>();
    const nameOf = (key: PeerKey): string => {
      let name = names.get(key);
      if (!name) names.set(key, (name = key.slice(0, 8)));
      return name;
    };
    const network = new SimNetwork(
      {
        ...{ clock: this.#time.clock, rng: rng.fork("network") },
        time: this.#time,
      },
      {
        silenceMs: MINUTE_MS,
        redialMs: limits.peerRedialMaxMs,
        degreeCount: limits.peerKeptCount,
        onEvent: (what, from, to, bytesCount) => this.#log.note(nameOf(from), `${what} ${nameOf(to)} ${bytesCount}`),
        onHandlerError: (error, self) => {
          if (this.#honest.some(({ identity }) => identity.peerKey === self)) faults.caught(error);
        },
      },
    );
    this.#network = network;
    network.line = { ...network.line, latencyMs: 20, jitterMs: 40 };
    const droppersCount = plan.hostile.filter(({ vice }) => vice === "drops").length;
    this.#witness = new Witness({ droppersCount });
    const places = makePlaces(plan, rng.fork("places"));
    const viceOf = (number: number): Vice | undefined => plan.hostile.find((site) => site.number === number)?.vice;
    this.#sites = Array.from({ length: plan.sitesCount + plan.newcomersCount }, (_, number) => {
      const vice = viceOf(number);
      const startProgram = vice ? programs.hostile(vice, () => this.#struck.add(vice)) : programs.honest;
      const onFault = (error: unknown): void => {
        if (!vice) faults.caught(error);
      };
      const components = {
        time: this.#time,
        network,
        rng: rng.fork(`site ${number}`),
        startProgram,
        onFault,
        others: (site: SimSite) =>
          this.#sites.flatMap((other) => (other === site || !other.hasBegun ? [] : [other.identity.log])),
        onStarting: (site: SimSite): void => this.#checkers.starting(site),
        onStarted: (site: SimSite): void => this.#introduce(site),
        onHearing: (site: SimSite): void => this.#hearing(site),
        onKept: (site: SimSite, owner: SiteId, id: PrimeId): void => this.#witness.keeps(site, owner, id),
      };
      const disk = { capacityBytes: 2 ** 30, writeMs: 5 };
      return new SimSite(components, { number, seed: plan.seed, disk, place: places[number]! });
    });
    const genesis = makeGenesis(
      rng.fork("genesis"),
      this.#founders.map(({ identity }) => identity),
    );
    for (const site of this.#founders) site.genesis = genesis;
    const shared = { time: this.#time, log: this.#log, witness: this.#witness };
    const honest = this.#sites.filter(({ number }) => viceOf(number) === undefined);
    this.#workload = new Workload(
      { ...shared, rng: rng.fork("workload") },
      { agentsPerSiteCount: plan.sitesCount > 50 ? 1 : 2, snapshotEveryMs: plan.backupEveryHours * HOUR_MS },
    );
    const people = new People({
      ...{ ...shared, honest, rng: rng.fork("people"), onFault: (error) => faults.caught(error) },
      onDone: (kind) => this.#struck.add(kind),
      onJoined: (site) => this.#workload.begin([site]),
    });
    const effects = { ...shared, network, people, struck: this.#struck, rng: rng.fork("effects") };
    this.#checkers = new Checkers({
      ...{ sites: this.#sites, honest, witness: this.#witness },
      elapsedMs: () => this.#time.elapsedMs,
    });
    const afterCrash = (site: SimSite): void => {
      if (honest.includes(site)) this.#checkers.afterCrash(site);
    };
    this.#effects = new FaultEffects({ ...effects, sites: this.#sites, honest, afterCrash });
    this.#honest = honest;
  }

  get #founders(): SimSite[] {
    return this.#sites.slice(0, this.#plan.sitesCount);
  }

  /** In the midst of an event, in which nothing may be thrown. */
  #hearing(site: SimSite): void {
    try {
      this.#checkers.hearing(site);
    } catch (error) {
      this.#violation ??= error;
    }
  }

  async run(checkProgram: () => void): Promise<void> {
    const afterEvent = (): void => {
      checkProgram();
      if (this.#violation !== undefined) throw this.#violation;
    };
    for (const site of this.#founders) void site.start();
    // Of what a site leaves out others have to take care too, and of what it sends.
    const sending = this.#plan.hostile
      .filter(({ vice }) => vice === "omits" || vice === "lies")
      .map(({ number }) => this.#sites[number]!);
    this.#workload.begin([...this.#honest.filter((site) => this.#founders.includes(site)), ...sending]);
    this.#effects.arm(this.#plan.faults);
    const endMs = this.#plan.hoursCount * HOUR_MS;
    let dayBegins = this.#spent();
    for (let atMs = HOUR_MS; atMs < endMs + HOUR_MS; atMs += HOUR_MS) {
      if (atMs <= endMs - 23 * HOUR_MS && atMs > endMs - 24 * HOUR_MS) dayBegins = this.#spent();
      await this.#time.run(Math.min(atMs, endMs), afterEvent);
      await this.#askWhatIsSafe();
      this.#checkers.hourly();
    }
    const spent = this.#spent();
    this.#lastDay = {
      sentBytes: spent.sentBytes - dayBegins.sentBytes,
      framesCount: spent.framesCount - dayBegins.framesCount,
      usedMs: spent.usedMs - dayBegins.usedMs,
    };
    this.#workload.end();
    this.#effects.end();
    for (const site of this.#sites) if (site.hasBegun) void site.start();
    await this.#settle(endMs, afterEvent);
    await this.#beQuiet(afterEvent);
  }

  /** Days on which nothing happens but that locks end. */
  async #beQuiet(afterEvent: () => void): Promise<void> {
    const endMs = this.#time.elapsedMs + this.#plan.quietDaysCount * 24 * HOUR_MS;
    while (this.#time.elapsedMs < endMs) {
      await this.#time.run(this.#time.elapsedMs + QUIET_STEP_MS, afterEvent);
      this.#checkers.hourly();
    }
    await this.#checkers.afterAll(() => this.#time.run(this.#time.elapsedMs + MINUTE_MS, afterEvent));
  }

  outcome(failure: InvariantViolation | undefined): SimOutcome {
    return {
      hash: this.#log.hash(),
      eventsCount: this.#log.count,
      checksCount: this.#checkers.checksCount,
      simulatedMs: this.#time.elapsedMs,
      struck: this.#struck,
      snapshotsCount: this.#witness.acknowledgedCount,
      equalAfterMs: this.#equalAfterMs,
      lastDay: this.#lastDay,
      failure,
      lastLines: this.#log.lastLines(),
    };
  }

  /** Since the beginning. */
  #spent(): DayCost {
    const { user, system } = process.cpuUsage();
    return { ...this.#network.sent(), usedMs: (user + system) / 1000 };
  }

  async #askWhatIsSafe(): Promise<void> {
    for (const { program } of this.#honest)
      for (const id of (await program?.safeSnapshots()) ?? []) {
        if (this.#witness.isBroken(id)) continue;
        const promised = this.#witness.saidSafe(id);
        if (promised) this.#checkers.saidSafe(promised.site, promised.snapshot);
      }
  }

  /** People show the certificates of new machines around; until then these are strangers to all. */
  #introduce(started: SimSite): void {
    for (const site of this.#sites) {
      if (site === started) continue;
      for (const [one, other] of [
        [site, started],
        [started, site],
      ] as const)
        if (one.identity.epoch > 1) void other.program?.meet(one.identity.log.bytes).catch(() => {});
    }
  }

  async #settle(endMs: number, afterEvent: () => void): Promise<void> {
    // Who drops says nothing of what bits have rotted either.
    const boundMs = settledWithinMs({ isHidden: this.#plan.hostile.some(({ vice }) => vice === "drops") });
    // The bound of docs/specs/ledger.md is five minutes: within them one looks closely.
    for (let atMs = endMs; ; atMs += (atMs < endMs + CLOSELY_MS ? 1 : 30) * MINUTE_MS) {
      await this.#time.run(atMs, afterEvent);
      const apart = this.#checkers.whyNotConverged();
      if (apart === undefined) this.#equalAfterMs = Math.min(this.#equalAfterMs, atMs - endMs);
      const why = apart ?? (await this.#checkers.whyNotSettled());
      if (why === undefined) break;
      if (atMs > endMs + boundMs)
        throw new InvariantViolation("I6-convergence", `${boundMs / HOUR_MS} hours after the last fault: ${why}`);
    }
    await this.#askWhatIsSafe();
    this.#checkers.hourly();
  }
}

/** Where each site stands: in some federations two of the first ones in one place, when there are enough others. */
function makePlaces({ sitesCount, newcomersCount, hostile }: SimPlan, rng: SeededRng): string[] {
  const places = Array.from({ length: sitesCount + newcomersCount }, (_, number) => `place ${number}`);
  if (sitesCount - hostile.length > LEAST_PLACES_COUNT && rng.happens(0.5)) {
    const [one, other] = rng.sample([...places.keys()].slice(0, sitesCount), 2) as [number, number];
    places[one] = places[other]!;
  }
  return places;
}
