import { createHmac } from "node:crypto";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";

const HASH_BYTES = 16;
/** A bundle grows by this many bytes on average after it has its minimum. */
const MEAN_GROWTH_BYTES = limits.bundleAverageBytes - limits.bundleMinBytes;
/** Above this a bundle ends whatever its last file is, because the next small file could carry it past the maximum. */
const FORCED_END_BYTES = limits.bundleMaxBytes - limits.smallFileBytes;
const HASH_RANGE = 2 ** 32;

/** Keyed hash of a file's or a chunk's content, 16 bytes: HMAC-SHA-256, truncated. Nobody without the scope can test a guess. */
export function contentHash(scope: Scope, plain: Uint8Array): Buffer {
  return createHmac("sha256", scope.content).update(plain).digest().subarray(0, HASH_BYTES);
}

/**
 * Whether a bundle ends behind the small file whose content hash is `hash`. The hash is a PRF of the content, so two machines
 * with the same files end bundles at the same files. The chance grows with the file's size: a bundle's expected
 * size does not depend on how small its files are. docs/specs/bundles.md
 *
 * @param bundleBytes of the bundle with this file
 */
export function endsBundle(hash: Uint8Array, fileBytes: number, bundleBytes: number): boolean {
  if (bundleBytes < limits.bundleMinBytes) return false;
  if (bundleBytes > FORCED_END_BYTES) return true;
  const draw = ((hash[0]! << 24) | (hash[1]! << 16) | (hash[2]! << 8) | hash[3]!) >>> 0;
  return draw * MEAN_GROWTH_BYTES < fileBytes * HASH_RANGE;
}
