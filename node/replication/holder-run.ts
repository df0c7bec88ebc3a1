/**
 * One run as its holder sees it: one channel, slices one after the other. docs/specs/replication.md, A run.
 *
 * What is answered is durable. Batches may become so side by side; everything else waits until they are. A refusal leaves the run as it
 * was, a fault of the other side ends it.
 */
import { eraseOrderOf } from "#ledger/erasing.ts";
import { sliceOf } from "#ledger/slice.ts";
import { isUnheardOwner } from "#ledger/steward.ts";
import { type StatementOf, subjectOf } from "#ledger/statements.ts";
import { parseBatch } from "#protocol/batch.ts";
import type { CborMap } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import type { LogId, SiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { batchOf, decodeMessage, encodeMessage, isBatch } from "./frame-codec.ts";
import type { HolderQuota, Reservation } from "./holder-quota.ts";
import type { KeepingRoom } from "./keeping-room.ts";
import { type OfferedEntry, OfferedEntries } from "./offered-entries.ts";
import type { Omissions } from "./omissions.ts";
import type { OwnerTurns } from "./owner-turns.ts";
import { hashOfSet } from "./prime-set-hash.ts";
import type { ReceiptRate } from "./receipt-rate.ts";
import type { KeptPrimes, LedgerReader, OwnEntries } from "./replication-ports.ts";
import {
  type FinishRequest,
  type ReserveRequest,
  idsToBytes,
  refusalOf,
  replicateRequest,
} from "./replicate-messages.ts";
import type { Silence } from "./silence.ts";

export interface HolderComponents {
  readonly self: SiteId;
  readonly ledger: LedgerReader;
  readonly entries: OwnEntries;
  readonly kept: KeptPrimes;
  readonly quota: HolderQuota;
  readonly omissions: Omissions;
  readonly ownerTurns: OwnerTurns;
  readonly keepingRoom: KeepingRoom;
  readonly silence: Pick<Silence, "of">;
  readonly receiptRate: ReceiptRate;
}

interface HolderRunInit {
  readonly sender: SiteId;
  /** Told of a reservation that is refused; the run goes on. */
  readonly onRefused?: (error: CostorError) => void;
}

/** The slice that is open in a run. */
interface OpenSlice {
  readonly owner: SiteId;
  readonly slice: number;
  readonly reservation: Reservation;
}

/** A receipt that is due: what of it is written as one entry at the end costs the ledger a fraction. */
interface DueReceipt {
  readonly statement: StatementOf<"receipt">;
  /** The seq of the `loss` that it ends, if there was one. */
  readonly lossSeq: number | undefined;
}

/** What the hash of a copy is compared with. */
type SignedSet = Pick<StatementOf<"live-set">, "generation" | "count" | "bytes" | "hash" | "snapshots"> & {
  readonly logId: LogId;
};

export class HolderRun implements AsyncDisposable {
  readonly #components: HolderComponents;
  /** Who sends: the owner, or a steward. */
  readonly #sender: SiteId;
  readonly #onRefused: HolderRunInit["onRefused"];
  readonly #offered: OfferedEntries;
  #open: OpenSlice | undefined;
  /** The answers to batches that were taken up and are not durable, one that failed among them. */
  readonly #keeping = new Set<Promise<Uint8Array>>();
  /** By their subjects: whoever finishes one slice again and again owes no more. */
  readonly #due = new Map<string, DueReceipt>();
  /** Entries with receipts of this run. */
  readonly #given = new Map<number, Uint8Array>();

  constructor(components: HolderComponents, init: HolderRunInit) {
    this.#components = components;
    this.#offered = new OfferedEntries(components);
    this.#sender = init.sender;
    this.#onRefused = init.onRefused;
  }

  /**
   * Takes one frame up, one call at a time; resolves when the next one may be, with the promise of its answer. Both throw what ends the run:
   * the fault is the other side's, or this site's store.
   */
  async take(frame: Uint8Array): Promise<{ answer: Promise<Uint8Array> }> {
    if (isBatch(frame)) return this.#takeBatch(batchOf(frame));
    await Promise.all(this.#keeping);
    return { answer: Promise.resolve(await this.#answer(frame)) };
  }

  async #answer(frame: Uint8Array): Promise<Uint8Array> {
    const request = decodeMessage(frame, replicateRequest);
    if (request.kind === "reserve") {
      try {
        return encodeMessage(await this.#reserve(request));
      } catch (error) {
        if (!isRefusal(error)) throw error;
        this.#onRefused?.(error);
        return refusalOf(error);
      }
    }
    if (request.kind === "finish") return encodeMessage(await this.#finish(request));
    if (request.kind === "omitted") return encodeMessage(await this.#omitted());
    if (request.kind === "end") return encodeMessage({ kind: "receipts", entries: await this.#writeReceipts() });
    const { owner, slice } = this.#required();
    const answer = await this.#components.kept.compare(owner, slice, request.key, request.question);
    return encodeMessage({ kind: "compared", answer });
  }

  /** What was received counts also when the channel ended before its end. What cannot be written now the next run brings again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#keeping);
    this.#leave();
    try {
      await this.#writeReceipts();
    } catch (error) {
      if (!(error instanceof CostorError)) throw error;
    }
  }

  #leave(): void {
    this.#open?.reservation[Symbol.dispose]();
    this.#open = undefined;
  }

  async #reserve({ owner, slice, bytes, entry }: ReserveRequest): Promise<CborMap> {
    const { quota, silence, receiptRate } = this.#components;
    this.#leave();
    if (entry !== undefined) await this.#offered.offer(entry);
    // What is here of the owner's it may look at, whatever its placement says: that may be a thief's.
    const looksOnly = entry === undefined && bytes === 0 && this.#sender === owner;
    if (!looksOnly) receiptRate.require(this.#sender);
    if (!looksOnly && !this.#isNamed(owner, slice))
      throw new CostorError("peer-refused", "neither the owner nor a steward names this site for the slice");
    if (this.#sender !== owner && !isUnheardOwner({ silentMs: silence.of(owner) }))
      throw new CostorError("peer-refused", "this site has heard of the owner lately, who needs no steward");
    this.#open = { owner, slice, reservation: await quota.reserve(owner, slice, bytes) };
    return { kind: "granted" };
  }

  /** Whether the owner, or one of its holders as its steward, wants this site to keep the slice, and not to erase it. */
  #isNamed(owner: SiteId, slice: number): boolean {
    const { ledger, self } = this.#components;
    // What is here of its own others add nothing to: no quota bounds it.
    if (owner === self || eraseOrderOf({ ledger }, owner) !== undefined) return false;
    const holders = ledger.statement(owner, "placement", `${slice}`)?.statement.holders ?? [];
    if (this.#sender === owner) return holders.includes(self);
    const further = ledger.statement(this.#sender, "steward", `${owner}/${slice}`)?.statement.holders ?? [];
    return holders.includes(this.#sender) && further.includes(self);
  }

  /** Resolves once the batch is on its way to the disk, with the promise of its answer. */
  async #takeBatch(batch: Uint8Array): Promise<{ answer: Promise<Uint8Array> }> {
    const { owner, slice, reservation } = this.#required();
    const { kept, ownerTurns, keepingRoom } = this.#components;
    let bytes = 0;
    for (const { id, stored } of parseBatch(batch)) {
      if (sliceOf(id) !== slice) throw new CostorError("peer-misbehaved", `it sends prime ${id} of another slice`);
      bytes += stored.length;
    }
    const begun = Promise.withResolvers<void>();
    const keep = async (): Promise<Uint8Array> => {
      begun.resolve();
      if (eraseOrderOf(this.#components, owner) !== undefined)
        throw new CostorError("peer-refused", "the owner has ordered that what is held of it be erased");
      const { storedCount } = await kept.put(owner, batch);
      passFailpoint("replicate.kept");
      return encodeMessage({ kind: "kept", count: storedCount });
    };
    // In the owner's turn first: who waits for that takes no room from others.
    const answer = reservation.keep(bytes, () => ownerTurns.share(owner, () => keepingRoom.run(batch.length, keep)));
    this.#keeping.add(answer);
    answer.then(() => this.#keeping.delete(answer)).catch(() => undefined);
    await Promise.race([begun.promise, answer]);
    return { answer };
  }

  async #finish({ entry, extras }: FinishRequest): Promise<CborMap> {
    const { owner, slice } = this.#required();
    const { kept, omissions, ownerTurns } = this.#components;
    const signed = this.#signedSet(await this.#offered.offer(entry), owner, slice);
    const isOwner = this.#sender === owner;
    if (!isOwner) this.#requireNoLater(owner, slice, signed.generation);
    return ownerTurns.run(owner, async () => {
      const ids = await kept.slice(owner, slice);
      const leftOut = new Set(extras);
      const live = ids.filter((id) => !leftOut.has(id));
      const hash = hashOfSet(live);
      if (hash !== signed.hash || live.length !== signed.count)
        return { kind: "differs", count: live.length, hash: Buffer.from(hash, "hex") };
      this.#oweReceipt(owner, slice, signed);
      const noted = leftOut.intersection(new Set(ids));
      // Nothing is dropped by a note while a receipt says that it is here: old notes go before the receipt, new ones come after it.
      await omissions.narrow(owner, slice, noted);
      // What a steward has not stays as it is: only the owner leaves out.
      if (isOwner && noted.size > 0) {
        await this.#writeReceipts();
        await omissions.note(owner, slice, signed.logId, noted);
      }
      return { kind: "received" };
    });
  }

  /** So that an owner that has lost its memory learns what it has left out. */
  async #omitted(): Promise<CborMap> {
    const { owner, slice } = this.#required();
    const notes = await Array.fromAsync(this.#components.omissions.notes(owner, slice));
    const ids = [...new Set(notes.flatMap((note) => note.ids ?? []))];
    if (ids.length > limits.reconcileExtrasCount)
      throw new CostorError("limit-exceeded", `at most ${limits.reconcileExtrasCount} omitted ids are told`);
    return { kind: "omitted", ids: idsToBytes(ids) };
  }

  /** What the owner has signed last, or what the steward has given a receipt for. */
  #signedSet(entry: OfferedEntry, owner: SiteId, slice: number): SignedSet {
    const { ledger } = this.#components;
    const [kind, subject] =
      this.#sender === owner ? (["live-set", `${slice}`] as const) : (["receipt", `${owner}/${slice}`] as const);
    const statement = entry.statements.find((said) => said.kind === kind && subjectOf(said) === subject);
    const newest = ledger.statement(this.#sender, kind, subject);
    const isNewest =
      statement?.kind === kind &&
      newest?.logId === entry.logId &&
      newest.seq === entry.seq &&
      ledger.currentLog(this.#sender)?.log.id === entry.logId;
    if (!isNewest) throw new CostorError("peer-refused", `this is not the sender's newest ${kind} of the slice`);
    return { ...statement, logId: entry.logId };
  }

  /** Whoever has had more of the owner itself may be asked for it. */
  #requireNoLater(owner: SiteId, slice: number, generation: number): void {
    const { ledger, self } = this.#components;
    const said = ledger.statement(self, "receipt", `${owner}/${slice}`)?.statement.generation ?? 0;
    const newest = ledger.statement(owner, "live-set", `${slice}`)?.statement.generation ?? 0;
    if (said > generation && said <= newest)
      throw new CostorError("peer-refused", "this site has given a receipt for a later generation");
  }

  #oweReceipt(owner: SiteId, slice: number, { generation, count, bytes, hash, snapshots }: SignedSet): void {
    const { ledger, self } = this.#components;
    const loss = ledger.statement(self, "loss", `${owner}/${slice}`);
    const statement = { kind: "receipt", owner, slice, generation, count, bytes, hash, snapshots } as const;
    this.#due.set(subjectOf(statement), { statement, lossSeq: loss?.seq });
  }

  /**
   * Writes the receipts that are due, those that say what was said before left out, and ends the losses that they make good. What was
   * lost, or placed elsewhere, meanwhile gets none. Resolves with the entries in which the receipts stand.
   */
  async #writeReceipts(): Promise<Uint8Array[]> {
    const { ledger, entries, self, receiptRate } = this.#components;
    const due = [...this.#due.values()].filter(({ statement, lossSeq }) => {
      const loss = ledger.statement(self, "loss", subjectOf(statement));
      return loss?.seq === lossSeq && this.#isNamed(statement.owner, statement.slice);
    });
    this.#due.clear();
    const fresh = due.filter(({ statement }) => !this.#isSaid(statement)).map(({ statement }) => statement);
    if (fresh.length > 0) {
      await entries.writeAll(fresh);
      receiptRate.wrote(this.#sender);
      passFailpoint("replicate.receipted");
    }
    const losses = due.flatMap(({ statement }) => ledger.statement(self, "loss", subjectOf(statement)) ?? []);
    if (losses.length > 0) await entries.withdrawIdle({ also: losses, leastCount: 1 });
    for (const { statement } of due) {
      const said = ledger.statement(self, "receipt", subjectOf(statement));
      const entry = said && (this.#given.get(said.seq) ?? (await ledger.entry(said.logId, said.seq)));
      if (entry !== undefined) this.#given.set(said!.seq, entry);
    }
    return [...this.#given.values()];
  }

  #isSaid({ owner, slice, generation, hash, snapshots }: StatementOf<"receipt">): boolean {
    const { ledger, self } = this.#components;
    const said = ledger.statement(self, "receipt", `${owner}/${slice}`)?.statement;
    return said?.hash === hash && said.generation === generation && said.snapshots === snapshots;
  }

  #required(): OpenSlice {
    if (this.#open === undefined) throw new CostorError("peer-misbehaved", "no slice was granted to it");
    return this.#open;
  }
}

/** What an honest owner meets, and goes on with its next slice or comes again. */
const isRefusal = (error: unknown): error is CostorError =>
  error instanceof CostorError && ["quota-exceeded", "too-many-requests", "peer-refused"].includes(error.code);
