/**
 * The seal workers and what is under way in them. Who calls: content-jobs.ts. Each worker has one job at a time; more
 * wait in line here, in order. A worker that dies fails every job it had, and the pool with it.
 */
import { Worker } from "node:worker_threads";
import { endWorker } from "#agent/worker-ending.ts";
import { CostorError } from "#protocol/errors.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { isSystemCode } from "#agent/files/os-error.ts";
import type {
  ChunksSealed,
  FilesDone,
  FilesJob,
  FromWorker,
  LargeDone,
  LargeJob,
  SealSecrets,
  StretchDone,
  StretchJob,
} from "./worker-messages.ts";

const WORKER_YOUNG_GENERATION_MIB = 3;

/** What a job needs from the main thread while it runs. */
export interface JobHandlers<Done> {
  /** One byte a hash; resolves when there is room for what will be sealed. */
  onAsk(hashes: Uint8Array): Promise<Uint8Array>;
  onChunks?(message: ChunksSealed): void;
  onDone(message: Done): void;
  /** The file could not be read; other errors end the pool. */
  onFailed(failure: { code: string; message: string }): void;
}

type AnyJob = FilesJob | LargeJob | StretchJob;
type AnyDone = FilesDone & LargeDone & StretchDone;
type Job = { message: AnyJob; handlers: JobHandlers<AnyDone> };

interface Slot {
  readonly worker: Worker;
  running: number;
}

export interface SealPoolInit extends SealSecrets {
  readonly workersCount: number;
}

export class SealPool {
  private readonly slots: Slot[] = [];
  private readonly line: Job[] = [];
  private readonly running = new Map<number, { job: Job; slot: Slot }>();
  private readonly onFatal: (error: unknown) => void;
  private readonly init: SealPoolInit;
  private nextJob = 1;
  private isEnding = false;

  constructor(components: { onFatal(error: unknown): void }, init: SealPoolInit) {
    this.onFatal = (error) => components.onFatal(error);
    this.init = init;
  }

  /** At most. */
  get workersCount(): number {
    return this.init.workersCount;
  }

  /** Jobs that wait for a worker. The scan waits while there are some. */
  get waitingCount(): number {
    return this.line.length;
  }

  submitFiles(files: Omit<FilesJob, "type" | "job">, handlers: JobHandlers<FilesDone>): void {
    this.submit({ type: "files", job: this.nextJob++, ...files }, handlers as JobHandlers<AnyDone>);
  }

  submitLarge(file: Omit<LargeJob, "type" | "job">, handlers: JobHandlers<LargeDone>): void {
    this.submit({ type: "large", job: this.nextJob++, ...file }, handlers as JobHandlers<AnyDone>);
  }

  submitStretch(stretch: Omit<StretchJob, "type" | "job">, handlers: JobHandlers<StretchDone>): void {
    this.submit({ type: "stretch", job: this.nextJob++, ...stretch }, handlers as JobHandlers<AnyDone>);
  }

  private submit(message: AnyJob, handlers: JobHandlers<AnyDone>): void {
    this.line.push({ message, handlers });
    this.dispatch();
  }

  /** The worker with the least to do; starts another one while all that there are work. */
  private freestSlot(): Slot {
    const freest = this.slots.toSorted((one, other) => one.running - other.running)[0];
    if (freest && (freest.running === 0 || this.slots.length === this.init.workersCount)) return freest;
    const started = this.startWorker();
    this.slots.push(started);
    return started;
  }

  private startWorker(): Slot {
    const worker = new Worker(new URL("./seal-worker.ts", import.meta.url), {
      workerData: { scopeSecret: this.init.scopeSecret, contentKey: this.init.contentKey } satisfies SealSecrets,
      resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_GENERATION_MIB },
    });
    const slot: Slot = { worker, running: 0 };
    worker.on("message", (message: FromWorker) => this.receive(message));
    worker.on("error", this.onFatal);
    worker.on("exit", (code) => {
      if (!this.isEnding) this.onFatal(new CostorError("internal", `a seal worker ended with exit code ${code}`));
    });
    return slot;
  }

  private dispatch(): void {
    while (this.line.length > 0) {
      const slot = this.freestSlot();
      if (slot.running > 0) return;
      const job = this.line.shift()!;
      slot.running++;
      this.running.set(job.message.job, { job, slot });
      slot.worker.postMessage(job.message);
    }
  }

  private receive(message: FromWorker): void {
    const entry = this.running.get(message.job);
    if (!entry || this.isEnding) return;
    const { job, slot } = entry;
    try {
      switch (message.type) {
        case "ask":
          job.handlers
            .onAsk(message.hashes)
            .then((known) => slot.worker.postMessage({ type: "answer", job: message.job, known }), this.onFatal);
          return;
        case "chunks":
          job.handlers.onChunks?.(message);
          return;
        case "failed":
          this.end(message.job);
          if (isSystemCode(message.code)) job.handlers.onFailed(message);
          else
            this.onFatal(
              new CostorError("internal", `sealing failed: ${message.message}`, { details: { code: message.code } }),
            );
          return;
        default:
          this.end(message.job);
          job.handlers.onDone(message as unknown as AnyDone);
      }
    } catch (error) {
      this.onFatal(error);
    }
  }

  private end(job: number): void {
    const entry = this.running.get(job)!;
    this.running.delete(job);
    entry.slot.running--;
    this.dispatch();
  }

  /** Ends the run that the pool works for. */
  fail(error: unknown): void {
    this.onFatal(error);
  }

  /** Ends the workers, which close the files that they have alone, and closes all others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.isEnding = true;
    const waiting = this.line.splice(0).map(({ message }) => message);
    const under = [...this.running.values()].map(({ job }) => job.message);
    await Promise.all(this.slots.map((slot) => endWorker(slot.worker)));
    const open = new Set<number>();
    for (const message of waiting) {
      if (message.type === "files") for (const descriptor of message.descriptors) open.add(descriptor);
      else open.add(message.descriptor);
    }
    // The stretches of a file share its descriptor, which no worker closes.
    for (const message of under) if (message.type === "stretch") open.add(message.descriptor);
    open.forEach(closeDescriptor);
  }
}
