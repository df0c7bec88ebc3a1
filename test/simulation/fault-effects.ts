/** What each kind of fault does to a running federation, and what ends it. */
import { COPIES_COUNT } from "#node/replication/replication.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { writeAsClone } from "./clone.ts";
import type { EventLog } from "./event-log.ts";
import type { Fault, FaultKind } from "./fault-plan.ts";
import { partitionShapeNames, partitionShapes } from "./partition-shape.ts";
import type { People } from "./people.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { Line, SimNetwork } from "./sim-network.ts";
import type { SimSite } from "./sim-site.ts";
import type { Struck } from "./struck.ts";
import type { VirtualTime } from "./virtual-time.ts";
import { type Witness, isSound } from "./witness.ts";

const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** What a clock may be wrong by: from seconds to the year 2038. */
const JUMPS_MS = [1000, -1000, 3600_000, -3600_000, 30 * DAY_MS, -30 * DAY_MS, 12 * 365 * DAY_MS, -60 * 365 * DAY_MS];
/** In which a write that has begun is mostly done, and known to others. */
const MOST_WRITE_MS = 4000;
const SLOW_WRITE_MS = 1000;
const MOST_WAIT_MS = 12 * 60 * MINUTE_MS;
const RATES = [0, 0.5, 1.1, 10];
/** They have struck when people have decided, or when the older disk is in. */
const LATER = new Set<FaultKind>(["join", "expel", "leave", "rollback"]);

export interface FaultEffectsComponents {
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  readonly rng: SeededRng;
  readonly log: EventLog;
  readonly witness: Witness;
  readonly sites: readonly SimSite[];
  /** Only what these have counts as a copy. */
  readonly honest: readonly SimSite[];
  readonly afterCrash: (site: SimSite) => void;
  readonly people: People;
  readonly struck: Struck;
}

/** Undefined when the fault could not strike now. */
type Ending = (() => void) | undefined;

export class FaultEffects {
  #isOver = false;
  readonly #components: FaultEffectsComponents;
  readonly #baseLine: Line;
  readonly #lineChanges = new Set<Partial<Line>>();
  /** Partitions of now: each is to be made again when a site has another machine. */
  readonly #cuts = new Set<() => void>();

  constructor(components: FaultEffectsComponents) {
    this.#components = components;
    this.#baseLine = components.network.line;
  }

  /** No fault strikes any more. */
  end(): void {
    this.#isOver = true;
  }

  /** Has each fault of a plan strike and end in its time. */
  arm(faults: readonly Fault[]): void {
    const { time, log, struck } = this.#components;
    for (const fault of faults)
      time.after(fault.atMs, () => {
        const end = this.#strike(fault);
        const { name } = this.#siteOf(fault);
        log.note(name, `${fault.kind}${end ? "" : " (not now)"}`);
        if (!end) return;
        if (!LATER.has(fault.kind)) struck.add(fault.kind);
        time.after(fault.durationMs, () => {
          log.note(name, `${fault.kind} ends`);
          end();
        });
      });
  }

