/**
 * Turns files that have to be read into content references: gathers small files into runs in walk order, hands runs and
 * large files to the seal pool, answers what is known, and gives sealed primes to the uploader.
 *
 * Runs end at a keyless hash of name and size, so that another machine with mostly the same files makes mostly the same
 * runs; what is inside a bundle is decided by content alone (protocol/bundling.ts).
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { Content, ContentSlice, DataExtent } from "#protocol/tree.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { openFilesLimit } from "#agent/files/open-files.ts";
import { CHANGE_SIGNATURE_BYTES, statSizeBytes, writeChangeSignature } from "#agent/files/stat.ts";
import { CONTENT_HASH_BYTES } from "./content-hash.ts";
import type { ContentIndex } from "./content-index.ts";
import type { DeferredWrites } from "./deferred-writes.ts";
import { type StretchHandlers, cutStretches, isStretched } from "./stretched-file.ts";
import type { SealPool } from "./seal-pool.ts";
import type { TreeSealer } from "./tree-sealer.ts";
import type { Uploader } from "./uploader.ts";
import {
  type ChunksSealed,
  type FilesDone,
  type LargeDone,
  type SealedPrime,
  type Signature,
  runMaxBytes,
} from "./worker-messages.ts";

const RUN_MAX_FILES_COUNT = 1024;
const RUN_ENDS_ONE_IN = 512;
/** Jobs that may wait for a worker before the scan waits for them. */
const WAITING_JOBS_COUNT = 2;

export interface FileToRead {
  readonly name: ByteString;
  readonly descriptor: number;
  readonly sizeBytes: number;
  readonly signature: Signature;
  readonly sparse: boolean;
}

export type ContentResult =
  | {
      readonly state: "read";
      readonly sizeBytes: number;
      readonly content: Content;
      readonly extents?: readonly DataExtent[];
      /** The file's statx record when it is no longer what the scan saw. */
      readonly restat?: Uint8Array;
      readonly changed: boolean;
    }
  | { readonly state: "failed"; readonly code: string; readonly message: string };

interface RunFile extends FileToRead {
  readonly onDone: (result: ContentResult) => void;
}

export interface ContentJobsComponents {
  readonly pool: SealPool;
  readonly index: ContentIndex;
  readonly uploader: Uploader;
  readonly writes: DeferredWrites;
  readonly trees: TreeSealer;
}

export class ContentJobs {
  private readonly components: ContentJobsComponents;
  private readonly signal: AbortSignal;
  private readonly runMaxFilesCount: number;
  private run: RunFile[] = [];
  private runBytes = 0;
  private waiters: (() => void)[] = [];
  /** Files that were submitted and are not done. */
  private pendingCount = 0;
  readBytes = 0;

  constructor(components: ContentJobsComponents, init: { signal: AbortSignal }) {
    this.components = components;
    this.signal = init.signal;
    // Runs are open while they are gathered, wait in line, and are with a worker; the rest is for everything else.
    const runsCount = 2 + WAITING_JOBS_COUNT + components.pool.workersCount;
    this.runMaxFilesCount = Math.min(RUN_MAX_FILES_COUNT, Math.floor(openFilesLimit() / (2 * runsCount)));
    this.signal.addEventListener("abort", () => this.wake(), { once: true });
  }

  /** Takes over the descriptor. `deliver` is called once, later. */
  submit(file: FileToRead, deliver: (result: ContentResult) => void): void {
    this.pendingCount++;
    const onDone = (result: ContentResult): void => {
      this.pendingCount--;
      deliver(result);
    };
    if (file.sparse || file.sizeBytes > limits.smallFileBytes) return this.submitLarge(file, onDone);
    if (this.runBytes + file.sizeBytes > runMaxBytes) this.flush();
    this.run.push({ ...file, onDone });
    this.runBytes += file.sizeBytes;
    if (this.run.length >= this.runMaxFilesCount || endsRun(file)) this.flush();
  }

