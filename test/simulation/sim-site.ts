/** One simulated site over all its lives: what it keeps through crashes, and how it comes and goes. */
import type { Log } from "#ledger/entry.ts";
import type { LedgerChange } from "#ledger/ledger-store.ts";
import type { FederationControl } from "#node/federation/federation-control.ts";
import type { Doorkeeper } from "#node/federation/transport.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { ROSTER_KEY } from "./genesis.ts";
import { SimDisk, type SimDiskInit, lastSeqOn } from "./sim-disk.ts";
import { type SimIdentity, makeIdentity } from "./sim-identity.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SimNetwork } from "./sim-network.ts";
import type { SimPeers } from "./sim-peers.ts";
import { SimStore } from "./sim-store.ts";
import { SiteClock } from "./site-clock.ts";
import type { Machine, SiteProgram, StartProgram } from "./site-program.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface SimSiteComponents {
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  readonly rng: SeededRng;
  readonly startProgram: StartProgram;
  readonly onFault: (error: unknown) => void;
  /** The machines of all others that have ever run. */
  readonly others: (site: SimSite) => readonly Log[];
  /** Its program is about to begin. */
  readonly onStarting: (site: SimSite) => void;
  /** Its program runs. */
  readonly onStarted: (site: SimSite) => void;
  /** It is about to hear something from another machine, the first time in this life. */
  readonly onHearing: (site: SimSite) => void;
  /** It is durable at the site that it keeps a prime for an owner. */
  readonly onKept: (site: SimSite, owner: SiteId, id: PrimeId) => void;
}

export interface SimSiteInit {
  readonly number: number;
  readonly seed: number;
  readonly disk: SimDiskInit;
  /** What stands in one place fails together. */
  readonly place: string;
}

interface Life {
  readonly machine: Machine;
  readonly store: SimStore;
  peers: SimPeers | undefined;
  program: SiteProgram | undefined;
}

export class SimSite {
  readonly number: number;
  readonly place: string;
  readonly #components: SimSiteComponents;
  readonly #diskInit: SimDiskInit;
  readonly #origin: string;
  /** What every new machine of the site is told. */
  genesis: readonly LedgerChange[] = [];
  identity: SimIdentity;
  disk: SimDisk;
  /** How wrong the machine's clock is; it goes on through crashes. */
  clock: SiteClock;
  /** Another machine writes with its key. */
  isCloned = false;
  /** Its disk was replaced by an older copy. */
  wasSetBack = false;
  /** What its own log ended with on the disk that was replaced; until it has that again, others know more of it. */
  formerSeq = -1;
  /** Its people have left, or the others want it out. */
  leavingSinceMs: number | undefined;
  /** Whether it has ever run: who has not is to join. */
  hasBegun = false;
  #life: Life | undefined;
  #livesCount = 0;

  constructor(components: SimSiteComponents, init: SimSiteInit) {
    this.#components = components;
    this.number = init.number;
    this.place = init.place;
    this.#diskInit = init.disk;
    this.#origin = `${init.seed} site ${init.number}`;
    this.identity = makeIdentity(this.#origin, 1);
    this.disk = this.#newDisk();
    this.clock = new SiteClock(components);
  }

  get isLeaving(): boolean {
    return this.leavingSinceMs !== undefined;
  }

  get livesCount(): number {
    return this.#livesCount;
  }

  get name(): string {
    return `site ${this.number}`;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  /** Undefined while the site is down or only starting. */
  get program(): SiteProgram | undefined {
    return this.#life?.program;
  }

  /** What its people can tell it now. */
  get control(): FederationControl | undefined {
    return this.program?.control;
  }

  get store(): SimStore | undefined {
    return this.#life?.store;
  }

  /** Whether it is in a federation, and its ledger here: what a new machine is given before it runs. */
  get hasLedger(): boolean {
    const isIn = this.disk.fact("ledger", ROSTER_KEY) !== undefined;
    return isIn && (this.identity.epoch === 1 || this.program !== undefined);
  }

  async start(): Promise<void> {
    if (this.#life) return;
    this.hasBegun = true;
    if (!this.disk.fact("ledger", ROSTER_KEY))
      for (const { key, value } of this.genesis) this.disk.setFact({ kind: "ledger", key, value });
    const { rng, startProgram, onFault, onStarting, others } = this.#components;
    const store = new SimStore({ disk: this.disk, clock: this.clock });
    const life: Life = {
      store,
      machine: {
        identity: this.identity,
        place: this.place,
        store,
        makeTransport: (doorkeeper) => this.#join(life, doorkeeper),
        others: () => others(this),
        clock: this.clock,
        onFault,
        rng: rng.fork(`life ${this.#livesCount++}`),
      },
      peers: undefined,
      program: undefined,
    };
    this.#life = life;
    onStarting(this);
    life.program = await startProgram(life.machine);
    if (this.#life === life) this.#components.onStarted(this);
  }

  /** Whether this life has heard anything from another machine. */
  get hasHeard(): boolean {
    return this.#life?.peers?.hasHeard ?? false;
  }

  #join(life: Life, doorkeeper: Doorkeeper | undefined): SimPeers {
    life.peers?.stop();
    const peers = this.#components.network.join(this.identity.peerKey, doorkeeper);
    peers.onHearing = () => this.#components.onHearing(this);
    return (life.peers = peers);
  }

  async stop(): Promise<void> {
    const life = this.#life;
    if (!life?.program) return;
    await life.program.stop();
    if (this.#life !== life) return;
    life.peers?.stop();
    await life.store[Symbol.asyncDispose]();
    this.#life = undefined;
  }

  /** As by a power cut. `doneRatio`: how much of what was being written is on the disk. */
  crash(doneRatio: number): void {
    if (!this.#life) return;
    const { peers, store } = this.#life;
    this.#life = undefined;
    peers?.crash();
    store.crash(doneRatio);
    // The machine's clock goes on; what waits on it does not.
    this.clock = this.clock.endAndCopy();
  }

  /** The machine is gone; another one acts for the site by its kit, with an empty disk. */
  loseDisk(): void {
    this.crash(0);
    this.identity = makeIdentity(this.#origin, this.identity.epoch + 1);
    this.formerSeq = -1;
    this.disk = this.#newDisk();
  }

  /** Somebody has put an older copy in place of its disk. */
  setBack(copy: SimDisk): void {
    this.crash(0);
    this.formerSeq = Math.max(this.formerSeq, lastSeqOn(this.disk, this.identity.log.id));
    this.disk = copy;
    this.wasSetBack = true;
  }

  #newDisk(): SimDisk {
    const rng = this.#components.rng.fork(`disk ${this.identity.epoch}`);
    const onKept = (owner: SiteId, id: PrimeId): void => this.#components.onKept(this, owner, id);
    return new SimDisk({ rng, onKept }, this.#diskInit);
  }
}
