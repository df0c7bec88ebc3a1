/**
 * Tries at a holder what it must not do without this site's own signed list: to leave out what is live. Then the holder has to prove that
 * it has all of it still, and has noted none of it as left out. docs/specs/replication.md, Tamper drills
 */
import type { Clock } from "#ledger/clock.ts";
import { Deadline } from "#ledger/deadline.ts";
import { parseEntry, signEntry } from "#ledger/entry.ts";
import type { Peers } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { entryOf, type StatementOf } from "#ledger/statements.ts";
import { allSlices } from "#node/replication/all-slices.ts";
import type { Auditor } from "#node/replication/auditor.ts";
import { isPeersFault } from "#node/replication/fetch-own.ts";
import { HolderChannel, expectAnswer } from "#node/replication/holder-channel.ts";
import type { OwnPrimes } from "#node/replication/live-sets.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { idsToBytes, replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { LedgerReader, Sites } from "#node/replication/replication-ports.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey, PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { ForbiddenCalls } from "./forbidden-calls.ts";

export interface HolderTamperingComponents {
  readonly self: SiteId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly peers: Pick<Peers, "open" | "connected">;
  readonly sites: Pick<Sites, "sites" | "peerOf">;
  readonly ledger: Pick<LedgerReader, "statement" | "entry" | "currentLog">;
  readonly own: Pick<OwnPrimes, "slice">;
  readonly auditor: Pick<Auditor, "audit">;
}

/** What is to be left out, though it is live. */
interface Target {
  readonly holder: SiteId;
  readonly peer: PeerKey;
  readonly slice: number;
  readonly ids: readonly PrimeId[];
  /** The live set that the holder has given its receipt for. */
  readonly signed: Uint8Array;
}

const SEED_BYTES = 32;
const HOLDER_MS = 5 * 60_000;

export class HolderTampering {
  readonly #components: HolderTamperingComponents;

  constructor(components: HolderTamperingComponents) {
    this.#components = components;
  }

  /**
   * At one holder that is connected and has a slice whole, drawn by chance; at the next one when that one does not answer. Throws
   * `peer-unreachable` when nothing could be tried at any: then nothing is proven.
   */
  async tamper(calls: ForbiddenCalls, signal: AbortSignal): Promise<void> {
    const faults: string[] = [];
    for await (const target of this.#targets()) {
      try {
        await this.#tamperAt(target, calls, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!isPeersFault(error)) throw error;
        faults.push(`${target.holder.slice(0, 16)}: ${(error as Error).message}`);
      }
    }
    throw new CostorError(
      "peer-unreachable",
      `nothing could be tried at another site: ${faults.join("; ") || "none that has copies is connected"}`,
    );
  }

