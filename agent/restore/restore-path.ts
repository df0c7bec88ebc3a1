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

/** Whether it lies in one of the `roots`, each its names from the restore's root down. */
export function isInRoots(path: RestorePath | undefined, roots: readonly (readonly ByteString[])[]): boolean {
  const names = namesOf(path);
  return roots.some((root) => root.length <= names.length && root.every((name, index) => names[index] === name));
}

/** The path as the snapshot has it: absolute. */
export const absolutePath = (path: RestorePath | undefined): ByteString => `/${namesOf(path).join("/")}` as ByteString;
