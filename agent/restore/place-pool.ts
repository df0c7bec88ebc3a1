/** The place workers and what is under way in them. Bounded by the stored bytes that they hold. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { endWorker } from "#agent/worker-ending.ts";
import type { PlaceAnswer, PlaceSettings, PlaceTask } from "./place-messages.ts";

/** Stored bytes that may wait in workers. */
const HELD_BYTES = 12 * 1024 * 1024;
const WORKER_YOUNG_GENERATION_MIB = 3;

interface Slot {
  readonly worker: Worker;
  heldBytes: number;
}

export class PlacePool {
  private readonly slots: Slot[] = [];
  private readonly running = new Map<number, { slot: Slot; bytes: number; onDone: (answer: PlaceAnswer) => void }>();
  private waiters: (() => void)[] = [];
  private heldBytes = 0;
  private nextTask = 1;
  private failure: unknown;

  constructor(settings: PlaceSettings, workersCount: number = availableParallelism()) {
    for (let i = 0; i < workersCount; i++) {
      const worker = new Worker(new URL("./place-worker.ts", import.meta.url), {
        workerData: settings,
        resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_GENERATION_MIB },
      });
      worker.on("message", (answer: PlaceAnswer) => this.receive(answer));
      worker.on("error", (error) => this.fail(error));
      this.slots.push({ worker, heldBytes: 0 });
    }
  }

  /** Hands a task over; takes the stored bytes. `onDone` is called once. */
  submit(task: Omit<PlaceTask, "task">, onDone: (answer: PlaceAnswer) => void): void {
    const slot = this.slots.reduce((least, candidate) => (candidate.heldBytes < least.heldBytes ? candidate : least));
    const bytes = task.stored.length;
    const number = this.nextTask++;
    // A view of a larger buffer would take that along.
    const stored = task.stored.byteLength === task.stored.buffer.byteLength ? task.stored : new Uint8Array(task.stored);
    this.running.set(number, { slot, bytes, onDone });
    slot.heldBytes += bytes;
    this.heldBytes += bytes;
    slot.worker.postMessage({ ...task, stored, task: number }, [stored.buffer as ArrayBuffer]);
  }

  /** Resolves when more may be handed over. */
  async room(): Promise<void> {
    while (this.heldBytes > HELD_BYTES) await this.progress();
  }

  /** Resolves when nothing is under way. */
  async drain(): Promise<void> {
    while (this.running.size > 0) await this.progress();
  }

  /** Resolves with the next answer. Throws when a worker has failed. */
  async progress(): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    await new Promise<void>((resolve) => this.waiters.push(resolve));
    if (this.failure !== undefined) throw this.failure;
  }

  private receive(answer: PlaceAnswer): void {
    const { slot, bytes, onDone } = this.running.get(answer.task)!;
    this.running.delete(answer.task);
    slot.heldBytes -= bytes;
    this.heldBytes -= bytes;
    try {
      onDone(answer);
    } catch (error) {
      this.failure ??= error;
    }
    this.wake();
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    this.wake();
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resume of waiters) resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.slots.map((slot) => endWorker(slot.worker)));
  }
}
