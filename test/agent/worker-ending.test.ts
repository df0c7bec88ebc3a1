/**
 * Threads that use native modules end without taking the process with them, at whatever moment they are asked.
 * Method: threads that load koffi are ended at moments spread over its loading; `terminate()` in its place aborts the
 * process in nearly every run of a few hundred.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { endWorker } from "#agent/worker-ending.ts";
import { count } from "#test/support/level.ts";
import { suite } from "#test/support/suite.ts";

const urlOf = (path: string): string => JSON.stringify(pathToFileURL(resolve(import.meta.dirname, "../..", path)).href);
const thread = (body: string): Worker =>
  new Worker(
    new URL(
      `data:text/javascript,${encodeURIComponent(`
        import { parentPort } from ${JSON.stringify("node:worker_threads")};
        parentPort.postMessage("started");
        const { serveTasks } = await import(${urlOf("agent/worker-ending.ts")});
        ${body}`)}`,
    ),
  );

const test = suite("ending of worker threads", { timeoutMs: 120_000 });

test("a thread that is still loading native code ends in order", async () => {
  const timesCount = count(40, 400);
  for (let time = 0; time < timesCount; time++) {
    const load = `process.getBuiltinModule("node:module").createRequire(${urlOf("package.json")})("koffi");`;
    const worker = thread(`${load} serveTasks(parentPort, () => {});`);
    await once(worker, "message");
    await delay((time / timesCount) * 40);
    await endWorker(worker);
    assert.equal(worker.threadId, -1);
  }
});

test("a thread ends with what it does, and is not heard any more", async () => {
  const worker = thread(
    `serveTasks(parentPort, (task) => { if (task === "wait") new Promise(() => {}); else parentPort.postMessage(task); });`,
  );
  await once(worker, "message");
  worker.postMessage("wait");
  worker.postMessage("echo");
  assert.deepEqual(await once(worker, "message"), ["echo"]);
  await endWorker(worker);
  await endWorker(worker);
  assert.equal(worker.threadId, -1);
});

test("a thread that has failed is ended already", async () => {
  const worker = thread(`serveTasks(parentPort, () => { throw new Error("planted"); });`);
  await once(worker, "message");
  worker.postMessage("task");
  await assert.rejects(once(worker, "exit"), /planted/);
  await endWorker(worker);
});

test.run();
