/** A worker thread of a restore: opens primes and writes what they hold. Who calls: place-pool.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant } from "#protocol/errors.ts";
import { freeBuffer } from "#protocol/freed-buffer.ts";
import { openPrime } from "#protocol/sealing.ts";
import { Directory } from "#agent/files/directory.ts";
import { NewFile, writeAll } from "#agent/files/new-file.ts";
import { serveTasks } from "#agent/worker-ending.ts";
import { checkContent } from "./content-check.ts";
import {
  type FileOutcome,
  type PlaceAnswer,
  type PlaceSettings,
  type PlaceTask,
  type WholeFile,
  describeFailure,
} from "./place-messages.ts";

const port = parentPort;
assertInvariant(port !== null, "the place worker runs as a worker thread");
const { policy, verify } = workerData as PlaceSettings;

function placeFile(file: WholeFile, plain: Buffer): FileOutcome {
  const notes: { kind: string; message: string }[] = [];
  const directory = new Directory(file.directoryFd);
  const content = plain.subarray(file.offsetBytes, file.offsetBytes + file.lengthBytes);
  try {
    using made = new NewFile(directory);
    made.write(content, 0);
    if (verify) checkContent(made.fd, content, 0);
    const identity = made.finish(file.name, file.lengthBytes, file.attributes, policy, file.replacing, (note) =>
      notes.push({ kind: note.kind, message: note.error?.message ?? "not allowed" }),
    );
    return { identity, notes };
  } catch (error) {
    return { failure: describeFailure(error), notes };
  }
}

function place(task: PlaceTask): PlaceAnswer {
  let plain: Buffer;
  try {
    plain = openPrime(task.stored, task.reference, "content", task);
  } catch (error) {
    return { task: task.task, failure: describeFailure(error), files: [], writes: [] };
  }
  const files = task.files.map((file) => placeFile(file, plain));
  const writes = task.writes.map((write) => {
    const content = plain.subarray(write.offsetBytes, write.offsetBytes + write.lengthBytes);
    try {
      if (!write.isThere) writeAll(write.fd, content, write.fileOffsetBytes);
      if (verify || write.isThere) checkContent(write.fd, content, write.fileOffsetBytes);
      return {};
    } catch (error) {
      return { failure: describeFailure(error) };
    }
  });
  freeBuffer(plain);
  freeBuffer(task.stored);
  return { task: task.task, files, writes };
}

serveTasks(port, (task: PlaceTask) => port.postMessage(place(task)));
