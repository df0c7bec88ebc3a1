/** Cuts one file by content and seals its chunks; holds one window of it. Spec: docs/specs/chunking.md. */
import { readSync } from "node:fs";
import { contentHash } from "#protocol/bundling.ts";
import { cutChunk } from "#protocol/chunking.ts";
import { limits } from "#protocol/limits.ts";
import type { Scope } from "#protocol/scope.ts";
import { sealPrime } from "#protocol/sealing.ts";
import type { DataExtent } from "#protocol/tree.ts";
import { closeDescriptor } from "#agent/files/directory.ts";
import { findDataExtents } from "#agent/files/holes.ts";
import { statSizeBytes } from "#agent/files/stat.ts";
import { restatIfChanged } from "./read-stability.ts";
import type { ChunksSealed, LargeDone, LargeJob, SealedPrime } from "./worker-messages.ts";

export interface LargeFileComponents {
  readonly scope: Scope;
  ask(hashes: Uint8Array): Promise<Uint8Array>;
  post(message: ChunksSealed): void;
}

const HASH_BYTES = 16;
/** A maximal chunk and half of one: whatever is left of one window, the next read completes at least a chunk. */
const WINDOW_BYTES = 1.5 * limits.chunkMaxBytes;
const READ_TRIES_COUNT = 2;

/** Made when the thread cuts its first file; it has one job at a time. */
let threadWindow: Buffer | undefined;

/** Reads the data ranges of a file one behind the other. */
class ExtentReader {
  private readonly descriptor: number;
  private readonly extents: readonly DataExtent[];
  private extent = 0;
  private offsetBytes = 0;

  constructor(descriptor: number, extents: readonly DataExtent[]) {
    this.descriptor = descriptor;
    this.extents = extents;
  }

  /** Fills target[at..end) as far as there is data; how many bytes came. A file that became shorter just ends. */
  fill(target: Buffer, at: number, end: number): number {
    let filled = 0;
    while (at + filled < end && this.extent < this.extents.length) {
      const { offsetBytes, lengthBytes } = this.extents[this.extent]!;
      const wanted = Math.min(end - at - filled, lengthBytes - this.offsetBytes);
      const read = wanted === 0 ? 0 : readSync(this.descriptor, target, at + filled, wanted, offsetBytes + this.offsetBytes);
      filled += read;
      this.offsetBytes += read;
      if (read === 0 || this.offsetBytes === lengthBytes) {
        this.extent++;
        this.offsetBytes = 0;
      }
    }
    return filled;
  }
}

export async function cutLargeFile(job: LargeJob, components: LargeFileComponents): Promise<LargeDone> {
  const window = (threadWindow ??= Buffer.allocUnsafeSlow(WINDOW_BYTES));
  try {
    let sizeBytes = job.sizeBytes;
    let restat: Buffer | undefined;
    for (let attempt = 1; ; attempt++) {
      const extents = job.sparse ? findDataExtents(job.descriptor, sizeBytes) : undefined;
      const ranges = extents ?? [{ offsetBytes: 0, lengthBytes: sizeBytes }];
      const heldBytes = await cutAttempt(job, attempt, ranges, window, components);
      const expectedBytes = ranges.reduce((sum, range) => sum + range.lengthBytes, 0);
      const now = restatIfChanged(job.descriptor, job.signature, restat);
      restat = now ?? restat;
      const stable = !now && heldBytes === expectedBytes;
      if (stable || attempt === READ_TRIES_COUNT) {
        const whole = heldBytes === expectedBytes;
        return {
          type: "large-done",
          job: job.job,
          attempt,
          sizeBytes: whole ? sizeBytes : heldBytes,
          extents: whole ? extents : undefined,
          restat,
          changed: !stable,
        };
      }
      sizeBytes = now ? statSizeBytes(now) : heldBytes;
    }
  } finally {
    closeDescriptor(job.descriptor);
  }
}

/** Cuts, asks and seals window by window; the bytes that were read. */
async function cutAttempt(
  job: LargeJob,
  attempt: number,
  ranges: readonly DataExtent[],
  window: Buffer,
  components: LargeFileComponents,
): Promise<number> {
  const reader = new ExtentReader(job.descriptor, ranges);
  let held = 0;
  let total = 0;
  for (let isLast = false; !isLast; ) {
    const filled = reader.fill(window, held, WINDOW_BYTES);
    isLast = held + filled < WINDOW_BYTES;
    held += filled;
    total += filled;
    const ends = cutWindow(window, held, isLast, components.scope);
    if (ends.length === 0) continue;
    const message = await sealWindow(job, attempt, window, ends, components);
    components.post(message);
    const end = ends.at(-1)!;
    window.copyWithin(0, end, held);
    held -= end;
  }
  return total;
}

/** Where the chunks in window[0..held) end. */
function cutWindow(window: Buffer, held: number, isLast: boolean, scope: Scope): number[] {
  const ends: number[] = [];
  for (let start = 0; start < held; ) {
    const length = cutChunk(window, start, held, isLast, scope);
    if (length === 0) break;
    start += length;
    ends.push(start);
  }
  return ends;
}

async function sealWindow(
  job: LargeJob,
  attempt: number,
  window: Buffer,
  ends: readonly number[],
  components: LargeFileComponents,
): Promise<ChunksSealed> {
  const hashes = Buffer.alloc(ends.length * HASH_BYTES);
  const chunk = (index: number): Buffer => window.subarray(index === 0 ? 0 : ends[index - 1], ends[index]);
  ends.forEach((_, index) => contentHash(components.scope, chunk(index)).copy(hashes, index * HASH_BYTES));
  const known = await components.ask(hashes);
  const primes: SealedPrime[] = [];
  const parts = ends.map((_, index) => {
    if (known[index] === 1) return index;
    primes.push(sealPrime(chunk(index), "content", components.scope));
    return -primes.length;
  });
  return { type: "chunks", job: job.job, attempt, parts, primes };
}
