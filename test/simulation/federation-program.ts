/** A site as it runs: its part in a federation, on simulated ports. Agents' sessions and trees are left out; what they keep is not. */
import type { Ledger } from "#ledger/ledger.ts";
import { Federation } from "#node/federation/federation.ts";
import type { FederationControl } from "#node/federation/federation-control.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { keyOfPlace } from "#node/federation/sealed-statements.ts";
import { FederationService } from "#node/federation/federation-service.ts";
import type { SiteRecords } from "#node/federation/regained-facts.ts";
import { type PrimeId, type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { recoverByKit } from "./kit-recovery.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

/** Copies are sent at night, as most sites do it. The machine's own time zone would be chance. */
const SETTINGS = { window: { begins: "22:00", ends: "06:00" }, timeZone: "UTC" };

export async function startFederationProgram(machine: Machine): Promise<SiteProgram> {
  const { store, clock, rng, identity, makeTransport, onFault } = machine;
  await recoverByKit(machine);
  const newest = { number: 0 };
  let onRegained: (number: number) => void = () => {};
  const federation = await Federation.open(
    {
      ...{ store, clock, rng },
      makeTransport: async (doorkeeper) => makeTransport(doorkeeper),
      // What is sealed would be sealed in another thread; what it holds is of no interest here.
      seal: async (plain) => Buffer.from(plain),
      records: await recordsOn(machine, (number) => onRegained(number)),
      onEvent: (event) => {
        if (hasError(event)) onFault(event.error);
      },
    },
    {
      siteName: identity.siteId.slice(0, 8),
      epochCertificate: identity.log.bytes,
      peerSeed: identity.peerSeed,
      readKey: rng.bytes(32),
      readGeneration: 1,
      identityState: Buffer.alloc(0),
    },
  );
  const { settings } = federation.parts;
  if (settings.current.window === null) await settings.change({ ...SETTINGS, place: machine.place });
  const numbers = (await Array.fromAsync(store.facts("snapshot"))).map(({ value }) => numberOf(value));
  newest.number = Math.max(0, ...numbers);
  onRegained = (number) => {
    newest.number = Math.max(newest.number, number);
    federation.parts.own.received(newest.number);
  };
  onRegained(newest.number);
  const control = new FederationService(
    {
      ...{ federation, clock, rng },
      status: () => Promise.reject(new Error("nobody asks for its status")),
      requestedKit: {
        read: () => Promise.reject(new Error("nobody loses a kit")),
        remove: () => Promise.reject(new Error("nobody loses a kit")),
      },
    },
    { siteName: identity.siteId.slice(0, 8), peerSeed: identity.peerSeed },
  );
  const program = new FederationProgram({ machine, federation, control, newest });
  await program.start();
  return program;
}

/** Snapshots that came back from the ledger: those that nobody else had whole are given up. */
async function recordsOn({ store, identity }: Machine, onSnapshot: (number: number) => void): Promise<SiteRecords> {
  let isAny = (await Array.fromAsync(store.facts(REGAINED))).length > 0;
  return {
    open: async (sealed) => sealed,
    take: async (place, value) => {
      if (place.kind === "state") return;
      const [kind, key] = [place.kind, keyOfPlace(place)];
      isAny ||= kind === "snapshot";
      await store.appendFacts([{ kind, key, value }, ...(kind === "snapshot" ? [{ kind: REGAINED, key, value }] : [])]);
      if (kind === "snapshot") onSnapshot(numberOf(value));
    },
    // Trees, which would be looked through, are not simulated.
    isReturning: () => isAny,
    fetchFirst: async () => {},
    settle: async () => {
      for await (const { key, value } of store.facts(REGAINED)) {
        const isPartial = (await store.hasKept(identity.siteId, idsOf(value))).includes(false);
        await store.appendFacts([
          ...(isPartial
            ? [
                { kind: PARTIAL, key, value },
                { kind: "snapshot", key, value: undefined },
              ]
            : []),
          { kind: REGAINED, key, value: undefined },
        ]);
      }
      isAny = false;
      return (await Array.fromAsync(store.facts(PARTIAL))).map(({ key }) => key);
    },
  };
}

const REGAINED = "regained";
const PARTIAL = "partial-snapshot";
/** A snapshot's number, and the primes that it reaches. */
const factOf = (number: number, ids: readonly PrimeId[]): Buffer => Buffer.from([number, ...ids].join(" "));
const partsOf = (value: Uint8Array): string[] => Buffer.from(value).toString().split(" ");
const numberOf = (value: Uint8Array): number => Number(partsOf(value)[0]);
const idsOf = (value: Uint8Array): PrimeId[] => partsOf(value).slice(1) as PrimeId[];

interface FederationProgramComponents {
  readonly machine: Machine;
  readonly federation: Federation;
  readonly control: FederationControl;
  readonly newest: { number: number };
}

class FederationProgram implements SiteProgram {
  readonly #machine: Machine;
  readonly #federation: Federation;
  readonly #stopping = new AbortController();
  #signs = false;

  readonly control: FederationControl;
  /** The number of the newest snapshot: they grow, and none comes twice, whatever becomes of the disk. */
  readonly #newest: { number: number };

  constructor(components: FederationProgramComponents) {
    this.#machine = components.machine;
    this.#federation = components.federation;
    this.control = components.control;
    this.#newest = components.newest;
  }

  get ledger(): Ledger {
    return this.#federation.parts.ledger;
  }

  digest(): string {
    return `${this.ledger.digest()} ${this.#federation.parts.membership.roster?.hash}`;
  }

  get signs(): boolean {
    return this.#signs;
  }

  async start(): Promise<void> {
    await this.#federation.start(this.#stopping.signal);
  }

  async expire({ id, agent }: SimSnapshot, unreached: () => readonly PrimeId[]): Promise<void> {
    const { store, identity } = this.#machine;
    const key = `${agent}/${id}`;
    await this.#federation.parts.siteStatements.withdrawSnapshots([key]);
    await store.appendFacts([{ kind: "snapshot", key, value: undefined }]);
    await store.release(identity.siteId, unreached());
    this.#federation.parts.own.received(this.#newest.number);
    void this.#federation.siteChanged();
  }

  async commit({ id, agent, primes }: SimSnapshot): Promise<void> {
    const { store, identity } = this.#machine;
    await store.put(agent, primes);
    await store.keep(
      identity.siteId,
      primes.map((prime) => prime.id),
    );
    const key = `${agent}/${id}`;
    const number = (this.#newest.number = Math.max(this.#newest.number + 1, this.#machine.clock.elapsedMs()));
    const value = factOf(
      number,
      primes.map((prime) => prime.id),
    );
    await store.appendFacts([
      { kind: "agent", key: agent, value: Buffer.from(agent) },
      { kind: "snapshot", key, value },
    ]);
    this.#federation.parts.own.received(number);
    void this.#federation.siteChanged("snapshot", key);
  }

  /** It says hello by itself. */
  async meet(): Promise<void> {}

  async safeSnapshots(): Promise<SnapshotId[]> {
    const safeNumber = (await this.#safeNumber()) ?? 0;
    const facts = await Array.fromAsync(this.#machine.store.facts("snapshot"));
    return facts
      .filter(({ value }) => numberOf(value) <= safeNumber)
      .map(({ key }) => parseSnapshotId(key.slice(key.indexOf("/") + 1)));
  }

  async whyNotSettled(): Promise<string | undefined> {
    const { store } = this.#machine;
    const countOf = async (kind: string, prefix?: string): Promise<number> =>
      (await Array.fromAsync(store.facts(kind, prefix))).length;
    const { membership, ownLog } = this.#federation.parts;
    if (membership.roster === undefined) return "is in no federation";
    // From here on it is for people to say which machine is the site.
    if (ownLog.suspicion !== undefined) {
      this.#signs = false;
      return undefined;
    }
    const untoldCount = (await countOf("snapshot")) - (await countOf("published", "snapshot/"));
    if (untoldCount > 0) return `has not told the ledger of ${untoldCount} snapshots`;
    const safeNumber = (await this.#safeNumber()) ?? Infinity;
    // What nobody has any more: backups that need it are never safe, and people can remove them.
    const own = (await store.keptTotals()).find(({ site }) => site === this.#machine.identity.siteId);
    if (own !== undefined && own.lostCount > 0) return undefined;
    const facts = await Array.fromAsync(store.facts("snapshot"));
    const unsafeCount = facts.filter(({ value }) => numberOf(value) > safeNumber).length;
    return unsafeCount > 0 ? `has ${unsafeCount} snapshots that are not safe` : undefined;
  }

  /** Undefined while it must sign nothing. */
  async #safeNumber(): Promise<number | undefined> {
    const { replication, copies } = this.#federation.parts;
    this.#signs = replication.suspicion() === undefined;
    return this.#signs ? copies.safeReceivedMs() : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
  }
}

const hasError = (event: FederationEvent): event is FederationEvent & { readonly error: unknown } => "error" in event;