  /** Resolves when the scan may go on. */
  async room(): Promise<void> {
    while (this.isBusy && !this.signal.aborted) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  /**
   * Resolves when more may be done than before; with false when nothing is left to wait for. A run that is being gathered is
   * sent only when it alone is left: where runs end should not hang on how fast things go.
   */
  async progress(): Promise<boolean> {
    if (this.pendingCount === 0 || this.signal.aborted) return false;
    if (this.pendingCount === this.run.length) this.flush();
    await new Promise<void>((resolve) => this.waiters.push(resolve));
    return true;
  }

  get isBusy(): boolean {
    return this.components.pool.waitingCount > WAITING_JOBS_COUNT;
  }

  /** Sends the run that is being gathered, as it is. */
  flush(): void {
    const run = this.run;
    if (run.length === 0) return;
    this.run = [];
    this.runBytes = 0;
    let found: (ContentSlice | undefined)[] = [];
    let asked: Uint8Array = new Uint8Array();
    this.components.pool.submitFiles(
      {
        descriptors: run.map((file) => file.descriptor),
        sizesBytes: run.map((file) => file.sizeBytes),
        signatures: run.map((file) => file.signature),
      },
      {
        onAsk: async (hashes) => {
          asked = hashes;
          found = await this.answer(hashes);
          return Uint8Array.from(found, (slice) => (slice ? 1 : 0));
        },
        onDone: (done) => this.finishRun(run, done, found, asked),
        onFailed: (failure) => this.finish(() => run.forEach((file) => file.onDone({ state: "failed", ...failure }))),
      },
    );
  }

  /** Closes what was gathered and not handed to a worker: nothing is left when the scan came to its end. */
  [Symbol.dispose](): void {
    for (const { descriptor } of this.run.splice(0)) closeDescriptor(descriptor);
  }

  private async answer(hashes: Uint8Array): Promise<(ContentSlice | undefined)[]> {
    const found = await this.components.index.find(hashes);
    await this.components.uploader.room();
    return found;
  }

  private finish(deliver: () => void): void {
    deliver();
    this.wake();
    this.components.writes.release(this.components.uploader.acknowledged);
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resume of waiters) resume();
  }

  private upload(primes: readonly SealedPrime[]): number {
    let last = 0;
    for (const { reference, stored } of primes) last = this.components.uploader.add({ id: reference.id, stored });
    return last;
  }

  /** Notes that a content was sealed, to be remembered once the prime with the number `prime` is durable. */
  private note(prime: number, asked: Uint8Array, index: number, slice: ContentSlice): void {
    const contentHash = asked.slice(index * CONTENT_HASH_BYTES, (index + 1) * CONTENT_HASH_BYTES);
    this.components.writes.add(prime, [this.components.index.note(contentHash, slice)]);
  }

  private finishRun(
    run: readonly RunFile[],
    done: FilesDone,
    found: readonly (ContentSlice | undefined)[],
    asked: Uint8Array,
  ): void {
    const last = this.upload(done.primes);
    this.finish(() =>
      done.outcomes.forEach((outcome, index) => {
        const file = run[index]!;
        if (outcome.state === "failed") return file.onDone({ state: "failed", ...outcome.failure! });
        if (outcome.state === "grown") return this.submitGrown(file, Buffer.from(outcome.restat!));
        this.readBytes += outcome.lengthBytes;
        let slice = found[outcome.hashIndex];
        if (outcome.state === "sealed") {
          const prime = done.primes[outcome.primeIndex]!.reference;
          slice = { prime, offsetBytes: outcome.offsetBytes, lengthBytes: outcome.lengthBytes };
          this.note(last, asked, outcome.hashIndex, slice);
        }
        const slices = outcome.lengthBytes === 0 ? [] : [slice!];
        const { restat, changed } = outcome;
        file.onDone({ state: "read", sizeBytes: outcome.lengthBytes, content: { slices }, restat, changed });
      }),
    );
  }

