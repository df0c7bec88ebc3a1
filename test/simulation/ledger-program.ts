/** A site that only keeps a ledger: it states what it has after each snapshot, tells the others, and asks them what is new. */
import { createHash } from "node:crypto";
import { admitGossip, gossipMessage } from "#ledger/gossip.ts";
import { Ledger } from "#ledger/ledger.ts";
import type { Peers } from "#ledger/peers.ts";
import { Membership } from "#ledger/membership.ts";
import { OwnLog } from "#ledger/own-log.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import { answerSync, ledgerProtocol } from "#ledger/sync.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

const SYNC_EVERY_MS = 30 * 60 * 1000;
/** A peer may take the question and never answer. */
const MOST_SYNC_MS = 10 * 60 * 1000;
const SLICES_COUNT = 16;

export async function startLedgerProgram(machine: Machine): Promise<SiteProgram> {
  const { clock, rng, identity } = machine;
  const peers = machine.makeTransport();
  const store = new LedgerFacts({ store: machine.store });
  const membership = await Membership.open({ store }, { siteId: identity.siteId });
  const ledger = await Ledger.open({ store, speakers: membership });
  const ownLog = await OwnLog.open({ ledger, membership, store, clock, rng }, identity);
  const program = new LedgerProgram({ machine, peers, membership, ledger, ownLog });
  peers.serve(ledgerProtocol, (channel) => answerSync(channel, { ledger, membership }));
  peers.onConnected((peer) => void program.synchronise(peer));
  peers.onPublished((message) => void program.hear(message));
  await peers.start();
  void program.synchroniseNowAndThen();
  return program;
}

interface LedgerProgramComponents {
  readonly machine: Machine;
  readonly peers: Peers;
  readonly membership: Membership;
  readonly ledger: Ledger;
  readonly ownLog: OwnLog;
}

class LedgerProgram implements SiteProgram {
  readonly #components: LedgerProgramComponents;
  readonly #stopping = new AbortController();
  readonly #asking = new Set<PeerKey>();
  /** What has been backed up and not been stated yet. */
  #unstated: SimSnapshot[] = [];
  #isStating = false;

  constructor(components: LedgerProgramComponents) {
    this.#components = components;
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

  async safeSnapshots(): Promise<[]> {
    return [];
  }

  async meet(certificate: Uint8Array): Promise<void> {
    await this.ledger.offer({ certificates: [certificate] });
  }

  async whyNotSettled(): Promise<string | undefined> {
    return this.#unstated.length > 0 ? `has ${this.#unstated.length} snapshots to state` : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
  }

  hear(message: Uint8Array): Promise<void> {
    return this.#attempt(async () => {
      const { ledger, machine, peers } = this.#components;
      const { syncSoon } = await admitGossip(ledger, message);
      const connected = peers.connected();
      if (syncSoon && connected.length > 0) await this.synchronise(machine.rng.pick(connected));
    });
  }

  synchroniseNowAndThen(): Promise<void> {
    return this.#attempt(async () => {
      const { machine, peers } = this.#components;
      const { clock, rng } = machine;
      for (;;) {
        await clock.sleep(SYNC_EVERY_MS * rng.between(0.5, 1.5), this.#stopping.signal);
        const connected = peers.connected();
        if (connected.length > 0) await this.synchronise(rng.pick(connected));
        await this.#attempt(() => this.#state());
      }
    });
  }

  async synchronise(peer: PeerKey): Promise<void> {
    if (this.#asking.has(peer)) return;
    this.#asking.add(peer);
    await this.#attempt(async () => {
      const { peers, machine, ownLog } = this.#components;
      const round = new AbortController();
      const ending = AbortSignal.any([this.#stopping.signal, round.signal]);
      machine.clock.sleep(MOST_SYNC_MS, ending).then(
        () => round.abort(new CostorError("peer-unreachable", "the peer does not come to an end")),
        () => undefined,
      );
      try {
        await pullFrom(await peers.open(peer, ledgerProtocol, ending), this.#components, ending);
        ownLog.askedPeers(1);
      } finally {
        round.abort();
      }
    });
    this.#asking.delete(peer);
  }

  async #state(): Promise<void> {
    const { ownLog } = this.#components;
    if (this.#isStating || !ownLog.isReady || this.#unstated.length === 0) return;
    this.#isStating = true;
    try {
      for (let snapshot = this.#unstated[0]; snapshot; snapshot = this.#unstated[0]) {
        this.#spread(await ownLog.write(this.#liveSetOf(snapshot)));
        this.#unstated.shift();
      }
      for (const retire of await ownLog.withdrawIdle({ leastCount: SLICES_COUNT })) this.#spread(retire);
    } finally {
      this.#isStating = false;
    }
  }

  #spread(entry: Uint8Array): void {
    const { peers, machine } = this.#components;
    peers.publish(gossipMessage(entry, machine.identity.log.bytes));
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
