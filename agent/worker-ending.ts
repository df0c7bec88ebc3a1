/**
 * Ends worker threads that call native code. `worker.terminate()` in the middle of a native module's loading, or of a
 * call that returns into a thread that stops, aborts the whole process (napi_throw fails there). So a thread is asked,
 * and ends by itself once it has loaded, and has done or reached an end of what it does.
 */
import { once } from "node:events";
import type { MessagePort, Worker } from "node:worker_threads";

/** What asks a thread to end: no task is null. */
const END = null;

/** Resolves when the thread has ended. What it still had to do is not done; answers to it are not heard. */
export async function endWorker(worker: Worker): Promise<void> {
  // A thread that has ended already has no id.
  if (worker.threadId === -1) return;
  const exit = once(worker, "exit").catch(() => {});
  worker.postMessage(END);
  await exit;
}

/** In the thread: calls `onTask` for each message until {@link endWorker} asks for the end. */
export function serveTasks<Task>(port: MessagePort, onTask: (task: Task) => void): void {
  port.on("message", (message: Task | typeof END) => {
    if (message === END) port.close();
    else onTask(message);
  });
}
