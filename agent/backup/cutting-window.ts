/** What the cutting of whole files and of stretches has in common: one window of a file in memory, its cuts, and their sealing. */
import type { KeyObject } from "node:crypto";
import { readSync } from "node:fs";
import { cutChunk } from "#protocol/chunking.ts";
import { limits } from "#protocol/limits.ts";
import type { Scope } from "#protocol/scope.ts";
import { sealPrime } from "#protocol/sealing.ts";
import type { DataExtent } from "#protocol/tree.ts";
import { contentHashes } from "./content-hash.ts";
import type { ChunksSealed, SealedPrime } from "./worker-messages.ts";

export interface CuttingComponents {
  readonly scope: Scope;
  readonly contentKey: KeyObject;
  /** One byte a hash of 16: 1 when the content needs no sealing. */
  ask(hashes: Uint8Array): Promise<Uint8Array>;
  post(message: ChunksSealed): void;
}

/** A maximal chunk and half of one: whatever is left of one window, the next read completes at least a chunk. */
export const windowBytes = 1.5 * limits.chunkMaxBytes;

let made: Buffer | undefined;

/** The thread's window; it has one job at a time. */
export const threadWindow = (): Buffer => (made ??= Buffer.allocUnsafeSlow(windowBytes));

/** Reads the data ranges of a file one behind the other. */
export class ExtentReader {
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
      const read =
        wanted === 0 ? 0 : readSync(this.descriptor, target, at + filled, wanted, offsetBytes + this.offsetBytes);
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

/** Where the chunks in window[0..held) end. */
export function cutWindow(window: Buffer, held: number, isLast: boolean, scope: Scope): number[] {
  const ends: number[] = [];
  for (let start = 0; start < held;) {
    const length = cutChunk(window, start, held, isLast, scope);
    if (length === 0) break;
    start += length;
    ends.push(start);
  }
  return ends;
}

/** Asks which of these chunks are known, seals the others, and posts all of them. */
export async function sealChunks(
  job: number,
  attempt: number,
  chunks: readonly Buffer[],
  components: CuttingComponents,
): Promise<void> {
  if (chunks.length === 0) return;
  const known = await components.ask(contentHashes(components.contentKey, chunks));
  const primes: SealedPrime[] = [];
  const parts = chunks.map((chunk, index) => {
    if (known[index] === 1) return index;
    primes.push(sealPrime(chunk, "content", components.scope));
    return -primes.length;
  });
  components.post({ type: "chunks", job, attempt, parts, primes });
}
