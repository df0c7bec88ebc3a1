/**
 * One run with one holder, as the owner, or a steward, sees it. docs/specs/replication.md, A run.
 *
 * Everything that was answered with `kept` is durable there: a run that is cut is followed by another one, which sends only what is
 * missing then.
 */
import { parseEntry } from "#ledger/entry.ts";
import type { Clock } from "#ledger/clock.ts";
import type { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import type { Channel } from "#ledger/peers.ts";
import type { Rng } from "#ledger/rng.ts";
import { type HeldStatement, readStatements } from "#ledger/statements.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { AuditQuestions, AuditSample } from "./audit-questions.ts";
import { HolderChannel, expectAnswer } from "./holder-channel.ts";
import { batchFrames } from "./prime-batches.ts";
import { idsToBytes, refusalError } from "./replicate-messages.ts";
import type { LedgerReader } from "./replication-ports.ts";

/** A slice as it is signed: what is sent is what the statement covers, whatever is backed up meanwhile. */
export interface SignedSlice {
  readonly slice: number;
  /** Ascending. */
  readonly ids: readonly PrimeId[];
  readonly bytes: number;
  /** 64 hex digits. */
  readonly hash: string;
  readonly generation: number;
  /** The number of the newest snapshot that it covers. */
  readonly snapshots: number;
  /** The `live-set` entry; a steward's own `receipt`. */
  readonly entry: Uint8Array;
}

export interface SliceToSend extends SignedSlice {
  /** The `placement` or `steward` entry that names the holder. */
  readonly namingEntry: Uint8Array;
}

export interface OwnerRunComponents {
  readonly clock: Clock;
  readonly channel: Channel;
  readonly ledger: Pick<LedgerReader, "offer" | "statement">;
  readonly store: Pick<PrimeStore, "get" | "getMany">;
  readonly limit: BandwidthLimit;
  readonly rng: Rng;
}

export interface OwnerRunInit {
  readonly owner: SiteId;
  readonly holder: SiteId;
  /** Of the owner, who asks the holder later for what it gives receipts for; a steward has none. */
  readonly questions?: Pick<AuditQuestions, "prepare" | "note"> | undefined;
  /** False ends the run before the next batch: a window has closed, or people pause it. */
  readonly mayGoOn?: (() => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of this run, and of others with the holder at the same time. */
  readonly kept?: KeptTotal | undefined;
  readonly onProgress?: ((progress: RunProgress) => void) | undefined;
}

/** What a holder has answered to keep. */
export interface KeptTotal {
  count: number;
  bytes: number;
}

export interface RunProgress {
  readonly slice: number;
  /** Of this comparison. */
  readonly missingCount: number;
  /** Kept by the holder since the runs with it began. */
  readonly keptCount: number;
  readonly keptBytes: number;
}

/** How a slice ended: `lacking` when some of it cannot be read here, `paused` when the run may not go on. */
export type SliceEnd = "received" | "refused" | "lacking" | "paused";

export interface SliceReport {
  readonly slice: number;
  readonly end: SliceEnd;
  /** Of one that was refused. */
  readonly refusal?: CostorError | undefined;
  readonly lacking?: readonly PrimeId[] | undefined;
}

/** A holder that differs after so many comparisons, though nothing is missing, is not believed. */
const ROUNDS_COUNT = 4;

export class OwnerRun {
  readonly #components: OwnerRunComponents;
  readonly #init: OwnerRunInit;
  readonly #holder: HolderChannel;
  readonly #kept: KeptTotal;
  readonly #samples: AuditSample[] = [];

  constructor(components: OwnerRunComponents, init: OwnerRunInit) {
    this.#components = components;
    this.#init = init;
    this.#holder = new HolderChannel(components, init);
    this.#kept = init.kept ?? { count: 0, bytes: 0 };
  }

  /**
   * Sends one slice after the other, and closes the channel. A refusal of one slice does not end the run. Throws
   * `peer-unreachable`, `peer-misbehaved`, what the holder says otherwise, and the signal's reason.
   */
  async run(slices: Iterable<SliceToSend> | AsyncIterable<SliceToSend>): Promise<SliceReport[]> {
    const { channel } = this.#components;
    const { signal } = this.#init;
    const onAbort = (): void => channel.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      const reports: SliceReport[] = [];
      const received: Receivable[] = [];
      for await (const slice of slices) {
        const report = await this.#send(slice);
        reports.push(report);
        if (report.end === "received") received.push(receivableOf(slice));
        if (report.end === "paused") break;
      }
      if (received.length > 0) await this.#takeReceipts(received);
      await channel.close();
      return reports;
    } catch (error) {
      channel.abort();
      signal?.throwIfAborted();
      throw error;
    } finally {
      this.#holder[Symbol.dispose]();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #send(toSend: SliceToSend): Promise<SliceReport> {
    const { slice, ids, bytes, namingEntry, entry } = toSend;
    if (!this.#mayGoOn()) return { slice, end: "paused" };
    const owner = Buffer.from(this.#init.owner, "hex");
    const reserved = await this.#holder.ask({ kind: "reserve", owner, slice, bytes, entry: namingEntry });
    if (reserved.kind === "refused") return { slice, end: "refused", refusal: refusalError(reserved) };
    expectAnswer(reserved, "granted");
    const lacking = new Set<PrimeId>();
    const sample = await this.#init.questions?.prepare(this.#init.holder, toSend);
    if (sample !== undefined) this.#samples.push(sample);
    // What the holder has given its receipt for it says to have: mostly there is nothing to compare.
    if (this.#isSaidToHave(toSend) && (await this.#finish(entry, []))) return { slice, end: "received" };
    for (let round = 0; round < ROUNDS_COUNT; round++) {
      const { missing, extras } = await this.#holder.compare(slice, ids);
      lacking.clear();
      if (!(await this.#sendPrimes(slice, missing, lacking))) return { slice, end: "paused" };
      if (lacking.size > 0) return { slice, end: "lacking", lacking: [...lacking] };
      if (await this.#finish(entry, extras)) return { slice, end: "received" };
    }
    throw new CostorError("peer-misbehaved", `slice ${slice} differs at the holder, and it does not say where`);
  }

  /** Whether the holder has the slice as it was signed. */
  async #finish(entry: Uint8Array, extras: readonly PrimeId[]): Promise<boolean> {
    const answer = await this.#holder.ask({ kind: "finish", entry, extras: idsToBytes(extras) });
    if (answer.kind === "differs") return false;
    // Who refuses this ends the run: it may not write, or a newer live set was signed meanwhile, which the next run brings.
    expectAnswer(answer, "received");
    return true;
  }

  #isSaidToHave({ slice, hash }: SliceToSend): boolean {
    const { owner, holder } = this.#init;
    return this.#components.ledger.statement(holder, "receipt", `${owner}/${slice}`)?.statement.hash === hash;
  }

  /** False when the run may not go on; what was sent is kept by then. */
  async #sendPrimes(slice: number, missing: readonly PrimeId[], lacking: Set<PrimeId>): Promise<boolean> {
    const { store, limit } = this.#components;
    const underWay: { count: number; bytes: number }[] = [];
    let underWayBytes = 0;
    const takeAnswer = async (): Promise<void> => {
      const { count, bytes } = underWay.shift()!;
      underWayBytes -= bytes;
      const kept = expectAnswer(await this.#holder.receive(), "kept");
      if (kept.count !== count) throw new CostorError("peer-misbehaved", "it keeps other primes than were sent");
      this.#kept.count += count;
      this.#kept.bytes += bytes;
      const { count: keptCount, bytes: keptBytes } = this.#kept;
      this.#init.onProgress?.({ slice, missingCount: missing.length, keptCount, keptBytes });
    };
    let isPaused = false;
    for await (const { frame, count, bytes } of batchFrames(store, missing, (id) => void lacking.add(id))) {
      if ((isPaused = !this.#mayGoOn())) break;
      while (underWay.length > 0 && underWayBytes + bytes > limits.replicateUnderWayBytes) await takeAnswer();
      await limit.take(bytes, this.#init.signal);
      // Before it is sent: what was under way when the channel breaks is not counted as kept.
      underWay.push({ count, bytes });
      underWayBytes += bytes;
      passFailpoint("replicate.sending");
      await this.#holder.send(frame);
    }
    while (underWay.length > 0) await takeAnswer();
    return !isPaused;
  }

  /** Enters the receipts in the ledger. Throws `peer-misbehaved` for those that are not for what was sent. */
  async #takeReceipts(received: readonly Receivable[]): Promise<void> {
    const { ledger } = this.#components;
    const { owner, holder, questions } = this.#init;
    const { entries } = expectAnswer(await this.#holder.ask({ kind: "end" }), "receipts");
    await ledger.offer({ entries });
    passFailpoint("replicate.taken");
    const said = entries.flatMap((bytes) => readStatements(parseEntry(bytes)));
    for (const { slice, hash, generation, snapshots } of received) {
      const isFor = (receipt: (typeof said)[number] | HeldStatement | undefined): boolean =>
        receipt?.kind === "receipt" &&
        receipt.owner === owner &&
        receipt.slice === slice &&
        receipt.hash === hash &&
        receipt.generation === generation &&
        receipt.snapshots === snapshots;
      const newest = ledger.statement(holder, "receipt", `${owner}/${slice}`)?.statement;
      if (!said.some(isFor) || !isFor(newest))
        throw new CostorError("peer-misbehaved", `it gives no receipt for what was sent of slice ${slice}`);
    }
    const slices = new Set(received.map(({ slice }) => slice));
    await questions?.note(
      holder,
      this.#samples.filter(({ slice }) => slices.has(slice)),
    );
  }

  #mayGoOn(): boolean {
    return this.#init.mayGoOn?.() ?? true;
  }
}

/** What a receipt is for. */
type Receivable = Pick<SignedSlice, "slice" | "hash" | "generation" | "snapshots">;

/** Without the ids, which are many. */
const receivableOf = ({ slice, hash, generation, snapshots }: SignedSlice): Receivable => ({
  slice,
  hash,
  generation,
  snapshots,
});
