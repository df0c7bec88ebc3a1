/** A path below a restore's root, linked to the one above it: a deep tree costs one name a level. */
import type { ByteString } from "#protocol/byte-string.ts";

export interface RestorePath {
  /** Undefined for a name in the root. */
  readonly parent: RestorePath | undefined;
  readonly name: ByteString;
}

/** The names from the root down. */
export function namesOf(path: RestorePath | undefined): ByteString[] {
  const names: ByteString[] = [];
  for (let at = path; at; at = at.parent) names.push(at.name);
  return names.reverse();
}

/** The path as the snapshot has it: absolute. */
export const absolutePath = (path: RestorePath | undefined): ByteString => `/${namesOf(path).join("/")}` as ByteString;
