/** A site that only keeps a ledger: it states what it has after each snapshot, tells the others, and asks them what is new. */
import { createHash } from "node:crypto";
import { Ledger } from "#ledger/ledger.ts";
import { Membership } from "#ledger/membership.ts";
import { OwnLog } from "#ledger/own-log.ts";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { LedgerSync } from "#node/federation/ledger-sync.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

const STATE_EVERY_MS = 30 * 60 * 1000;
const SLICES_COUNT = 16;

export async function startLedgerProgram(machine: Machine): Promise<SiteProgram> {
  const { clock, rng, identity } = machine;
  const peers = machine.makeTransport();
  const store = new LedgerFacts({ store: machine.store });
  const membership = await Membership.open({ store }, { siteId: identity.siteId });
  const ledger = await Ledger.open({ store, speakers: membership });
  const ownLog = await OwnLog.open({ ledger, membership, store, clock, rng }, identity);
  const onEvent = (event: FederationEvent): void => {
    if ("error" in event) machine.onFault(event.error);
  };
  const sync = new LedgerSync({ ledger, membership, ownLog, peers, clock, rng, onEvent });
  const program = new LedgerProgram({ machine, ledger, ownLog, sync });
  await peers.start();
  program.start();
  return program;
}

interface LedgerProgramComponents {
  readonly machine: Machine;
  readonly ledger: Ledger;
  readonly ownLog: OwnLog;
  readonly sync: LedgerSync;
}

class LedgerProgram implements SiteProgram {
  readonly #components: LedgerProgramComponents;
  readonly #stopping = new AbortController();
  /** What has been backed up and not been stated yet. */
  #unstated: SimSnapshot[] = [];
  #isStating = false;

  constructor(components: LedgerProgramComponents) {
    this.#components = components;
  }

  readonly control = undefined;
  readonly signs = false;

  digest(): string {
    return this.ledger.digest();
  }

  get ledger(): Ledger {
    return this.#components.ledger;
  }

  async commit(snapshot: SimSnapshot): Promise<void> {
    const { store, identity } = this.#components.machine;
    await store.put(snapshot.agent, snapshot.primes);
    await store.keep(
      identity.siteId,
      snapshot.primes.map(({ id }) => id),
    );
    this.#unstated.push(snapshot);
    void this.#attempt(() => this.#state());
  }

  async expire(_: SimSnapshot, unreached: () => readonly PrimeId[]): Promise<void> {
    const { store, identity } = this.#components.machine;
    await store.release(identity.siteId, unreached());
  }

  async safeSnapshots(): Promise<[]> {
    return [];
  }

  async meet(certificate: Uint8Array): Promise<void> {
    await this.ledger.offer({ certificates: [certificate] });
  }

  async whyNotSettled(): Promise<string | undefined> {
    if (this.#components.ownLog.suspicion !== undefined) return undefined;
    return this.#unstated.length > 0 ? `has ${this.#unstated.length} snapshots to state` : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
  }

  start(): void {
    this.#components.sync.start(this.#stopping.signal);
    void this.#stateNowAndThen();
  }

  /** What could not be stated when it was new. */
  async #stateNowAndThen(): Promise<void> {
    await this.#attempt(async () => {
      for (;;) {
        await this.#components.machine.clock.sleep(STATE_EVERY_MS, this.#stopping.signal);
        await this.#attempt(() => this.#state());
      }
    });
  }

  async #state(): Promise<void> {
    const { ownLog, sync } = this.#components;
    if (this.#isStating || !ownLog.isReady || this.#unstated.length === 0) return;
    this.#isStating = true;
    try {
      for (let snapshot = this.#unstated[0]; snapshot; snapshot = this.#unstated[0]) {
        sync.spread(await ownLog.write(this.#liveSetOf(snapshot)));
        this.#unstated.shift();
      }
      for (const retire of await ownLog.withdrawIdle({ leastCount: SLICES_COUNT })) sync.spread(retire);
    } finally {
      this.#isStating = false;
    }
  }

  #liveSetOf({ primes }: SimSnapshot): Parameters<OwnLog["write"]>[0] {
    const { ledger, machine } = this.#components;
    const slice = machine.rng.below(SLICES_COUNT);
    const former = ledger.statement(machine.identity.siteId, "live-set", `${slice}`)?.statement;
    const digest = createHash("sha256");
    for (const { id } of primes) digest.update(id);
    return {
      ...{ kind: "live-set", slice, generation: (former?.generation ?? 0) + 1, count: primes.length },
      ...{ bytes: 0, hash: digest.digest("hex"), snapshots: 1 },
    } as Parameters<OwnLog["write"]>[0];
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const isExpected = isCostorError(error) && error.code !== "internal";
      if (!isExpected && !this.#stopping.signal.aborted) throw error;
    }
  }
}
