/** Database writes that wait until the primes which they name are durable at the site. */
import type { AgentDatabase, DatabaseWrite } from "./agent-database.ts";

const FLUSH_COUNT = 512;

export class DeferredWrites {
  private readonly database: AgentDatabase;
  private readonly waiting: { readonly prime: number; readonly writes: readonly DatabaseWrite[] }[] = [];
  private flushing: Promise<void> = Promise.resolve();

  constructor(components: { database: AgentDatabase }) {
    this.database = components.database;
  }

  /** Writes once all primes up to the number `prime` are acknowledged. */
  add(prime: number, writes: readonly DatabaseWrite[]): void {
    this.waiting.push({ prime, writes });
  }

  /** Writes what may be written by now; small amounts wait for more. */
  release(acknowledged: number): void {
    if (this.waiting.length < FLUSH_COUNT) return;
    const count = this.waiting.findIndex((entry) => entry.prime > acknowledged);
    const ready = this.waiting.splice(0, count < 0 ? this.waiting.length : count).flatMap((entry) => entry.writes);
    this.flushing = this.flushing.then(() => this.database.write(ready));
    // Whoever flushes gets the failure.
    this.flushing.catch(() => undefined);
  }

  /** Writes all that may be written, with `last` behind it, and waits for it. */
  async flush(acknowledged: number, last: readonly DatabaseWrite[] = []): Promise<void> {
    await this.flushing;
    const ready = this.waiting.filter((entry) => entry.prime <= acknowledged).flatMap((entry) => entry.writes);
    const rest = this.waiting.filter((entry) => entry.prime > acknowledged);
    this.waiting.splice(0, this.waiting.length, ...rest);
    await this.database.write([...ready, ...last], true);
  }
}
