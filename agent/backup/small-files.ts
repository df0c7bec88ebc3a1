/** Lays a run of small files end to end into bundles. Spec: docs/specs/bundles.md. */
import type { KeyObject } from "node:crypto";
import { readSync } from "node:fs";
import { drawBundleEnds, endsBundle } from "#protocol/bundling.ts";
import { limits } from "#protocol/limits.ts";
import type { Scope } from "#protocol/scope.ts";
import { sealPrime } from "#protocol/sealing.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { isSystemCode } from "#agent/files/os-error.ts";
import { statSizeBytes } from "#agent/files/stat.ts";
import { CONTENT_HASH_BYTES, contentHashes } from "./content-hash.ts";
import { readStat, restatIfChanged } from "./read-stability.ts";
import { type FileOutcome, type FilesDone, type FilesJob, type SealedPrime, runMaxBytes } from "./worker-messages.ts";

export interface SmallFilesComponents {
  readonly scope: Scope;
  readonly contentKey: KeyObject;
  /** One byte a hash of 16: 1 when the content needs no sealing. */
  ask(hashes: Uint8Array): Promise<Uint8Array>;
}

/** A file that still changes after so many reads is kept as it was read last, and marked. */
const READ_TRIES_COUNT = 3;

/** The bundle being laid; bundling is synchronous, so that one serves the thread. */
const bundleBuffer = Buffer.allocUnsafeSlow(limits.bundleMaxBytes);

interface ReadFile {
  readonly state: "read" | "failed" | "grown";
  readonly at: number;
  readonly lengthBytes: number;
  readonly restat?: Buffer;
  readonly changed: boolean;
  readonly failure?: { code: string; message: string };
}

/**
 * Reads a file from its start, and one byte more than expected, which tells one that grew. What comes short is asked for
 * again: a file system may give less at a time.
 */
function readExpected(descriptor: number, target: Buffer, at: number, expectedBytes: number): number {
  let lengthBytes = 0;
  for (;;) {
    const read = readSync(descriptor, target, at + lengthBytes, expectedBytes + 1 - lengthBytes, lengthBytes);
    lengthBytes += read;
    if (read === 0 || lengthBytes >= expectedBytes) return lengthBytes;
  }
}

function readStable(descriptor: number, job: FilesJob, index: number, target: Buffer, at: number): ReadFile {
  let sizeBytes = job.sizesBytes[index]!;
  let restat: Buffer | undefined;
  for (let attempt = 1; ; attempt++) {
    if (sizeBytes > limits.smallFileBytes || at + sizeBytes + 1 > target.length) {
      return { state: "grown", at, lengthBytes: 0, restat: restat ?? readStat(descriptor), changed: false };
    }
    const lengthBytes = sizeBytes === 0 ? 0 : readExpected(descriptor, target, at, sizeBytes);
    const now = restatIfChanged(descriptor, job.signatures[index]!, restat);
    if (!now && lengthBytes === sizeBytes) return { state: "read", at, lengthBytes, restat, changed: false };
    restat = now ?? restat ?? readStat(descriptor);
    sizeBytes = now ? statSizeBytes(now) : lengthBytes;
    if (attempt === READ_TRIES_COUNT)
      return { state: "read", at, lengthBytes: Math.min(lengthBytes, limits.smallFileBytes), restat, changed: true };
  }
}

/** Reads every file of the run, one behind the other, and closes them. */
function readRun(job: FilesJob, target: Buffer): ReadFile[] {
  let at = 0;
  return job.descriptors.map((descriptor, index) => {
    let file: ReadFile;
    try {
      file = readStable(descriptor, job, index, target, at);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (!isSystemCode(code)) throw error;
      file = { state: "failed", at, lengthBytes: 0, changed: false, failure: { code, message } };
    }
    // One that grew goes on to another job, open.
    if (file.state !== "grown") closeDescriptor(descriptor);
    at += file.lengthBytes;
    return file;
  });
}

/** Room for a whole run; a thread has one job at a time. A file that grows past the slack is cut as a large one. */
const RUN_BUFFER_BYTES = runMaxBytes + limits.smallFileBytes + 1;
let threadBuffer: Buffer | undefined;

export async function bundleFiles(job: FilesJob, components: SmallFilesComponents): Promise<FilesDone> {
  const { scope, contentKey } = components;
  const target = (threadBuffer ??= Buffer.allocUnsafeSlow(RUN_BUFFER_BYTES));
  const files = readRun(job, target);
  const contents = files.map((file) => target.subarray(file.at, file.at + file.lengthBytes));
  const hashes = contentHashes(contentKey, contents);
  const closeGrown = (): void =>
    files.forEach(({ state }, index) => state === "grown" && closeDescriptor(job.descriptors[index]!));
  const known = await components.ask(hashes).catch((error: unknown) => {
    closeGrown();
    throw error;
  });
  return { type: "files-done", job: job.job, ...bundle(files, contents, { hashes, known }, scope) };
}

function bundle(
  files: readonly ReadFile[],
  contents: readonly Buffer[],
  { hashes, known }: { hashes: Buffer; known: Uint8Array },
  scope: Scope,
): Pick<FilesDone, "outcomes" | "primes"> {
  const primes: SealedPrime[] = [];
  const outcomes: FileOutcome[] = [];
  const draws = drawBundleEnds(scope, contents);
  const firstWithHash = new Map<string, number>();
  let pendingBytes = 0;
  const pending = bundleBuffer;

  const seal = (): void => {
    if (pendingBytes === 0) return;
    primes.push(sealPrime(pending.subarray(0, pendingBytes), "content", scope, limits.paddedMinBytes));
    pendingBytes = 0;
  };

  files.forEach((file, index) => {
    const common = {
      hashIndex: index,
      primeIndex: 0,
      offsetBytes: 0,
      lengthBytes: file.lengthBytes,
      restat: file.restat,
      changed: file.changed,
    };
    if (file.state !== "read") {
      outcomes.push({ ...common, state: file.state, failure: file.failure });
      return;
    }
    if (file.lengthBytes === 0 || known[index] === 1) {
      outcomes.push({ ...common, state: "known" });
      return;
    }
    const hash = hashes.subarray(index * CONTENT_HASH_BYTES, (index + 1) * CONTENT_HASH_BYTES);
    const twin = firstWithHash.get(hash.toString("latin1"));
    if (twin !== undefined) {
      const { primeIndex, offsetBytes } = outcomes[twin]!;
      outcomes.push({ ...common, state: "sealed", primeIndex, offsetBytes });
      return;
    }
    firstWithHash.set(hash.toString("latin1"), index);
    if (pendingBytes + file.lengthBytes > limits.bundleMaxBytes) seal();
    contents[index]!.copy(pending, pendingBytes);
    outcomes.push({ ...common, state: "sealed", primeIndex: primes.length, offsetBytes: pendingBytes });
    pendingBytes += file.lengthBytes;
    if (endsBundle(draws[index]!, file.lengthBytes, pendingBytes)) seal();
  });
  seal();
  return { outcomes, primes };
}
