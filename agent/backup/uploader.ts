/**
 * Sends sealed primes to the site in batches, several at a time, and knows up to where they were acknowledged.
 *
 * Invariant: `acknowledged` is the largest number n for which the primes 1 to n are durable at the site. Retrying is
 * the client's; an error here is final and reaches whoever waits.
 */
import { batchEntryBytes, type StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import { passFailpoint } from "#protocol/failpoint.ts";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import type { PrimeId } from "#protocol/ids.ts";

export interface UploadClient {
  /** Which of these primes the site lacks, as far as this agent has sent them. */
  missing(ids: readonly PrimeId[], signal?: AbortSignal): Promise<boolean[]>;
  /** Resolves when all are durable; their bytes are gone afterwards. */
  sendPrimes(primes: readonly StoredPrime[], signal?: AbortSignal): Promise<void>;
}

const BATCH_BYTES = 2 * 1024 * 1024;
const BATCH_PRIMES_COUNT = 256;
const PARALLEL_BATCHES_COUNT = 3;
/** Sealed bytes that may wait or be under way: what bounds the agent's memory. */
const HELD_BYTES = 10 * 1024 * 1024;

interface Batch {
  readonly primes: StoredPrime[];
  readonly last: number;
  bytes: number;
  state: "open" | "sending" | "acknowledged";
}

export class Uploader {
  private readonly client: UploadClient;
  private readonly askFirst: boolean;
  private readonly signal: AbortSignal;
  /** Batches in the order of their primes' numbers; the acknowledged ones leave at the front. */
  private readonly batches: Batch[] = [];
  private open: Batch | undefined;
  private sendingCount = 0;
  private heldBytes = 0;
  private failure: unknown;
  private waiters: (() => void)[] = [];
  private count = 0;
  acknowledged = 0;
  sentBytes = 0;
  sentCount = 0;

  constructor(components: { client: UploadClient }, init: { askFirst: boolean; signal: AbortSignal }) {
    this.client = components.client;
    this.askFirst = init.askFirst;
    this.signal = init.signal;
  }

  /** The number of the prime that was added last. */
  get added(): number {
    return this.count;
  }

  /** Takes a prime with its memory; whoever adds much waits for {@link room} first. Gives its number. */
  add(prime: StoredPrime): number {
    const bytes = batchEntryBytes(prime.stored.length);
    if (this.open && (this.open.bytes + bytes > BATCH_BYTES || this.open.primes.length >= BATCH_PRIMES_COUNT))
      this.open = undefined;
    if (!this.open) {
      this.open = { primes: [], last: 0, bytes: 0, state: "open" };
      this.batches.push(this.open);
    }
    this.open.primes.push(prime);
    this.open.bytes += bytes;
    (this.open as { last: number }).last = ++this.count;
    this.heldBytes += bytes;
    this.pump(false);
    return this.count;
  }

  /** Resolves when more may be sealed. Throws what made an upload fail. */
  async room(): Promise<void> {
    while (this.heldBytes > HELD_BYTES) await this.progress();
    this.check();
  }

  /** Resolves when everything added so far is durable at the site. */
  async drain(): Promise<void> {
    while (this.batches.length > 0) {
      this.pump(true);
      await this.progress();
    }
    this.check();
  }

  /** Ends every wait with `error`. */
  fail(error: unknown): void {
    this.failure ??= error;
    this.wake();
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private progress(): Promise<void> {
    this.check();
    return new Promise((resolve, reject) =>
      this.waiters.push(() => (this.failure === undefined ? resolve() : reject(this.failure as Error))),
    );
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resume of waiters) resume();
  }

  /** Starts what may start: full batches, and when `flush` or idle also the open one. */
  private pump(flush: boolean): void {
    for (const batch of this.batches) {
      if (this.sendingCount >= PARALLEL_BATCHES_COUNT || this.failure !== undefined) return;
      if (batch.state !== "open" || (batch === this.open && !flush && batch.bytes < BATCH_BYTES / 2)) continue;
      if (batch === this.open) this.open = undefined;
      batch.state = "sending";
      this.sendingCount++;
      this.send(batch).then(
        () => this.finish(batch),
        (error: unknown) => this.fail(error),
      );
    }
  }

  private async send(batch: Batch): Promise<void> {
    let primes: readonly StoredPrime[] = batch.primes;
    if (this.askFirst) {
      const missing = await this.client.missing(
        primes.map((prime) => prime.id),
        this.signal,
      );
      primes = primes.filter((_, index) => missing[index]);
    }
    if (primes.length === 0) return;
    passFailpoint("upload.sending");
    await this.client.sendPrimes(primes, this.signal);
    passFailpoint("upload.acknowledged");
    this.sentCount += primes.length;
    for (const prime of primes) this.sentBytes += prime.stored.length;
  }

  private finish(batch: Batch): void {
    batch.state = "acknowledged";
    for (const { stored } of batch.primes.splice(0)) freeBuffer(stored);
    this.sendingCount--;
    this.heldBytes -= batch.bytes;
    while (this.batches[0]?.state === "acknowledged") this.acknowledged = this.batches.shift()!.last;
    if (this.heldBytes < 0) throw new CostorError("internal", "the uploader holds less than nothing");
    this.pump(false);
    this.wake();
  }
}