  /** Of each holder one slice. */
  async *#targets(): AsyncGenerator<Target> {
    const { peers, sites, rng } = this.#components;
    const connected = new Set(peers.connected());
    const drawn = sites.sites().flatMap((holder) => {
      const peer = sites.peerOf(holder);
      return peer === undefined || !connected.has(peer) ? [] : [{ holder, peer, rank: rng.fraction() }];
    });
    for (const { holder, peer } of drawn.toSorted((one, other) => one.rank - other.rank)) {
      const target = await this.#targetAt(holder, peer);
      if (target !== undefined) yield target;
    }
  }

  async #targetAt(holder: SiteId, peer: PeerKey): Promise<Target | undefined> {
    const { self, ledger, own } = this.#components;
    for (const slice of allSlices) {
      const live = ledger.statement(self, "live-set", `${slice}`);
      const receipt = ledger.statement(holder, "receipt", `${self}/${slice}`)?.statement;
      if (live === undefined || live.logId !== ledger.currentLog(self)?.log.id) continue;
      if (receipt?.hash !== live.statement.hash || live.statement.count === 0) continue;
      const { ids } = await own.slice(slice);
      const signed = await ledger.entry(live.logId, live.seq);
      // What was backed up since is not there yet.
      if (signed === undefined || hashOfSet(ids) !== live.statement.hash) continue;
      return { holder, peer, slice, ids: ids.slice(0, limits.auditPrimesCount), signed };
    }
    return undefined;
  }

  async #tamperAt(target: Target, calls: ForbiddenCalls, signal: AbortSignal): Promise<void> {
    const at = `at site ${target.holder.slice(0, 16)}`;
    const extras = idsToBytes(target.ids);
    const { slice } = target;
    const { clock, auditor, self } = this.#components;
    using deadline = new Deadline({ clock }, { afterMs: HOLDER_MS, signal, reason: tooSlow });
    const finish = async (entry: Uint8Array): Promise<string | undefined> =>
      this.#opened(target, deadline.signal, async (channel) => {
        const answer = await channel.ask({ kind: "finish", entry, extras });
        if (answer.kind === "refused") return answer.code;
        return answer.kind === "received" ? undefined : answer.kind;
      });
    const kept = await finish(target.signed);
    calls.note(`leave out live data under the list that has it, ${at}`, kept, ["differs"]);
    // The holder ends the run, and its refusal may be lost by that; what follows shows that it has noted nothing.
    const forged = await finish(await this.#forge(target)).catch((error: unknown) => {
      if (!isCostorError(error, "peer-unreachable") || deadline.signal.aborted) throw error;
      return error.code;
    });
    const due = ["signature-invalid", "peer-unreachable"];
    calls.note(`leave out live data by a list that this site has not signed, ${at}`, forged, due);
    const omitted = await this.#opened(target, deadline.signal, async (channel) => {
      return new Set(expectAnswer(await channel.ask({ kind: "omitted" }), "omitted").ids);
    });
    const notedCount = target.ids.filter((id) => omitted.has(id)).length;
    if (notedCount > 0) calls.failed(`what is live ${at}`, `${notedCount} primes of it are noted as left out`);
    const parts = [{ count: target.ids.length, ids: async () => target.ids }];
    const counts = await auditor.audit(target.holder, self, parts, deadline.signal);
    const unprovenCount = counts === undefined ? target.ids.length : counts.askedCount - counts.rightCount;
    if (unprovenCount > 0)
      calls.failed(
        `what is live ${at}`,
        `${unprovenCount} of ${target.ids.length} primes are not proven (slice ${slice})`,
      );
  }

  /** With the slice open, as its owner may look at it. */
  async #opened<T>(
    { peer, slice }: Target,
    signal: AbortSignal,
    work: (channel: HolderChannel) => Promise<T>,
  ): Promise<T> {
    const { self, peers, clock, rng } = this.#components;
    const channel = await peers.open(peer, replicateProtocol, signal);
    try {
      using holder = new HolderChannel({ channel, clock, rng }, { signal });
      const owner = Buffer.from(self, "hex");
      expectAnswer(await holder.ask({ kind: "reserve", owner, slice, bytes: 0 }), "granted");
      const done = await work(holder);
      await channel.close();
      return done;
    } finally {
      channel.abort();
    }
  }

  /** The next live set, without what is live, by somebody who has not this machine's key. */
  async #forge({ slice, ids, signed }: Target): Promise<Uint8Array> {
    const { self, ledger, own, rng, clock } = this.#components;
    const { id, logId, seq } = parseEntry(signed);
    const { statement: live } = ledger.statement(self, "live-set", `${slice}`)!;
    const left = (await own.slice(slice)).ids.slice(ids.length);
    const statement: StatementOf<"live-set"> = {
      ...live,
      ...{ generation: live.generation + 1, count: left.length, hash: hashOfSet(left) },
    };
    return signEntry({ id, logId, seq: seq + 1, timeMs: clock.now(), ...entryOf([statement]) }, rng.bytes(SEED_BYTES));
  }
}

const tooSlow = (): Error => new CostorError("peer-unreachable", "the holder took too long");
