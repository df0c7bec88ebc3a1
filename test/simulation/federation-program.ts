/** A site as it runs: its part in a federation, on simulated ports. Agents' sessions and trees are left out; what they keep is not. */
import type { Ledger } from "#ledger/ledger.ts";
import { Federation } from "#node/federation/federation.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

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
  const program = new FederationProgram({ machine, federation });
  await program.start();
  return program;
}

class FederationProgram implements SiteProgram {
  readonly #machine: Machine;
  readonly #federation: Federation;
  readonly #stopping = new AbortController();

  constructor(components: { machine: Machine; federation: Federation }) {
    this.#machine = components.machine;
    this.#federation = components.federation;
  }

  get ledger(): Ledger {
    return this.#federation.parts.ledger;
  }

  start(): Promise<void> {
    return this.#federation.start(this.#stopping.signal);
  }

  async commit({ id, agent, primes }: SimSnapshot): Promise<void> {
    const { store, identity, clock } = this.#machine;
    await store.put(agent, primes);
    await store.keep(
      identity.siteId,
      primes.map((prime) => prime.id),
    );
    const key = `${agent}/${id}`;
    const value = Buffer.from(`${clock.now()}`);
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

  async whyNotSettled(): Promise<string | undefined> {
    const { store } = this.#machine;
    const countOf = async (kind: string, prefix?: string): Promise<number> =>
      (await Array.fromAsync(store.facts(kind, prefix))).length;
    const untoldCount = (await countOf("snapshot")) - (await countOf("published", "snapshot/"));
    return untoldCount > 0 ? `has not told the ledger of ${untoldCount} snapshots` : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
  }
}

const hasError = (event: FederationEvent): event is FederationEvent & { readonly error: unknown } => "error" in event;
