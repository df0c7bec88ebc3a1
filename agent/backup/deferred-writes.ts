/**
 * Database writes that wait until the primes which they name are durable at the site.
 *
 * Invariant: what was added together is written at once, and not before what was added before it. Bounded memory: whoever
 * adds much waits for {@link DeferredWrites.room}.
 */
import type { AgentDatabase, DatabaseWrite } from "./agent-database.ts";
import type { Uploader } from "./uploader.ts";

const FLUSH_COUNT = 512;
/** Written at once: the database has a batch in memory several times, also when it is opened after a run that was cut short. */
const BATCH_BYTES = 2 * 1024 * 1024;
/** Values that may wait or be under way. */
const HELD_BYTES = 16 * 1024 * 1024;

interface Waiting {
  readonly prime: number;
  readonly writes: readonly DatabaseWrite[];
  readonly bytes: number;
}

const bytesOf = (write: DatabaseWrite): number => (write.type === "put" ? write.value.length : 0);

export class DeferredWrites {
  private readonly database: AgentDatabase;
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  /** {@link waitingBytes}, and those being written. */
  private heldBytes = 0;
  private flushing: Promise<void> = Promise.resolve();

  constructor(components: { database: AgentDatabase }) {
    this.database = components.database;
  }

  /** Writes once all primes up to the number `prime` are acknowledged. */
  add(prime: number, writes: readonly DatabaseWrite[]): void {
    const bytes = writes.reduce((sum, write) => sum + bytesOf(write), 0);
    this.waiting.push({ prime, writes, bytes });
    this.waitingBytes += bytes;
    this.heldBytes += bytes;
  }

  /** Writes what may be written by now; small amounts wait for more. */
  release(acknowledged: number): void {
    if (this.waiting.length < FLUSH_COUNT && this.waitingBytes < BATCH_BYTES) return;
    const count = this.waiting.findIndex((entry) => entry.prime > acknowledged);
    const ready = this.take(count < 0 ? this.waiting.length : count);
    if (ready.length === 0) return;
    this.flushing = this.flushing.then(() => this.write(ready));
    // Whoever waits for room or flushes gets the failure.
    this.flushing.catch(() => undefined);
  }

  /** Resolves when more may be added; has all primes acknowledged first when too much waits. Throws what made a write fail. */
  async room(uploader: Pick<Uploader, "acknowledged" | "drain">): Promise<void> {
    this.release(uploader.acknowledged);
    if (this.heldBytes <= HELD_BYTES) return;
    if (this.waitingBytes > HELD_BYTES / 2) await uploader.drain();
    this.release(uploader.acknowledged);
    await this.flushing;
  }

  /** Writes all that may be written, with `last` behind it, and waits for it. */
  async flush(acknowledged: number, last: readonly DatabaseWrite[] = []): Promise<void> {
    await this.flushing;
    const rest = this.waiting.filter((entry) => entry.prime > acknowledged);
    this.waiting = this.waiting.filter((entry) => entry.prime <= acknowledged);
    const ready = this.take(this.waiting.length);
    this.waiting = rest;
    await this.write(ready, last, true);
  }

  private take(count: number): Waiting[] {
    const taken = this.waiting.splice(0, count);
    for (const { bytes } of taken) this.waitingBytes -= bytes;
    return taken;
  }

  private async write(ready: readonly Waiting[], last: readonly DatabaseWrite[] = [], durable = false): Promise<void> {
    let batch: DatabaseWrite[] = [];
    let batchBytes = 0;
    for (const { writes, bytes } of ready) {
      if (batch.length > 0 && batchBytes + bytes > BATCH_BYTES) {
        await this.database.write(batch);
        this.heldBytes -= batchBytes;
        batch = [];
        batchBytes = 0;
      }
      batch.push(...writes);
      batchBytes += bytes;
    }
    await this.database.write([...batch, ...last], durable);
    this.heldBytes -= batchBytes;
  }
}