  #siteOf({ siteNumber }: Fault): SimSite {
    return this.#components.sites[siteNumber]!;
  }

  #strike(fault: Fault): Ending {
    const site = this.#siteOf(fault);
    const { severityRatio } = fault;
    const { people } = this.#components;
    switch (fault.kind) {
      case "crash":
        return this.#crash(site, fault);
      case "write-error":
        return this.#down(site, () => site.store!.fail(severityRatio));
      case "disk-loss":
        return this.#loseDisk(site);
      case "partition":
        return this.#partition(fault);
      case "loss":
        return this.#changeLine({
          breakRatio: severityRatio * 0.05,
          gossipLossRatio: severityRatio * 0.3,
          gossipDoubleRatio: severityRatio * 0.5,
        });
      case "delay":
        return this.#changeLine({ latencyMs: 50 + severityRatio * 5000, jitterMs: severityRatio * 20_000 });
      case "slow-line":
        return this.#slowLine(site, severityRatio);
      case "clock-jump":
        site.clock.jump(JUMPS_MS[Math.floor(severityRatio * JUMPS_MS.length)]!);
        return () => site.clock.setRight();
      case "clock-rate":
        site.clock.setRate(RATES[Math.floor(severityRatio * RATES.length)]!);
        return () => site.clock.setRight();
      case "disk-full":
        return this.#fillDisk(site, severityRatio);
      case "bit-rot":
        return this.#rot(site, fault);
      case "slow-disk":
        return this.#slowDisk(site, severityRatio);
      case "rollback":
        return this.#setBack(site);
      case "clone":
        if (!this.#canDoWithout(site) || !people.canDecideWithout(site) || people.isInviting(site)) return undefined;
        return writeAsClone(site, this.#components, fault.label) ? () => {} : undefined;
      case "join":
        return this.#join() ? () => {} : undefined;
      case "expel":
      case "leave":
        if (!this.#canDoWithout(site) || !people.canDecideWithout(site) || !this.#canLose(site)) return undefined;
        return people.remove(site, fault.kind) ? () => {} : undefined;
    }
  }

  /** Whether what is safe is elsewhere too: nobody gets back what somebody has who is out. */
  #canLose({ disk }: SimSite): boolean {
    const { witness, honest } = this.#components;
    return witness.canLose(honest, disk);
  }

  /** Whether the others have two places each for their copies when this one takes none: less than that no federation can make good. */
  #canDoWithout(site: SimSite): boolean {
    const { honest, people } = this.#components;
    const holders = honest.filter(
      (other) =>
        other !== site && people.isKnownMember(other) && !other.isLeaving && !other.isCloned && !this.#hasForked(other),
    );
    return new Set(holders.map(({ place }) => place)).size > COPIES_COUNT;
  }

  /** Who was set back while cut off from most may have written twice: it takes nothing until people say which machine is right. */
  #hasForked({ identity: { siteId } }: SimSite): boolean {
    return this.#components.honest.some(({ program }) => program?.ledger.forkOf(siteId) !== undefined);
  }

  /**
   * Most wait until something is being written, and then the disk takes its time: there is something to lose. The site is back
   * as long after the crash as the fault lasts.
   */
  #crash(site: SimSite, { label, durationMs, severityRatio }: Fault): Ending {
    const { rng, time, afterCrash } = this.#components;
    if (!site.program) return undefined;
    const details = rng.fork(label);
    const { disk } = site;
    const { writeMs } = disk;
    let isDone = false;
    const crash = (): void => {
      if (isDone || this.#isOver) return;
      isDone = true;
      disk.writeMs = writeMs;
      site.crash(severityRatio);
      afterCrash(site);
      time.after(durationMs, () => void site.start());
    };
    if (details.happens(0.8)) {
      site.store!.onNextPut(() => {
        disk.writeMs = Math.max(writeMs, SLOW_WRITE_MS);
        time.after(details.below(MOST_WRITE_MS), crash);
      });
      time.after(MOST_WAIT_MS, crash);
    } else crash();
    return () => {};
  }

  #down(site: SimSite, strike: () => void): Ending {
    if (!site.program) return undefined;
    strike();
    return () => {
      // After a write error the process ends too: the store takes no more before it is opened again.
      site.crash(0);
      void site.start();
    };
  }

  #loseDisk(site: SimSite): Ending {
    const { witness, honest } = this.#components;
    if (!site.program) return undefined;
    if (!witness.canLose(honest, site.disk)) return undefined;
    // A federation whose machines are all new at one time has no ledger, and so is none any more.
    if (!honest.some((other) => other !== site && other.hasLedger)) return undefined;
    site.loseDisk();
    for (const cutAgain of this.#cuts) cutAgain();
    return () => void site.start();
  }

  /** Somebody puts back a copy of the disk that was made some time ago. */
  #setBack(site: SimSite): Ending {
    const { witness, honest, log, struck } = this.#components;
    if (!site.program || site.isCloned || !this.#canDoWithout(site)) return undefined;
    const { disk } = site;
    const copy = disk.copy();
    const promised = witness.promisedOn(disk);
    return () => {
      if (site.disk !== disk || !site.program) return;
      // What has rotted on the copy may have been healed since.
      const lost = new Set([...disk.primes.keys()].filter((id) => !isSound(copy, id)));
      if (!witness.canLose(honest, disk, lost)) return;
      log.note(site.name, "is set back");
      struck.add("rollback");
      site.setBack(copy);
      witness.copied(disk, copy);
      witness.moved(promised, copy);
      void site.start();
    };
  }

  #join(): boolean {
    const { sites, people } = this.#components;
    const newcomer = sites.find(({ hasBegun }) => !hasBegun);
    return newcomer !== undefined && people.invite(newcomer);
  }

  #partition({ label, durationMs, severityRatio, shape: given }: Fault): Ending {
    const { network, rng, time, sites } = this.#components;
    const details = rng.fork(label);
    const shape = partitionShapes[given ?? details.pick(partitionShapeNames)];
    // By site and not by key: a site may come back as another machine.
    const bySite = new Map(sites.map((site) => [site.identity.peerKey, site]));
    const links = shape(details, [...bySite.keys()]);
    let cut: readonly (readonly [PeerKey, PeerKey])[] = [];
    const apply = (): void => {
      cut = links.map(([from, to]) => [bySite.get(from)!.identity.peerKey, bySite.get(to)!.identity.peerKey]);
      for (const [from, to] of cut) network.cut(from, to);
    };
    const mend = (): void => {
      for (const [from, to] of cut) network.mend(from, to);
      cut = [];
    };
    apply();
    const cutAgain = (): void => {
      if (cut.length === 0) return;
      mend();
      apply();
    };
    this.#cuts.add(cutAgain);
    let isOver = false;
    if (severityRatio > 0.7) {
      const flap = (): void => {
        if (isOver) return;
        if (cut.length > 0) mend();
        else apply();
        time.after(details.between(1, durationMs / MINUTE_MS / 4) * MINUTE_MS, flap);
      };
      time.after(2 * MINUTE_MS, flap);
    }
    return () => {
      isOver = true;
      this.#cuts.delete(cutAgain);
      mend();
    };
  }

  #changeLine(change: Partial<Line>): Ending {
    this.#lineChanges.add(change);
    this.#applyLine();
    return () => {
      this.#lineChanges.delete(change);
      this.#applyLine();
    };
  }

  #applyLine(): void {
    this.#components.network.line = Object.assign({}, this.#baseLine, ...this.#lineChanges) as Line;
  }

  #slowLine(site: SimSite, severityRatio: number): Ending {
    const { network } = this.#components;
    const { peerKey } = site.identity;
    network.shape(peerKey, { ...this.#baseLine, latencyMs: 300, bytesPerSecond: 100_000 / (1 + 50 * severityRatio) });
    return () => network.shape(peerKey, undefined);
  }

  #fillDisk({ disk }: SimSite, severityRatio: number): Ending {
    const { capacityBytes } = disk;
    disk.capacityBytes = Math.min(capacityBytes, disk.usedBytes + 10_000 * severityRatio);
    return () => (disk.capacityBytes = Math.max(disk.capacityBytes, capacityBytes));
  }

  #rot({ disk }: SimSite, { label, severityRatio }: Fault): Ending {
    const { rng, witness, sites, honest } = this.#components;
    const details = rng.fork(label);
    const ids = details.sample([...disk.primes.keys()], 1 + Math.floor(severityRatio * 10));
    const lost = ids.filter(
      (id) => witness.canLose(honest, disk, new Set([id])) && witness.canRot(sites, honest, disk, id),
    );
    for (const id of lost) {
      disk.rotten.add(id);
      witness.damaged(disk, id);
    }
    return lost.length > 0 ? () => {} : undefined;
  }

  #slowDisk({ disk }: SimSite, severityRatio: number): Ending {
    const { writeMs } = disk;
    disk.writeMs = 100 + 30_000 * severityRatio;
    return () => (disk.writeMs = Math.min(disk.writeMs, writeMs));
  }
}
