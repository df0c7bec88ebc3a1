/** A site as it runs: its part in a federation, on simulated ports. Agents' sessions and trees are left out; what they keep is not. */
import { safeSnapshotsOf } from "#ledger/copies.ts";
import type { Ledger } from "#ledger/ledger.ts";
import { Federation } from "#node/federation/federation.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { allSlices } from "#node/replication/placement-keeper.ts";
import type { Replication } from "#node/replication/replication.ts";
import { type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { type OwnState, openReplication } from "./sim-replication.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

const COPIES_COUNT = 2;

export async function startFederationProgram(machine: Machine): Promise<SiteProgram> {
  const { store, clock, rng, identity, makeTransport, onFault } = machine;
  const federation = await Federation.open(
    {
      ...{ store, clock, rng },
      makeTransport: async (doorkeeper) => makeTransport(doorkeeper),
      // What is sealed would be sealed in another thread; what it holds is of no interest here.
      seal: async (plain) => Buffer.from(plain),
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
    },
  );
  const snapshotsCount = (await Array.fromAsync(store.facts("snapshot"))).length;
  const own: OwnState = { revision: 0, snapshotsCount };
  const replication = await openReplication(machine, federation, own);
  const program = new FederationProgram({ machine, federation, replication, own });
  await program.start();
  return program;
}

interface FederationProgramComponents {
  readonly machine: Machine;
  readonly federation: Federation;
  readonly replication: Replication;
  readonly own: OwnState;
}

class FederationProgram implements SiteProgram {
  readonly #machine: Machine;
  readonly #federation: Federation;
  readonly #stopping = new AbortController();

  readonly #replication: Replication;
  readonly #own: OwnState;

  constructor(components: FederationProgramComponents) {
    this.#machine = components.machine;
    this.#federation = components.federation;
    this.#replication = components.replication;
    this.#own = components.own;
  }

  get ledger(): Ledger {
    return this.#federation.parts.ledger;
  }

  async start(): Promise<void> {
    await this.#federation.start(this.#stopping.signal);
    this.#replication.start(this.#stopping.signal);
  }

  async commit({ id, agent, primes }: SimSnapshot): Promise<void> {
    const { store, identity } = this.#machine;
    await store.put(agent, primes);
    await store.keep(
      identity.siteId,
      primes.map((prime) => prime.id),
    );
    const key = `${agent}/${id}`;
    this.#own.revision++;
    // Numbered from 1 as they come.
    const value = Buffer.from(`${++this.#own.snapshotsCount}`);
    await store.appendFacts([
      { kind: "agent", key: agent, value: Buffer.from(agent) },
      { kind: "snapshot", key, value },
    ]);
    void this.#federation.siteChanged("snapshot", key);
  }

  async meet(certificate: Uint8Array): Promise<void> {
    await this.ledger.offer({ certificates: [certificate] });
    this.#federation.parts.transport.membershipChanged();
  }

  async safeSnapshots(): Promise<SnapshotId[]> {
    const safeCount = await this.#safeCount();
    if (safeCount === undefined) return [];
    const facts = await Array.fromAsync(this.#machine.store.facts("snapshot"));
    return facts
      .filter(({ value }) => Number(value.toString()) <= safeCount)
      .map(({ key }) => parseSnapshotId(key.slice(key.indexOf("/") + 1)));
  }

  async whyNotSettled(): Promise<string | undefined> {
    const { store } = this.#machine;
    const countOf = async (kind: string, prefix?: string): Promise<number> =>
      (await Array.fromAsync(store.facts(kind, prefix))).length;
    const untoldCount = (await countOf("snapshot")) - (await countOf("published", "snapshot/"));
    if (untoldCount > 0) return `has not told the ledger of ${untoldCount} snapshots`;
    const unsafeCount = this.#own.snapshotsCount - ((await this.#safeCount()) ?? Infinity);
    return unsafeCount > 0 ? `has ${unsafeCount} snapshots that are not safe` : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
    await this.#replication[Symbol.asyncDispose]();
  }

  /** The number up to which snapshots are safe; undefined while this site must sign nothing. */
  async #safeCount(): Promise<number | undefined> {
    if ((await this.#replication.suspicion()) !== undefined) return undefined;
    const { siteId } = this.#machine.identity;
    const { membership } = this.#federation.parts;
    const others = membership.sites().filter((site) => site !== siteId);
    const domainsCount = new Set(others.map((site) => membership.failureDomainOf(site))).size;
    const states = allSlices.map((slice) => this.#replication.placement.stateOf(siteId, slice));
    return safeSnapshotsOf(states, { copiesCount: COPIES_COUNT, domainsCount });
  }
}

const hasError = (event: FederationEvent): event is FederationEvent & { readonly error: unknown } => "error" in event;
