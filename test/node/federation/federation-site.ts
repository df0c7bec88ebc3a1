/** A site's whole part in a federation, as it runs, on what a test gives it: from the first moment a member with the others. */
import type { Clock } from "#ledger/clock.ts";
import { Federation } from "#node/federation/federation.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import type { Doorkeeper, Transport } from "#node/federation/transport.ts";
import { keyOfPlace } from "#node/federation/sealed-statements.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { batchEntry } from "#protocol/batch.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { makeGenesis } from "#test/simulation/genesis.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { type SimIdentity, makeIdentity } from "#test/simulation/sim-identity.ts";
import { type MemoryStore, createMemoryStore } from "#test/support/memory-store.ts";
import { noise } from "#test/support/noise.ts";

export interface FederationSiteInit {
  readonly identity: SimIdentity;
  /** All members' first machines. */
  readonly members: readonly SimIdentity[];
  readonly clock: Clock;
  readonly makeTransport: (doorkeeper: Doorkeeper) => Promise<Transport>;
  readonly store?: MemoryStore;
}

export const membersOf = (count: number): SimIdentity[] =>
  Array.from({ length: count }, (_, at) => makeIdentity(`site ${at}`, 1));

/** The machine of the next epoch of the same site. */
export const nextMachineOf = (at: number): SimIdentity => makeIdentity(`site ${at}`, 2);

export class FederationSite {
  readonly identity: SimIdentity;
  readonly store: MemoryStore;
  readonly federation: Federation;
  readonly events: FederationEvent[];
  /** As `RegainedSnapshots`. */
  readonly regained: { isAny: boolean };
  readonly #stopping = new AbortController();

  private constructor(
    init: FederationSiteInit,
    { store, federation, events, regained }: Pick<FederationSite, "store" | "federation" | "events" | "regained">,
  ) {
    this.identity = init.identity;
    this.store = store;
    this.federation = federation;
    this.events = events;
    this.regained = regained;
  }

  static async open(init: FederationSiteInit): Promise<FederationSite> {
    const { identity, members, clock, makeTransport, store = createMemoryStore() } = init;
    const genesis = makeGenesis(new SeededRng("genesis"), members);
    const ledgerStore = new LedgerFacts({ store });
    if ((await ledgerStore.get(genesis[0]!.key)) === undefined) await ledgerStore.write(genesis);
    const events: FederationEvent[] = [];
    const regained = { isAny: false };
    const federation = await Federation.open(
      {
        ...{ store: roomy(store), clock, rng: new SeededRng(identity.peerKey), makeTransport },
        seal: async (plain) => Buffer.from(plain),
        records: {
          open: async (sealed) => sealed,
          take: async (place, value) =>
            place.kind === "state"
              ? undefined
              : store.appendFacts([{ kind: place.kind, key: keyOfPlace(place), value }]),
          settle: async () => [],
          isReturning: () => regained.isAny,
          fetchFirst: async () => undefined,
        },
        onEvent: (event) => void events.push(event),
      },
      {
        siteName: identity.siteId.slice(0, 8),
        ...{ epochCertificate: identity.log.bytes, peerSeed: identity.peerSeed },
        ...{ readKey: Buffer.alloc(32, 1), readGeneration: 1, identityState: Buffer.alloc(0) },
      },
    );
    return new FederationSite(init, { store, federation, events, regained });
  }

  start(): Promise<void> {
    return this.federation.start(this.#stopping.signal);
  }

  stop(): void {
    this.#stopping.abort(new Error("the site stops"));
  }

  /** Keeps so many primes as a snapshot's; their ids. */
  async backUp(name: string, count: number): Promise<PrimeId[]> {
    const { siteId } = this.identity;
    const primes = Array.from({ length: count }, (_, at) => {
      const stored = Buffer.alloc(100, noise(`${siteId} ${name} ${at}`, 32));
      return { id: primeIdOf(stored), stored };
    });
    await this.store.putFor(siteId, Buffer.concat(primes.flatMap(batchEntry)));
    this.snapshotsCount++;
    this.federation.parts.own.received(this.snapshotsCount);
    this.federation.parts.replication.soon();
    return primes.map(({ id }) => id).toSorted();
  }

  snapshotsCount = 0;
}

/** A store in memory says to have no room. */
const roomy = (store: MemoryStore): PrimeStore =>
  new Proxy<PrimeStore>(store, {
    get: (target, name: keyof PrimeStore) =>
      name === "stats" ? async () => ({ ...(await store.stats()), freeBytes: 1e12 }) : target[name],
  });
