import { crc32 } from "node:zlib";
import { BLOCK_BYTES, encryptBlocks } from "./block-prf.ts";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";

/** A bundle grows by this many bytes on average after it has its minimum. */
const MEAN_GROWTH_BYTES = limits.bundleAverageBytes - limits.bundleMinBytes;
/** Above this a bundle ends whatever its last file is, because the next small file could carry it past the maximum. */
const FORCED_END_BYTES = limits.bundleMaxBytes - limits.smallFileBytes;
const DRAW_RANGE = 2 ** 32;

/**
 * A number from 0 to 2³² − 1 for each content, by which {@link endsBundle} decides: AES-256 under the scope's bundling key
 * over CRC-32 and length of the content. Filter, then PRF, as with chunks: nobody without the scope can tell where bundles
 * end, and two machines with the same files end them at the same files.
 */
export function drawBundleEnds(scope: Scope, contents: readonly Uint8Array[]): number[] {
  const blocks = Buffer.alloc(contents.length * BLOCK_BYTES);
  contents.forEach((content, index) => {
    blocks.writeUInt32BE(crc32(content), index * BLOCK_BYTES);
    blocks.writeUInt32BE(content.length, index * BLOCK_BYTES + 4);
  });
  const drawn = encryptBlocks(scope.bundling, blocks);
  return contents.map((_, index) => drawn.readUInt32BE(index * BLOCK_BYTES));
}

/**
 * Whether a bundle ends behind the small file that `draw` was drawn for. The chance grows with the file's size: a bundle's
 * expected size does not depend on how small its files are. docs/specs/bundles.md
 *
 * @param bundleBytes of the bundle with this file
 */
export function endsBundle(draw: number, fileBytes: number, bundleBytes: number): boolean {
  if (bundleBytes < limits.bundleMinBytes) return false;
  if (bundleBytes > FORCED_END_BYTES) return true;
  return draw * MEAN_GROWTH_BYTES < fileBytes * DRAW_RANGE;
}
