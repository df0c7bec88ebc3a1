/** What a restore does where something is already: a pure decision. */
import type { TreeObject } from "#protocol/tree.ts";
import type { Owner } from "./attributes.ts";
import type { FileStat } from "./stat.ts";

export type OverwriteMode = "never" | "if-changed" | "if-newer" | "always";

export const overwriteModes: readonly OverwriteMode[] = ["never", "if-changed", "if-newer", "always"];

export type OverwriteDecision =
  /** Nothing is there. */
  | "create"
  /** Make it beside and rename it over what is there. */
  | "replace"
  /** Remove the directory that is there, with all in it, then create. */
  | "replace-tree"
  /** Remove what is there, which is no directory, then create the directory. */
  | "replace-by-directory"
  /** The bytes, the owner and the mode are taken to be right; put the other attributes on. */
  | "attributes"
  /** A directory is there: go into it and put its attributes on at the end. */
  | "merge"
  /** A directory is there: go into it and leave its own attributes. */
  | "enter"
  /** Leave what is there. */
  | "keep"
  /** Leave what is there, and report it: it is of another type, so what belongs here, or below, cannot be restored. */
  | "conflict";

export interface OverwriteOptions {
  readonly mode: OverwriteMode;
  /** Whether a directory with all in it may make room for another type of object. */
  readonly deletes: boolean;
  /**
   * Whose the object is to be, when this process may give files away. Then an existing object is changed in place only
   * when owner and mode are right already and it has no names elsewhere; else it is replaced. Otherwise a user could
   * put another's file here, by a link or a rename, and have it given to himself.
   */
  readonly owner?: Owner;
  /**
   * The object is a directory that lies above what is to be restored: one that is there keeps its attributes, and nothing
   * else makes room for it.
   */
  readonly isPassage?: boolean;
}

export function decideOverwrite(
  existing: FileStat | undefined,
  object: TreeObject,
  options: OverwriteOptions,
): OverwriteDecision {
  const { mode, deletes, owner, isPassage } = options;
  if (existing === undefined) return "create";
  const isNewer = object.mtimeNs > existing.mtimeNs;
  if (existing.type === "directory" && object.type === "directory") {
    return isPassage || mode === "never" || (mode === "if-newer" && !isNewer) ? "enter" : "merge";
  }
  if (existing.type === "directory")
    return mode === "never" || !deletes || (mode === "if-newer" && !isNewer) ? "conflict" : "replace-tree";
  if (object.type === "directory")
    return isPassage || mode === "never" || (mode === "if-newer" && !isNewer) ? "conflict" : "replace-by-directory";
  if (mode === "never") return "keep";
  if (mode === "always") return "replace";
  if (mode === "if-newer") return isNewer ? "replace" : "keep";
  return isTakenToBe(existing, object, owner) ? "attributes" : "replace";
}

/**
 * Whether what is there is taken to be the object, so that it need not be replaced, and other names of one inode may become
 * links to it. `owner` as in {@link OverwriteOptions}.
 */
export const isTakenToBe = (existing: FileStat, object: TreeObject, owner: Owner | undefined): boolean =>
  looksUnchanged(existing, object) && (owner === undefined || isRightfullyOwned(existing, object, owner));

function isRightfullyOwned(existing: FileStat, object: TreeObject, owner: Owner): boolean {
  const linkCount = object.linkGroup === undefined ? 1 : (object.linkCount ?? 1);
  const isMode = object.type === "symlink" || existing.mode === object.mode;
  return existing.uid === owner.uid && existing.gid === owner.gid && isMode && existing.linkCount <= linkCount;
}

/** Whether type, size or device number, and modification time are those of the snapshot. */
export function looksUnchanged(existing: FileStat, object: TreeObject): boolean {
  if (existing.type !== object.type || existing.mtimeNs !== object.mtimeNs) return false;
  if (object.type === "file") return existing.sizeBytes === object.sizeBytes;
  if (object.type === "symlink") return existing.sizeBytes === object.target.length;
  if (object.type === "character" || object.type === "block")
    return existing.rdevMajor === object.major && existing.rdevMinor === object.minor;
  return true;
}
