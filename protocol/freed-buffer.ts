/**
 * Gives the memory of a large buffer back at once, where the engine would do so much later: it counts a buffer's few bytes on
 * its own heap, not the megabyte behind them, and one that has outlived two collections waits for a rare third kind.
 */

/** Freeing a smaller one costs more than it is worth. */
const LEAST_BYTES = 16 * 1024;

/**
 * Only for whoever alone knows the buffer's memory: every view of it is empty afterwards. Bytes that are still in a queue to be
 * sent would be lost. Does nothing for what may lie in the pool that Node cuts small buffers from.
 */
export function freeBuffer({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= LEAST_BYTES && buffer.byteLength !== Buffer.poolSize) (buffer as ArrayBuffer).transfer(0);
}
