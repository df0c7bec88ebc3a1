/**
 * Large blocks of memory that are used again. The system has to clear the pages of each fresh one, which costs as much as copying what goes
 * into it; and what comes and goes all the time is scattered over the allocator's pool. Each thread has spares of its own, and may hand them to another.
 */
import { freeBuffer } from "./freed-buffer.ts";

/** What is smaller comes from the allocator's pool, whose pages are used again anyway. */
const LEAST_BYTES = 128 * 1024;
/** Spares of one thread. */
const MOST_SPARE_BYTES = 24 * 1024 * 1024;
/** Spares that nobody has wanted for so long are given back. */
const IDLE_MS = 5_000;

let spares: ArrayBuffer[] = [];
let spareBytes = 0;
/** Of this thread, in use. */
const taken = new WeakSet<ArrayBufferLike>();
let idle: NodeJS.Timeout | undefined;

/** Memory that nobody else knows, with any bytes in it. */
export function takeBlock(lengthBytes: number): Buffer {
  if (lengthBytes < LEAST_BYTES) return Buffer.allocUnsafeSlow(lengthBytes);
  const fits = ({ byteLength }: ArrayBuffer): boolean => byteLength >= lengthBytes && byteLength <= 2 * lengthBytes;
  const best = spares.filter(fits).toSorted((a, b) => a.byteLength - b.byteLength)[0];
  if (best !== undefined) forget(best);
  const block = best ?? Buffer.allocUnsafeSlow(roundedBytes(lengthBytes)).buffer;
  taken.add(block);
  return Buffer.from(block, 0, lengthBytes);
}

/** Whether all of the memory behind the bytes is theirs, as a block of this thread. */
export const isBlock = ({ buffer }: Uint8Array): boolean => taken.has(buffer);

/** Only for whoever alone knows the memory: every view of it is empty afterwards. */
export function giveBlock(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer.byteLength < LEAST_BYTES || spareBytes + buffer.byteLength > MOST_SPARE_BYTES) return freeBuffer(bytes);
  const block = (buffer as ArrayBuffer).transfer();
  spares.push(block);
  spareBytes += block.byteLength;
  idle ??= setTimeout(dropSpares, IDLE_MS).unref();
  idle.refresh();
}

/** All spares of this thread, for another one. */
export function takeSpares(): ArrayBuffer[] {
  const all = spares;
  dropSpares();
  return all;
}

function dropSpares(): void {
  spares = [];
  spareBytes = 0;
}

function forget(spare: ArrayBuffer): void {
  spares.splice(spares.indexOf(spare), 1);
  spareBytes -= spare.byteLength;
}

/** At most a quarter more, so that blocks of nearly the same size can stand for each other. */
function roundedBytes(lengthBytes: number): number {
  const unitBytes = 2 ** (Math.floor(Math.log2(lengthBytes)) - 2);
  return Math.ceil(lengthBytes / unitBytes) * unitBytes;
}
