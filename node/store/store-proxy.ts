/** A `PrimeStore` that passes its calls to one in a worker thread. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SiteId } from "#protocol/ids.ts";
import { giveBlock, isBlock, takeSpares } from "#protocol/spare-blocks.ts";
import { keptIdPages, lostIdPages, sentIdPages } from "./kept-reader.ts";
import type {
  CheckInit,
  CheckReport,
  CollectInit,
  CollectReport,
  CompactionReport,
  Fact,
  FactCause,
  FactKind,
  KeptTotal,
  SliceTotal,
  PrimeStore,
  ScrubInit,
  ScrubStep,
  SpaceReport,
  StoreStats,
} from "./prime-store.ts";
import type { StoreEvent } from "./record-log.ts";
import {
  decodeError,
  type FromWorker,
  type StoreArguments,
  type StoreMethod,
  type StoreResult,
  type StoreWorkerData,
  toBuffer,
  type ToWorker,
} from "./store-messages.ts";

export interface StoreProxyInit extends StoreWorkerData {
  readonly onEvent?: (event: StoreEvent) => void;
  /** The thread ended without being asked to: every call fails with `store-failed` from now on. */
  readonly onFailure?: (error: CostorError) => void;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress?: CheckInit["onProgress"];
}

export class StoreProxy implements PrimeStore {
  readonly #worker: Worker;
  readonly #init: StoreProxyInit;
  readonly #pending = new Map<number, Pending>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended: Promise<unknown>;
  #generation = "";
  #lastCall = 0;
  #failure: CostorError | undefined;
  #isClosing = false;

  private constructor(worker: Worker, init: StoreProxyInit) {
    this.#worker = worker;
    this.#init = init;
    this.#ended = once(worker, "exit").catch(() => {});
    // Rejected for nobody when the thread ends after opening.
    this.#opened.promise.catch(() => {});
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", () => this.#fail(undefined));
  }

  /** Throws `store-locked`, `store-full`, `store-failed`. */
  static async open(init: StoreProxyInit): Promise<StoreProxy> {
    const { directory, segmentBytes, reserveFileBytes } = init;
    const workerData: StoreWorkerData = { directory, segmentBytes, reserveFileBytes };
    const worker = new Worker(new URL("./store-worker.ts", import.meta.url), { workerData, name: "store" });
    const proxy = new StoreProxy(worker, init);
    try {
      await proxy.#opened.promise;
      return proxy;
    } catch (error) {
      proxy.#isClosing = true;
      await worker.terminate();
      throw error;
    }
  }

  get generation(): string {
    return this.#generation;
  }

  async put(sender: AgentId, primes: readonly { readonly id: PrimeId; readonly stored: Uint8Array }[]): Promise<void> {
    await this.#call("put", [sender, primes.map(({ id, stored }) => ({ id, stored }))]);
  }

  putBatch(sender: AgentId, batch: Uint8Array): Promise<{ storedCount: number }> {
    return this.#call("putBatch", [sender, batch], memoryOf(batch));
  }

  putFor(site: SiteId, batch: Uint8Array): Promise<{ storedCount: number; storedBytes: number }> {
    return this.#call("putFor", [site, batch], memoryOf(batch));
  }

  keep(site: SiteId, ids: readonly PrimeId[]): Promise<void> {
    return this.#call("keep", [site, ids]);
  }

  release(site: SiteId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    return this.#call("release", [site, ids], [], signal);
  }

  collect(site: SiteId, ids: readonly PrimeId[], init: CollectInit): Promise<CollectReport> {
    return this.#call("collect", [site, ids, init]);
  }

  compact(signal?: AbortSignal): Promise<SpaceReport> {
    return this.#call("compact", [], [], signal);
  }

