/** Runs a `SegmentStore` in a worker thread, so that hashing and writing do not hold up the site's requests. */
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant } from "#protocol/errors.ts";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import { giveBlock } from "#protocol/spare-blocks.ts";
import type { CheckInit } from "./prime-store.ts";
import { SegmentStore } from "./segment-store.ts";
import {
  encodeError,
  type FromWorker,
  type StoreMethod,
  type StoreWorkerData,
  type ToWorker,
  transferOf,
} from "./store-messages.ts";

const port = parentPort;
assertInvariant(port !== null, "the store's worker runs in a worker thread");
const say = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

const aborts = new Map<number, AbortController>();

async function answer(store: SegmentStore, call: number, method: StoreMethod, args: readonly unknown[]): Promise<void> {
  const abort = new AbortController();
  aborts.set(call, abort);
  try {
    const action = store[method] as (...args: unknown[]) => Promise<unknown>;
    const result = await action.apply(store, [...withSignal(method, args, call, abort.signal)]);
    // The next batch may come in the memory of this one.
    const spares = method === "putFor" ? [(args[1] as Uint8Array<ArrayBuffer>).buffer] : [];
    const transfer = [...transferOf(method, result), ...spares];
    say({ type: "result", call, result, generation: store.generation, spares }, transfer);
  } catch (error) {
    say({ type: "error", call, error: encodeError(error), generation: store.generation });
  } finally {
    aborts.delete(call);
    if (method === "putBatch" || method === "putFor") freeBuffer(args[1] as Uint8Array);
  }
}

/** Signals and callbacks do not pass between threads: these stand for them. */
function withSignal(
  method: StoreMethod,
  args: readonly unknown[],
  call: number,
  signal: AbortSignal,
): readonly unknown[] {
  if (method === "remove") return [args[0], signal];
  if (method === "compact") return [signal];
  if (method === "release") return [args[0], args[1], signal];
  if (method !== "check") return args;
  const init = args[0] as Pick<CheckInit, "readData"> & { wantsProgress: boolean };
  if (!init.wantsProgress) return [{ readData: init.readData, signal }];
  let nextMs = 0;
  const onProgress: CheckInit["onProgress"] = (progress) => {
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + 100;
    say({ type: "progress", call, progress });
  };
  return [{ readData: init.readData, signal, onProgress }];
}

async function serve(): Promise<void> {
  let store: SegmentStore;
  try {
    store = await SegmentStore.open({
      ...(workerData as StoreWorkerData),
      onEvent: (event) => say({ type: "event", event }),
    });
  } catch (error) {
    say({ type: "not-opened", error: encodeError(error) });
    return;
  }
  port!.on("message", (message: ToWorker) => {
    if (message.type === "call") {
      for (const spare of message.spares) giveBlock(new Uint8Array(spare));
      void answer(store, message.call, message.method, message.args);
    } else if (message.type === "abort") aborts.get(message.call)?.abort();
    else {
      void store[Symbol.asyncDispose]().then(() => {
        say({ type: "closed" });
        port!.close();
      });
    }
  });
  say({ type: "opened", generation: store.generation });
}

await serve();
