/**
 * A worker thread: reads files, cuts or bundles them, and seals what is not known, one job at a time.
 * Who calls: agent/backup/seal-pool.ts, by worker-messages.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { serveTasks } from "#agent/worker-ending.ts";
import { CostorError, assertInvariant } from "#protocol/errors.ts";
import { deriveScope } from "#protocol/scope.ts";
import { contentKeyFrom } from "./content-hash.ts";
import { cutLargeFile } from "./large-file.ts";
import { bundleFiles } from "./small-files.ts";
import { cutStretch } from "./stretch.ts";
import type { FromWorker, JobFailed, SealSecrets, ToWorker } from "./worker-messages.ts";

const port = parentPort;
assertInvariant(port !== null, "the seal worker runs as a worker thread");
const secrets = workerData as SealSecrets;
const scope = deriveScope(secrets.scopeSecret);
const contentKey = contentKeyFrom(secrets.contentKey);

/** Jobs that wait for an answer. */
const waiting = new Map<number, PromiseWithResolvers<Uint8Array>>();

function post(message: FromWorker): void {
  const primes = "primes" in message ? message.primes : [];
  port!.postMessage(
    message,
    primes.map((prime) => prime.stored.buffer as ArrayBuffer),
  );
}

/** Asks the main thread which hashes are known; the answer comes when there is room for more primes. */
function ask(job: number, hashes: Uint8Array): Promise<Uint8Array> {
  const answer = Promise.withResolvers<Uint8Array>();
  waiting.set(job, answer);
  post({ type: "ask", job, hashes });
  return answer.promise;
}

function failJob(job: number, error: unknown): JobFailed {
  const { code, message } = error as { code?: string; message?: string };
  return { type: "failed", job, code: code ?? "internal", message: message ?? String(error) };
}

serveTasks(port, (message: ToWorker) => {
  if (message.type === "answer") {
    const answer = waiting.get(message.job);
    waiting.delete(message.job);
    answer?.resolve(message.known);
  } else if (message.type === "files") {
    bundleFiles(message, { scope, contentKey, ask: (hashes) => ask(message.job, hashes) }).then(
      post,
      (error: unknown) => post(failJob(message.job, error)),
    );
  } else if (message.type === "stretch") {
    cutStretch(message, { scope, contentKey, post, ask: (hashes) => ask(message.job, hashes) }).then(
      post,
      (error: unknown) => post(failJob(message.job, error)),
    );
  } else {
    cutLargeFile(message, { scope, contentKey, post, ask: (hashes) => ask(message.job, hashes) }).then(
      post,
      (error: unknown) => post(failJob(message.job, error)),
    );
  }
});

/** No answer comes any more: a job that waits for one gives up, and so closes its file. */
port.on("close", () => {
  for (const answer of waiting.values()) answer.reject(new CostorError("interrupted", "the backup has ended"));
});
