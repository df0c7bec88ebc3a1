/** Sites that replicate over a network in memory: real ledgers, messages and decisions; stores in memory unless a test brings others. */
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import type { Clock } from "#ledger/clock.ts";
import { Ledger } from "#ledger/ledger.ts";
import type { LedgerStore } from "#ledger/ledger-store.ts";
import type { Channel } from "#ledger/peers.ts";
import { SLICES_COUNT } from "#ledger/slice.ts";
import { type Statement, entryOf, subjectOf } from "#ledger/statements.ts";
import { serveAudits } from "#node/replication/audit-service.ts";
import { Auditor } from "#node/replication/auditor.ts";
import { HeldClock } from "#node/replication/held-clock.ts";
import { HolderQuota } from "#node/replication/holder-quota.ts";
import { HolderService } from "#node/replication/holder-service.ts";
import type { OwnPrimes } from "#node/replication/live-sets.ts";
import { sayLost } from "#node/replication/losses.ts";
import { Omissions } from "#node/replication/omissions.ts";
import { OwnerRun, type OwnerRunInit, type SliceToSend } from "#node/replication/owner-run.ts";
import { limits } from "#protocol/limits.ts";
import { KeepingRoom } from "#node/replication/keeping-room.ts";
import { OwnerTurns } from "#node/replication/owner-turns.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { KeptPrimes, OwnEntries, Sites } from "#node/replication/replication-ports.ts";
import { servePrimes } from "#node/replication/primes-service.ts";

import type { PrimeStore } from "#node/store/prime-store.ts";
import { batchEntry } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import { type PeerKey, type PrimeId, type SiteId, makeUuidV7, parseEntryId, parsePeerKey } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { SimNetwork } from "#test/simulation/sim-network.ts";
import type { SimPeers } from "#test/simulation/sim-peers.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { type MemoryStore, createMemoryStore } from "#test/support/memory-store.ts";
import { noise } from "#test/support/noise.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { keptPrimesOf } from "./kept-primes.ts";
import { TestClock, neverLate } from "./test-clock.ts";

export type Role = "member" | "guest" | "none";

/** Several sites, and what each of them knows of all. */
export class ReplicatingFederation {
  readonly network = new SimNetwork();
  readonly sites: ReplicatingSite[] = [];

  async add(name: string, init: SiteInit = {}): Promise<ReplicatingSite> {
    const site = await ReplicatingSite.open(this, name, init);
    this.sites.push(site);
    await this.spread();
    return site;
  }

  /** Everybody gets what anybody has. */
  async spread(): Promise<void> {
    for (const from of this.sites)
      for (const to of this.sites) {
        if (from === to) continue;
        const entries: Uint8Array[] = [];
        for (const { log } of from.ledger.logs())
          for (const seq of from.ledger.log(log.id)!.seqs())
            if (to.ledger.log(log.id)?.known.has(seq) !== true) entries.push((await from.ledger.entry(log.id, seq))!);
        await to.ledger.offer({ certificates: from.ledger.logs().map(({ log }) => log.bytes), entries });
      }
  }
}

interface SiteInit {
  readonly role?: Role;
  readonly store?: PrimeStore;
  readonly ledgerStore?: LedgerStore;
  readonly offeredBytes?: number;
  readonly ownerBytes?: number;
  /** False leaves what it serves to the test. */
  readonly serves?: boolean;
}

export class ReplicatingSite {
  readonly federation: ReplicatingFederation;
  author: LedgerAuthor;
  readonly name: string;
  readonly clock = new TestClock();
  readonly store: MemoryStore;
  readonly ledger: Ledger;
  readonly heldClock: HeldClock;
  readonly omissions: Omissions;
  readonly kept: KeptPrimes;
  readonly ownerTurns = new OwnerTurns();
  readonly keepingRoom = new KeepingRoom({ bytes: limits.replicateKeepingBytes });
  readonly quota: HolderQuota;
  readonly peers: SimPeers;
  readonly service: HolderService | undefined;
  readonly rng = new SeededRng("audits");
  role: Role;
  offeredBytes: number;
  /** Backups so far. */
  snapshotsCount = 0;
  hasWriteFailure = false;
  /** How long it has heard nothing of any owner, as it counts it. */
  silentMs = Infinity;
  #generation = 0;
  #revision = 0;

  private constructor(federation: ReplicatingFederation, name: string, init: SiteInit, opened: Opened) {
    this.federation = federation;
    this.name = name;
    this.role = init.role ?? "member";
    this.offeredBytes = init.offeredBytes ?? 1e12;
    this.author = opened.author;
    this.store = opened.store as MemoryStore;
    this.ledger = opened.ledger;
    this.heldClock = opened.heldClock;
    this.omissions = new Omissions({ store: this.store, heldClock: { note: () => this.heldClock.note() } });
    this.kept = keptPrimesOf(this.store);
    const { siteId: self, ledger, store } = this;
    this.quota = new HolderQuota({
      self,
      ledger,
      store: {
        keptTotals: () => store.keptTotals(),
        keptSlices: (site) => store.keptSlices(site),
        stats: roomyStats(store),
      },
      holdingLimits: async () => ({ offeredBytes: this.offeredBytes, ownerBytes: init.ownerBytes ?? Infinity }),
    });
    this.peers = federation.network.join(this.peerKey);
    if (init.serves !== false) {
      this.service = new HolderService({ ...this.holderComponents(), peers: this.peers, sites: this.view });
      this.service.start(new AbortController().signal);
      const served = { self, clock: this.clock, ledger, store, peers: this.peers, sites: this.view };
      servePrimes(served);
      const { kept, ownerTurns, entries } = this;
      const losing = { ...served, kept, ownerTurns, entries };
      serveAudits({ ...served, sayLost: (owner, slice) => sayLost(losing, owner, slice) });
      this.peers.start();
    }
  }

