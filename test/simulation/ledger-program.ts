/** A site that only keeps a ledger: it writes an entry for each snapshot, tells the others, and asks them what is new. */

import { Ledger } from "#ledger/ledger.ts";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type LogId, type PeerKey, makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { Machine, SiteProgram } from "./site-program.ts";
import type { SimSnapshot } from "./workload.ts";

const protocol: Protocol = { name: "/costor/ledger/1", maxFrameBytes: 4 << 20, maxChannelsPerPeerCount: 4 };
const SYNC_EVERY_MS = 30 * 60 * 1000;
const MOST_ENTRIES_COUNT = 500;

export async function startLedgerProgram(machine: Machine): Promise<SiteProgram> {
  const { store, peers } = machine;
  const ledger = await Ledger.open({ store: new LedgerFacts({ store }), allows: () => true });
  const program = new LedgerProgram(machine, ledger);
  peers.serve(protocol, (channel) => program.answer(channel));
  peers.onConnected((peer) => void program.synchronise(peer));
  peers.onPublished((message) => void program.hear(message));
  peers.start();
  void program.synchroniseNowAndThen();
  return program;
}

class LedgerProgram implements SiteProgram {
  readonly ledger: Ledger;
  readonly #machine: Machine;
  readonly #stopping = new AbortController();
  readonly #asking = new Set<PeerKey>();

  constructor(machine: Machine, ledger: Ledger) {
    this.#machine = machine;
    this.ledger = ledger;
  }

  async commit({ agent, primes }: SimSnapshot): Promise<void> {
    const { store, identity, clock, rng, peers } = this.#machine;
    const nowMs = clock.now();
    await store.put(agent, primes);
    await store.keep(
      identity.siteId,
      primes.map(({ id }) => id),
    );
    const entry = await this.ledger.append(identity.log, identity.peerSeed, {
      id: parseEntryId(makeUuidV7(nowMs, (bytes) => bytes.set(rng.bytes(16)))),
      timeMs: nowMs,
      kind: "note",
      data: { count: primes.length },
    });
    peers.publish(encodeCbor({ certificate: identity.log.bytes, entry }));
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the site stops"));
  }

  async hear(message: Uint8Array): Promise<void> {
    try {
      const { certificate, entry } = decodeCbor(message) as { certificate: Uint8Array; entry: Uint8Array };
      await this.ledger.offer({ certificates: [certificate], entries: [entry] });
    } catch (error) {
      if (!isCostorError(error)) throw error;
    }
  }

  async synchroniseNowAndThen(): Promise<void> {
    const { clock, peers, rng } = this.#machine;
    try {
      for (;;) {
        await clock.sleep(SYNC_EVERY_MS * rng.between(0.5, 1.5), this.#stopping.signal);
        const connected = peers.connected();
        if (connected.length > 0) await this.synchronise(rng.pick(connected));
      }
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error;
    }
  }

  async synchronise(peer: PeerKey): Promise<void> {
    if (this.#asking.has(peer)) return;
    this.#asking.add(peer);
    try {
      const channel = await this.#machine.peers.open(peer, protocol, this.#stopping.signal);
      try {
        await this.#ask(channel);
      } finally {
        await channel.close();
      }
    } catch (error) {
      if (!isCostorError(error) && !this.#stopping.signal.aborted) throw error;
    } finally {
      this.#asking.delete(peer);
    }
  }

  async #ask(channel: Channel): Promise<void> {
    await channel.send(encodeCbor({ digest: this.ledger.digest() }));
    const summary = await this.#receive(channel);
    if (summary === undefined || summary["logs"] === undefined) return;
    const logs = summary["logs"] as unknown as {
      log: LogId;
      certificate: Uint8Array;
      known: CborValue;
      fork: Uint8Array[];
    }[];
    for (const { log, certificate, known, fork } of logs) {
      await this.ledger.offer({ certificates: [certificate], entries: fork });
      const theirs = SeqRanges.parse(known, limits.ledgerRangesCount);
      const mine = this.ledger.log(log)!.known;
      let wanted = theirs.without(mine);
      while (!wanted.isEmpty) {
        await channel.send(encodeCbor({ log, wanted: wanted.ranges as unknown as CborValue }));
        const answer = await this.#receive(channel);
        if (answer === undefined) return;
        await this.ledger.offer({ entries: answer["entries"] as unknown as Uint8Array[] });
        const rest = theirs.without(this.ledger.log(log)!.known);
        if (rest.count >= wanted.count) break;
        wanted = rest;
      }
    }
  }

  async answer(channel: Channel): Promise<void> {
    const compare = await this.#receive(channel);
    if (compare === undefined) return;
    if (compare["digest"] === this.ledger.digest()) return channel.send(encodeCbor({ equal: true }));
    const logs = this.ledger.logs().map(({ log, known, fork }) => ({
      ...{ log: log.id, certificate: log.bytes },
      ...{ known: known.ranges as unknown as CborValue, fork: [...(fork ?? [])] },
    }));
    await channel.send(encodeCbor({ logs }));
    for (;;) {
      const want = await this.#receive(channel);
      if (want === undefined) return;
      const entries: Uint8Array[] = [];
      for (const seq of SeqRanges.parse(want["wanted"], limits.ledgerRangesCount)) {
        const entry = await this.ledger.entry(want["log"] as LogId, seq);
        if (entry) entries.push(entry);
        if (entries.length === MOST_ENTRIES_COUNT) break;
      }
      await channel.send(encodeCbor({ entries }));
    }
  }

  async #receive(channel: Channel): Promise<CborMap | undefined> {
    const frame = await channel.receive(this.#stopping.signal);
    return frame && (decodeCbor(frame) as CborMap);
  }
}
