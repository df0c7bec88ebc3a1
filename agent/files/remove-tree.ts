import type { ByteString } from "#protocol/byte-string.ts";
import type { Directory } from "./directory.ts";
import { E } from "./libc.ts";
import { OsError, isOsError } from "./os-error.ts";
import { enterDirectory } from "./place.ts";
import { STAT_BYTES, isSameMount, statIsDirectory } from "./stat.ts";
import { DirectoryStack } from "./walk.ts";

const stat = Buffer.alloc(STAT_BYTES);

/**
 * Removes `name` and, when it is a directory, all in it, following no symlink. EXDEV when it meets another file system;
 * what came before is gone then.
 */
export function removeEntry(parent: Directory, name: ByteString, signal?: AbortSignal): void {
  try {
    parent.removeFile(name);
    return;
  } catch (error) {
    if (!isOsError(error, E.ISDIR, E.PERM)) throw error;
    parent.statInto(name, stat);
    if (!statIsDirectory(stat)) throw error;
  }
  const parentStat = Buffer.alloc(STAT_BYTES);
  parent.statSelfInto(parentStat);
  using stack = new DirectoryStack(parent.duplicate());
  stack.enter(name, enterDirectory(parent, name).directory);
  /** Directories still to be removed in each level, the deepest last. */
  const waiting: ByteString[][] = [emptied(stack.current, parentStat, stack.currentStat)];
  while (waiting.length > 0) {
    signal?.throwIfAborted();
    const next = waiting.at(-1)!.pop();
    if (next !== undefined) {
      stack.enter(next, enterDirectory(stack.current, next).directory);
      waiting.push(emptied(stack.current, parentStat, stack.currentStat));
      continue;
    }
    waiting.pop();
    const done = stack.currentName;
    stack.pop().removeDirectory(done);
  }
}

/** Removes what is no directory; the names of the directories. */
function emptied(directory: Directory, parentStat: Buffer, record: Buffer): ByteString[] {
  if (!isSameMount(record, parentStat)) throw new OsError("unlinkat", E.XDEV);
  const directories: ByteString[] = [];
  for (const name of directory.names()) {
    try {
      directory.removeFile(name);
    } catch (error) {
      // Linux says EISDIR for a directory; POSIX, and some file systems, EPERM.
      if (isOsError(error, E.ISDIR, E.PERM)) {
        directory.statInto(name, stat);
        if (!statIsDirectory(stat)) throw error;
        directories.push(name);
      } else if (!isOsError(error, E.NOENT)) throw error;
    }
  }
  return directories;
}