  static async open(federation: ReplicatingFederation, name: string, init: SiteInit): Promise<ReplicatingSite> {
    const author = new LedgerAuthor(name);
    const store = init.store ?? createMemoryStore();
    const speakers = { follow: () => undefined, lastAllowedSeq: () => Infinity, agreedLinks: () => [] };
    const ledger = await Ledger.open({ store: init.ledgerStore ?? new MemoryLedgerStore(), speakers });
    await ledger.offer({ certificates: [author.log.bytes] });
    const site = new ReplicatingSite(federation, name, init, {
      author,
      store,
      ledger,
      heldClock: await HeldClock.open({ store, clock: new TestClock() }),
    });
    (site as { heldClock: HeldClock }).heldClock = await HeldClock.open({ store, clock: site.clock });
    return site;
  }

  get siteId(): SiteId {
    return this.author.siteId;
  }

  get peerKey(): PeerKey {
    return parsePeerKey(Buffer.from(this.author.log.certificate.peerPublicKey).toString("hex"));
  }

  holderComponents() {
    const { siteId: self, ledger, kept, quota, omissions, ownerTurns, keepingRoom, entries, clock } = this;
    const silence = { of: () => this.silentMs };
    return { self, ledger, kept, quota, omissions, ownerTurns, keepingRoom, entries, silence, clock };
  }

  /** As its membership would say it. */
  readonly view: Sites = {
    sites: () => this.#listed().map(({ siteId }) => siteId),
    roleOf: (siteId) => {
      const site = this.#listed().find((other) => other.siteId === siteId);
      if (site === undefined) return { role: "none" };
      return site.role === "guest" ? { role: "guest", inviter: this.siteId } : { role: "member", inviter: null };
    },
    siteOfPeer: (peer) => this.#listed().find((site) => this.#currentPeer(site.siteId) === peer)?.siteId,
    peerOf: (siteId) => this.#currentPeer(siteId),
    failureDomainOf: (siteId) => siteId,
  };

  readonly entries: OwnEntries = {
    write: (statement) => this.say(statement),
    writeAll: (statements) => this.say(...statements),
    withdrawIdle: async ({ also = [] } = {}) => {
      const written: Uint8Array[] = [];
      const idle = [...this.ledger.superseded(this.siteId), ...also];
      for (const logId of new Set(idle.map((place) => place.logId))) {
        const ranges = this.ledger.log(logId)!.withdrawn.copy();
        for (const place of idle) if (place.logId === logId) ranges.add(place.seq);
        written.push(await this.say({ kind: "retire", logId, ranges }));
      }
      return written;
    },
  };

  async say(...statements: Statement[]): Promise<Uint8Array> {
    if (this.hasWriteFailure) throw new CostorError("ledger-refused", "for a test");
    const timeMs = this.clock.now();
    const id = parseEntryId(makeUuidV7(timeMs));
    return this.ledger.append(this.author.log, this.author.seed, { id, timeMs, ...entryOf(statements) });
  }

  /** Backs up so many primes; their ids. */
  async backUp(seed: string, count: number, lengthBytes = 100): Promise<PrimeId[]> {
    const primes = Array.from({ length: count }, (_, at) => {
      const stored = Buffer.alloc(lengthBytes, noise(`${this.name} ${seed} ${at}`, 32));
      return { id: primeIdOf(stored), stored };
    });
    for (let at = 0; at < primes.length; at += 500)
      await this.store.putFor(this.siteId, Buffer.concat(primes.slice(at, at + 500).flatMap(batchEntry)));
    this.snapshotsCount++;
    this.#revision++;
    return primes.map(({ id }) => id).toSorted();
  }

  /** Forgets primes of its own, as retention does. */
  async expire(ids: readonly PrimeId[]): Promise<void> {
    await this.store.release(this.siteId, ids);
    this.#revision++;
  }

  /** What each of its primes is said to take. */
  primeBytes = 100;

  readonly own: OwnPrimes = {
    slice: async (slice) => {
      const ids = (await Array.fromAsync(this.store.kept(this.siteId, slice.toString(16)))).flat();
      return { ids, bytes: this.primeBytes * ids.length };
    },
    revision: () => this.#revision,
    snapshotsCount: () => this.snapshotsCount,
  };

