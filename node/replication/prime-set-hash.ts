import { createHash, hash as hashOnce } from "node:crypto";
import type { PrimeId } from "#protocol/ids.ts";

const AT_ONCE_COUNT = 4096;

/** SHA-256 over ascending ids, 64 hex digits: docs/specs/replication.md, Sets. */
export function hashOfSet(ids: readonly PrimeId[]): string {
  // Of a small set the call is most of what it costs.
  if (ids.length <= AT_ONCE_COUNT) return hashOnce("sha256", Buffer.from(ids.join(""), "hex"));
  const hash = createHash("sha256");
  for (let at = 0; at < ids.length; at += AT_ONCE_COUNT) hash.update(ids.slice(at, at + AT_ONCE_COUNT).join(""), "hex");
  return hash.digest("hex");
}