  /** A file that is not small any more; the worker left it open. */
  private submitGrown(file: RunFile, restat: Buffer): void {
    const signature = Buffer.alloc(CHANGE_SIGNATURE_BYTES);
    writeChangeSignature(restat, 0, signature, 0);
    this.submitLarge({ ...file, signature, sizeBytes: statSizeBytes(restat) }, (result) =>
      file.onDone(result.state === "read" ? { ...result, restat: result.restat ?? restat } : result),
    );
  }

  private submitLarge(file: FileToRead, onDone: (result: ContentResult) => void): void {
    const { pool } = this.components;
    if (file.sparse || !isStretched(file.sizeBytes)) this.submitWhole(file, onDone);
    else this.submitStretched(file, onDone).catch((error: unknown) => pool.fail(error));
  }

  private submitWhole(file: FileToRead, onDone: (result: ContentResult) => void): void {
    let attempt = 0;
    const slices: ContentSlice[] = [];
    const { onAsk, onChunks } = this.collect(slices);
    this.components.pool.submitLarge(
      { descriptor: file.descriptor, sizeBytes: file.sizeBytes, signature: file.signature, sparse: file.sparse },
      {
        onAsk,
        onChunks: (message) => {
          if (message.attempt !== attempt) slices.length = 0;
          attempt = message.attempt;
          onChunks!(message);
        },
        onDone: (done) => this.finish(() => onDone(this.finishLarge(done, attempt === done.attempt ? slices : []))),
        onFailed: (failure) => this.finish(() => onDone({ state: "failed", ...failure })),
      },
    );
  }

  /** Several workers share the file; one that changes meanwhile is cut again by one alone, which knows what to do then. */
  private async submitStretched(file: FileToRead, onDone: (result: ContentResult) => void): Promise<void> {
    const { pool, trees } = this.components;
    const components = {
      submit: pool.submitStretch.bind(pool),
      collect: (slices: ContentSlice[]) => this.collect(slices),
    };
    let slices: ContentSlice[] | undefined;
    try {
      slices = await cutStretches(components, file);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      closeDescriptor(file.descriptor);
      return this.finish(() => onDone({ state: "failed", code, message }));
    }
    if (!slices) return this.submitWhole(file, onDone);
    closeDescriptor(file.descriptor);
    const content = trees.sealReferences(slices);
    this.finish(() => onDone({ state: "read", sizeBytes: file.sizeBytes, content, changed: false }));
  }

  /** Handlers that append the chunks of a job to `slices`. */
  private collect(slices: ContentSlice[]): StretchHandlers {
    let found: (ContentSlice | undefined)[] = [];
    let asked: Uint8Array = new Uint8Array();
    return {
      onAsk: async (hashes) => {
        asked = hashes;
        found = await this.answer(hashes);
        return Uint8Array.from(found, (slice) => (slice ? 1 : 0));
      },
      onChunks: (message) => this.addChunks(message, slices, found, asked),
    };
  }

  private addChunks(
    message: ChunksSealed,
    slices: ContentSlice[],
    found: readonly (ContentSlice | undefined)[],
    asked: Uint8Array,
  ): void {
    const last = this.upload(message.primes);
    message.parts.forEach((part, index) => {
      const prime = part < 0 ? message.primes[-1 - part]!.reference : undefined;
      const slice = prime ? { prime, offsetBytes: 0, lengthBytes: prime.lengthBytes } : found[part]!;
      if (prime) this.note(last, asked, index, slice);
      this.readBytes += slice.lengthBytes;
      slices.push(slice);
    });
  }

  private finishLarge(done: LargeDone, slices: readonly ContentSlice[]): ContentResult {
    const { sizeBytes, extents, restat, changed } = done;
    return {
      state: "read",
      sizeBytes,
      content: this.components.trees.sealReferences(slices),
      extents,
      restat,
      changed,
    };
  }
}

/** FNV-1a over the name and the size: cheap, and the same on every machine. */
function endsRun(file: FileToRead): boolean {
  let hash = 0x811c9dc5 ^ file.sizeBytes;
  for (let i = 0; i < file.name.length; i++) hash = Math.imul(hash ^ file.name.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % RUN_ENDS_ONE_IN === 0;
}