  /** Its store, which says to have room. */
  get roomyStore(): PrimeStore {
    return new Proxy<PrimeStore>(this.store, {
      get: (target, name: keyof PrimeStore) => (name === "stats" ? roomyStats(target) : target[name]),
    });
  }

  /** Its own clock, but that nothing is late by it. */
  get patientClock(): Clock {
    return { ...neverLate, now: () => this.clock.now(), elapsedMs: () => this.clock.elapsedMs() };
  }

  async sayProfile(): Promise<void> {
    const [addresses, readKey] = [["/ip4/192.0.2.1/tcp/4001"], Buffer.alloc(32, 1)];
    const { name, offeredBytes } = this;
    const profile = { name, addresses, domain: "", offeredBytes, keptBytes: 0, readKey, readGeneration: 1 };
    await this.say({ kind: "profile", ...profile });
  }

  /** Names holders for all slices, and signs what there is; what a run is to send to `holder`. */
  async slicesFor(holders: readonly ReplicatingSite[], slices = allSlices): Promise<SliceToSend[]> {
    const generation = ++this.#generation;
    const toSend: SliceToSend[] = [];
    for (const slice of slices) {
      const holderIds = holders.map(({ siteId }) => siteId).toSorted();
      const namingEntry = await this.say({ kind: "placement", slice, holders: holderIds });
      toSend.push(await this.signed(slice, generation, namingEntry));
    }
    return toSend;
  }

  /** As {@link slicesFor}, by what is kept and not by what can be read. */
  async slicesFromKept(holders: readonly ReplicatingSite[]): Promise<SliceToSend[]> {
    const store: PrimeStore = this.store;
    const getMany = store.getMany.bind(store);
    store.getMany = async (ids) => ids.map(() => Buffer.alloc(100));
    try {
      return await this.slicesFor(holders);
    } finally {
      store.getMany = getMany;
    }
  }

  /** Starts the site's current machine on the net: another one than before. */
  moveTo(network: SimNetwork): void {
    this.peers.stop();
    (this as { peers: SimPeers }).peers = network.join(this.peerKey);
    this.peers.start();
  }

  async signed(slice: number, generation: number, namingEntry: Uint8Array): Promise<SliceToSend> {
    const ids = (await Array.fromAsync(this.store.kept(this.siteId, slice.toString(16)))).flat();
    const hash = hashOfSet(ids);
    const stored = await this.store.getMany(ids);
    const bytes = stored.reduce((sum, { length }) => sum + length, 0);
    const set = { slice, generation, count: ids.length, bytes, hash, snapshots: generation };
    const entry = await this.say({ kind: "live-set", ...set });
    return { slice, ids, bytes, hash, generation, snapshots: generation, entry, namingEntry };
  }

  /** One run with a holder. */
  async replicate(holder: ReplicatingSite, slices: readonly SliceToSend[], init: Partial<OwnerRunInit> = {}) {
    const channel = await this.peers.open(holder.peerKey, replicateProtocol);
    return this.runOver(channel, holder.siteId, slices, init);
  }

  runOver(channel: Channel, holder: SiteId, slices: readonly SliceToSend[], init: Partial<OwnerRunInit> = {}) {
    const { ledger, store } = this;
    const limit = new BandwidthLimit({ clock: this.clock }, { bytesPerSecond: () => undefined });
    const components = { clock: neverLate, channel, ledger, store, limit, rng: new SeededRng(this.name) };
    return new OwnerRun(components, { owner: this.siteId, holder, ...init }).run(slices);
  }

  /** One audit of a holder's copy of these. */
  audit(holder: ReplicatingSite, owner: SiteId, lists: readonly (readonly PrimeId[])[], clock: Clock = neverLate) {
    const { ledger, store, entries, siteId: self, view: sites, peers } = this;
    const auditor = new Auditor({ ledger, store, entries, self, sites, peers, clock, rng: this.rng });
    const parts = lists.map((ids) => ({ count: ids.length, ids: async () => ids }));
    return auditor.audit(holder.siteId, owner, parts);
  }

  /** What it keeps for an owner, ascending. */
  async keptFor(owner: SiteId): Promise<PrimeId[]> {
    return (await Promise.all(allSlices.map((slice) => this.kept.slice(owner, slice)))).flat();
  }

  receiptFor(owner: SiteId, slice: number) {
    return this.ledger.statement(this.siteId, "receipt", subjectOf({ kind: "receipt", owner, slice } as never));
  }

  #listed(): ReplicatingSite[] {
    return this.federation.sites.filter(({ role }) => role !== "none");
  }

  #currentPeer(siteId: SiteId): PeerKey | undefined {
    const log = this.ledger.currentLog(siteId)?.log;
    return log && parsePeerKey(Buffer.from(log.certificate.peerPublicKey).toString("hex"));
  }
}

interface Opened {
  readonly author: LedgerAuthor;
  readonly store: PrimeStore;
  readonly ledger: Ledger;
  readonly heldClock: HeldClock;
}

const allSlices: readonly number[] = Array.from({ length: SLICES_COUNT }, (_, slice) => slice);

/** A store in memory says to have no room. */
const roomyStats = (store: PrimeStore) => async () => ({ ...(await store.stats()), freeBytes: 1e15 });