  sent(): AsyncGenerator<PrimeId[]> {
    return sentIdPages((after) => this.#call("sentPage", [after]));
  }

  kept(site: SiteId, prefix = ""): AsyncGenerator<PrimeId[]> {
    const keptPage = (...args: StoreArguments<"keptPage">) => this.#call("keptPage", args);
    return keptIdPages(keptPage, site, prefix);
  }

  hasKept(site: SiteId, ids: readonly PrimeId[]): Promise<boolean[]> {
    return this.#call("hasKept", [site, ids]);
  }

  keptTotals(): Promise<KeptTotal[]> {
    return this.#call("keptTotals", []);
  }

  keptSlices(site: SiteId): Promise<SliceTotal[]> {
    return this.#call("keptSlices", [site]);
  }

  lostOf(site: SiteId): AsyncGenerator<PrimeId[]> {
    return lostIdPages((...args: StoreArguments<"lostPage">) => this.#call("lostPage", args), site);
  }

  claim(sender: AgentId, ids: readonly PrimeId[]): Promise<void> {
    return this.#call("claim", [sender, ids]);
  }

  has(ids: readonly PrimeId[]): Promise<boolean[]> {
    return this.#call("has", [ids]);
  }

  hasSent(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    return this.#call("hasSent", [sender, ids]);
  }

  hasClaimed(sender: AgentId, ids: readonly PrimeId[]): Promise<boolean[]> {
    return this.#call("hasClaimed", [sender, ids]);
  }

  async get(id: PrimeId): Promise<Buffer> {
    return toBuffer(await this.#call("get", [id]));
  }

  async getMany(ids: readonly PrimeId[]): Promise<Buffer[]> {
    return (await this.#call("getMany", [ids], [], undefined, undefined, takeSpares())).map(toBuffer);
  }

  appendFacts(facts: readonly Fact[], cause?: FactCause): Promise<void> {
    return this.#call("appendFacts", [facts, cause]);
  }

  async fact(kind: FactKind, key: string): Promise<Buffer | undefined> {
    const value = await this.#call("fact", [kind, key]);
    return value === undefined ? undefined : toBuffer(value);
  }

  async *facts(kind: FactKind, prefix = ""): AsyncGenerator<{ key: string; value: Buffer }> {
    let after: Uint8Array | undefined;
    for (;;) {
      const page = await this.#call("factPage", [kind, prefix, after]);
      if (page.length === 0) return;
      for (const { key, value } of page) yield { key: toBuffer(key).toString("utf8"), value: toBuffer(value) };
      after = page.at(-1)!.key;
    }
  }

  closedEpoch(): Promise<number> {
    return this.#call("closedEpoch", []);
  }

  markClosed(marks: readonly string[], epoch?: number): Promise<void> {
    return this.#call("markClosed", [marks, epoch]);
  }

  areClosed(marks: readonly string[]): Promise<boolean[]> {
    return this.#call("areClosed", [marks]);
  }

  check(init: CheckInit = {}): Promise<CheckReport> {
    const { signal, onProgress, readData } = init;
    const args = [{ readData, wantsProgress: onProgress !== undefined }] as unknown as StoreArguments<"check">;
    return this.#call("check", args, [], signal, onProgress);
  }

  scrub(init: ScrubInit): Promise<ScrubStep> {
    return this.#call("scrub", [init]);
  }

  verifyIndex(): Promise<boolean> {
    return this.#call("verifyIndex", []);
  }

  rebuildIndex(): Promise<void> {
    return this.#call("rebuildIndex", []);
  }

  stats(): Promise<StoreStats> {
    return this.#call("stats", []);
  }

  remove(ids: readonly PrimeId[], signal?: AbortSignal): Promise<CompactionReport> {
    return this.#call("remove", [ids], [], signal);
  }

  dump(): Promise<string[]> {
    return this.#call("dump", []);
  }

  whenVerified(): Promise<void> {
    return this.#call("whenVerified", []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      if (this.#failure === undefined) this.#say({ type: "close" });
    }
    await this.#ended;
  }

  #call<Method extends StoreMethod>(
    method: Method,
    args: StoreArguments<Method>,
    transfer: ArrayBuffer[] = [],
    signal?: AbortSignal,
    onProgress?: CheckInit["onProgress"],
    spares: readonly ArrayBuffer[] = [],
  ): Promise<StoreResult<Method>> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      if (this.#failure !== undefined) return reject(this.#failure);
      if (this.#isClosing) return reject(new CostorError("store-failed", "the store is closed"));
      const call = ++this.#lastCall;
      const onAbort = () => this.#say({ type: "abort", call });
      signal?.addEventListener("abort", onAbort, { once: true });
      const end = () => signal?.removeEventListener("abort", onAbort);
      this.#pending.set(call, {
        resolve: (result) => (end(), resolve(result as StoreResult<Method>)),
        reject: (error) => (end(), reject(signal?.aborted ? (signal.reason as Error) : error)),
        onProgress,
      });
      this.#say({ type: "call", call, method, args, spares }, [...transfer, ...spares]);
    });
  }

  #say(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    if (message.type === "opened") {
      this.#generation = message.generation;
      this.#opened.resolve();
    } else if (message.type === "not-opened") this.#opened.reject(decodeError(message.error));
    else if (message.type === "event") this.#init.onEvent?.(message.event);
    else if (message.type === "progress") this.#pending.get(message.call)?.onProgress?.(message.progress);
    else if (message.type === "result" || message.type === "error") {
      this.#generation = message.generation;
      if (message.type === "result") for (const spare of message.spares) giveBlock(new Uint8Array(spare));
      const pending = this.#pending.get(message.call);
      this.#pending.delete(message.call);
      if (message.type === "result") pending?.resolve(message.result);
      else pending?.reject(decodeError(message.error));
    }
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    const text = cause === undefined ? "" : `: ${(cause as Error).message}`;
    this.#failure = new CostorError(
      "store-failed",
      this.#isClosing ? "the store is closed" : `the store's thread ended${text}`,
      { cause },
    );
    this.#opened.reject(this.#failure);
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
    if (!this.#isClosing) this.#init.onFailure?.(this.#failure);
  }
}

/** What of a batch can change threads without a copy. Before it there may be the byte that says what its frame is. */
function memoryOf(batch: Uint8Array): ArrayBuffer[] {
  const { buffer, byteLength } = batch;
  return buffer instanceof ArrayBuffer && (isBlock(batch) || buffer.byteLength - byteLength <= 1) ? [buffer] : [];
}
