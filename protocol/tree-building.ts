/**
 * Where trees are cut into pages. Cuts depend on keyed hashes of the entries, so that a change moves only the pages
 * near it and sizes tell nothing to those without the scope's secret. Spec: docs/specs/trees.md.
 */
import { createHmac } from "node:crypto";
import type { ByteString } from "./byte-string.ts";
import { limits } from "./limits.ts";
import type { Scope } from "./scope.ts";
import type { ContentSlice } from "./tree.ts";

/** A page may end once it weighs this much … */
const PAGE_MIN_BYTES = 128 * 1024;
/** … where one name in so many says so … */
const PAGE_CUT_ONE_IN = 128;
/** … and ends once it weighs this much, which leaves room for the last object and for the page's tables. */
const PAGE_MAX_BYTES = 512 * 1024;
/** A reference page ends where one key in so many says so. */
const REFERENCES_CUT_ONE_IN = 1024;

/** Whether a page of a wide directory that weighs `pageBytes`, `name` included, ends after `name`. */
export function endsPage(scope: Scope, name: ByteString, pageBytes: number): boolean {
  if (pageBytes < PAGE_MIN_BYTES) return false;
  if (pageBytes >= PAGE_MAX_BYTES) return true;
  const digest = createHmac("sha256", scope.content).update("page").update(name, "latin1").digest();
  return digest.readUInt32BE(0) % PAGE_CUT_ONE_IN === 0;
}

/** Whether a page of a reference list of `count` slices ends after `slice`: its prime's key is the keyed hash. */
export function endsReferencePage(slice: ContentSlice, count: number): boolean {
  if (count >= limits.referencePageCount) return true;
  return (slice.prime.key[0]! | (slice.prime.key[1]! << 8)) % REFERENCES_CUT_ONE_IN === 0;
}
