/**
 * The side that asks: it takes over what the other has and this replica has not. Rosters first, since they say who may speak;
 * then log by log, retires before the entries that they let stand.
 */
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { LogId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { openLog, parseEntry } from "./entry.ts";
import type { Channel } from "./peers.ts";
import { parseRoster } from "./roster.ts";
import { SeqRanges } from "./seq-ranges.ts";
import {
  type Comparison,
  type LogDigest,
  type LogKnowledge,
  type PageItem,
  type PageName,
  type SyncRequest,
  encodeSyncRequest,
  parseCheck,
  parseComparison,
} from "./sync-messages.ts";
import { askForPages, receiveAnswer } from "./sync-pages.ts";
import type { SyncComponents } from "./sync.ts";

export interface PullReport {
  /** Whether both had the same before. */
  readonly same: boolean;
  readonly rosterChanged: boolean;
  readonly admittedCount: number;
  /** New proofs of forks. */
  readonly forksCount: number;
}

/** The codes of what a peer must not send; others are of this site. */
const CODES_OF_PEERS = ["bad-encoding", "bad-id", "limit-exceeded", "signature-invalid", "roster-invalid"] as const;

/**
 * Takes over what the peer has. What came before a failure is kept. Throws `peer-misbehaved` (and ends the channel),
 * `peer-unreachable`, the signal's reason, and what the ledger's store throws.
 */
export async function pullFrom(
  channel: Channel,
  components: SyncComponents,
  signal?: AbortSignal,
): Promise<PullReport> {
  const onAbort = (): void => channel.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    return await new Pull(channel, components).run();
  } catch (error) {
    channel.abort();
    signal?.throwIfAborted();
    if (!CODES_OF_PEERS.some((code) => isCostorError(error, code))) throw error;
    throw new CostorError("peer-misbehaved", `peer ${channel.peer} sends what cannot be`, { cause: error });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

class Pull {
  readonly #channel: Channel;
  readonly #components: SyncComponents;
  #admittedCount = 0;
  #forksCount = 0;

  constructor(channel: Channel, components: SyncComponents) {
    this.#channel = channel;
    this.#components = components;
  }

  async run(): Promise<PullReport> {
    const { ledger, membership } = this.#components;
    const roster = membership.roster?.hash ?? null;
    const comparison = parseComparison(await this.#ask({ ask: "compare", digest: ledger.digest(), roster }));
    const { same } = comparison;
    let rosterChanged = false;
    if (!same) {
      rosterChanged = await this.#pullRosters(comparison);
      let differing = await this.#differingLogs();
      // Guests may speak by entries that come with the first round.
      for (let round = 0; round < 2 && differing.length > 0; round++) differing = await this.#pullLogs(differing);
    }
    await this.#channel.close();
    return { same, rosterChanged, admittedCount: this.#admittedCount, forksCount: this.#forksCount };
  }

  /** From the newest common roster on, which is sought in growing steps back. */
  async #pullRosters({ newest }: Comparison): Promise<boolean> {
    const { membership } = this.#components;
    const current = membership.roster;
    if (newest === null || current === undefined || membership.hashAt(newest.number) === newest.hash) return false;
    if (newest.number < current.number) return false;
    let changed = false;
    for (let step = 0; ; step = step * 8 + 1) {
      const from = Math.max(0, current.number - step);
      const follows = await this.#takeRosters(from, (hadChange) => (changed ||= hadChange));
      if (follows) return changed;
      if (from === 0) throw new CostorError("roster-invalid", "the other site is of another federation");
    }
  }

  /** Whether the first roster from `from` on is of this site's chain; if so, takes those after it. */
  async #takeRosters(from: number, onTaken: (changed: boolean) => void): Promise<boolean> {
    const { membership } = this.#components;
    let follows: boolean | undefined;
    let batch: { bytes: Uint8Array; number: number }[] = [];
    const take = async (): Promise<void> => {
      if (batch.length > 0) onTaken(await membership.offer(batch.map(({ bytes }) => bytes)));
      batch = [];
    };
    let number = from;
    for await (const bytes of this.#pages({ ask: "rosters", from }, "rosters")) {
      const roster = parseRoster(bytes);
      if (roster.number !== number++) throw misbehaved("rosters out of order");
      follows ??= membership.hashAt(from) === roster.hash;
      if (!follows || membership.hashAt(roster.number) === roster.hash) continue;
      batch.push({ bytes, number: roster.number });
      if (batch.length < limits.rosterBranchCount) continue;
      // What extends this site's chain is kept piece by piece; a branch counts as a whole only.
      if (batch[0]!.number <= membership.roster!.number) throw misbehaved("a chain that left this site's long ago");
      await take();
    }
    await take();
    return follows ?? false;
  }

  async #differingLogs(): Promise<LogDigest[]> {
    const { ledger } = this.#components;
    const differing: LogDigest[] = [];
    let last = "";
    let count = 0;
    for await (const item of this.#pages({ ask: "summary" }, "summary")) {
      if (item.log <= last || ++count > limits.syncLogsCount) throw misbehaved("logs out of order, or too many");
      last = item.log;
      if (ledger.log(item.log)?.digest.toString("hex") !== item.digest) differing.push(item);
    }
    return differing;
  }

  /** Those that may not speak here as yet. */
  async #pullLogs(differing: readonly LogDigest[]): Promise<LogDigest[]> {
    const silent: LogDigest[] = [];
    const count = limits.syncLogsAtOnceCount;
    for (let at = 0; at < differing.length; at += count) {
      const some = differing.slice(at, at + count);
      const known = await this.#knowledgeOf(some.map(({ log }) => log));
      const spoken = known.filter(({ log }) => this.#components.ledger.log(log) !== undefined);
      silent.push(...some.filter(({ log }) => !spoken.some((knowledge) => knowledge.log === log)));
      for (const { log, retires } of spoken) await this.#pullEntries(log, retires);
      for (const { log, known: theirs } of spoken) await this.#pullEntries(log, theirs);
      for (const knowledge of spoken)
        await this.#seekFork(
          knowledge,
          some.find(({ log }) => log === knowledge.log)!,
        );
    }
    return silent;
  }

  async #knowledgeOf(logs: readonly LogId[]): Promise<LogKnowledge[]> {
    const { ledger } = this.#components;
    const all: LogKnowledge[] = [];
    let at = -1;
    for await (const knowledge of this.#pages({ ask: "logs", logs }, "logs")) {
      const { log, certificate, fork } = knowledge;
      const index = logs.indexOf(log);
      if (index <= at || openLog(certificate).id !== log) throw misbehaved("logs that were not asked for");
      at = index;
      const had = ledger.log(log)?.fork !== undefined;
      await ledger.offer({ certificates: [certificate] });
      if (ledger.log(log) !== undefined && fork !== null && !had) {
        await ledger.offer({ forks: [fork], entries: fork });
        this.#forksCount++;
      }
      all.push(knowledge);
    }
    return all;
  }

  /** Takes over those of `theirs` that are not known here. */
  async #pullEntries(log: LogId, theirs: SeqRanges): Promise<void> {
    const state = this.#components.ledger.log(log);
    if (state === undefined) return;
    const wanted = theirs.without(state.known).upTo(state.boundary);
    if (wanted.isEmpty) return;
    await this.#offerEntries(log, wanted);
  }

  async #offerEntries(log: LogId, ranges: SeqRanges): Promise<void> {
    const { ledger } = this.#components;
    let last = -1;
    /** Of one place there are several where a log has a fork. */
    let againCount = 0;
    let isFull = false;
    for await (const page of askForPages(this.#channel, { ask: "entries", log, ranges }, "entries")) {
      for (const bytes of page) {
        const { logId, seq } = parseEntry(bytes);
        if (seq === last) againCount++;
        const mostCount = ledger.log(log)?.fork === undefined ? 0 : limits.ledgerUnplacedCount;
        if (logId !== log || seq < last || againCount > mostCount || !ranges.has(seq))
          throw misbehaved("entries that were not asked for");
        last = seq;
      }
      if (isFull) continue;
      const hadFork = ledger.log(log)?.fork !== undefined;
      const admissions = await ledger.offer({ entries: page });
      this.#admittedCount += admissions.filter((admission) => admission === "admitted").length;
      if (!hadFork && ledger.log(log)?.fork !== undefined) this.#forksCount++;
      isFull = admissions.includes("site-full");
    }
  }

  /**
   * When both know the same seqs and do not have the same entries, one seq has two. A retire of the peer may be one of them, and what
   * it withdraws counts; else that seq is sought by halves, and the peer's entry is taken as the proof.
   */
  async #seekFork({ log, known, retires }: LogKnowledge, { digest }: LogDigest): Promise<void> {
    const state = this.#components.ledger.log(log);
    const differs = (): boolean => state !== undefined && state.digest.toString("hex") !== digest;
    if (state === undefined || !differs()) return;
    const placed = retires.upTo(state.boundary);
    if (!placed.isEmpty) await this.#offerEntries(log, placed);
    if (state.fork !== undefined || !differs()) return;
    const isSame = async (seqs: readonly number[]): Promise<boolean> => {
      const ranges = rangesOf(seqs);
      return parseCheck(await this.#ask({ ask: "check", log, ranges })) === state.digestOf(ranges).toString("hex");
    };
    let seqs = seqsToCheck(state.seqs().filter((seq) => known.has(seq)));
    if (seqs.length === 0 || (await isSame(seqs))) return;
    while (seqs.length > 1) {
      const half = seqs.slice(0, seqs.length / 2);
      seqs = (await isSame(half)) ? seqs.slice(half.length) : half;
    }
    await this.#offerEntries(log, rangesOf(seqs));
  }

  async #ask(request: SyncRequest): Promise<Uint8Array> {
    await this.#channel.send(encodeSyncRequest(request));
    return receiveAnswer(this.#channel);
  }

  async *#pages<Name extends PageName>(request: SyncRequest, name: Name): AsyncGenerator<PageItem<Name>> {
    for await (const page of askForPages(this.#channel, request, name)) yield* page;
  }
}

function rangesOf(seqs: readonly number[]): SeqRanges {
  const ranges = SeqRanges.empty();
  for (const seq of seqs) ranges.add(seq);
  return ranges;
}

/** As many, from the first, as a message has ranges for. */
function seqsToCheck(seqs: readonly number[]): readonly number[] {
  const last = rangesOf(seqs).ranges.at(limits.ledgerRangesCount - 1)?.[1] ?? Infinity;
  return seqs.filter((seq) => seq <= last);
}

const misbehaved = (message: string): CostorError => new CostorError("peer-misbehaved", `the peer sends ${message}`);
