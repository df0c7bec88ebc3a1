import type { ByteString } from "#protocol/byte-string.ts";
import type { Directory } from "./directory.ts";
import { E } from "./libc.ts";
import { OsError, isOsError } from "./os-error.ts";
import { type EnteredDirectory, enterDirectory, giveBackMode } from "./place.ts";
import { type FileStat, STAT_BYTES, isSameMount } from "./stat.ts";
import { DirectoryStack } from "./walk.ts";

export interface Removal {
  /** Whether an object is left, and with it the directories that it is in; `names` gives its names below the parent. */
  readonly keeps?: (names: () => ByteString[], stat: FileStat) => boolean;
  /** Only tells what would be removed. */
  readonly isRehearsal?: boolean;
  readonly signal?: AbortSignal;
}

interface Level {
  /** Directories still to be removed. */
  readonly waiting: ByteString[];
  readonly previousMode: number | undefined;
  /** Something in it was left. */
  isHeld: boolean;
}

/**
 * Removes `name` and, when it is a directory, all in it, following no symlink; false when something was left. EXDEV when
 * it meets another file system; what came before is gone then.
 */
export function removeEntry(parent: Directory, name: ByteString, removal: Removal = {}): boolean {
  const { keeps = () => false, isRehearsal = false, signal } = removal;
  const stat = parent.stat(name);
  if (keeps(() => [name], stat)) return false;
  if (stat.type !== "directory") {
    if (!isRehearsal) parent.removeFile(name);
    return true;
  }
  const parentStat = Buffer.alloc(STAT_BYTES);
  parent.statSelfInto(parentStat);
  using stack = new DirectoryStack(parent.duplicate());
  const levels: Level[] = [];
  /** Enters a directory and removes what is none in it. */
  const enter = (child: ByteString): void => {
    const { current } = stack;
    const entered: EnteredDirectory = isRehearsal
      ? { directory: current.openChild(child) }
      : enterDirectory(current, child);
    const directory = stack.enter(child, entered.directory);
    if (!isSameMount(stack.currentStat, parentStat)) throw new OsError("unlinkat", E.XDEV);
    const level: Level = { waiting: [], previousMode: entered.previousMode, isHeld: false };
    levels.push(level);
    for (const entry of directory.names()) {
      const found = directory.statIfExists(entry);
      if (found === undefined) continue;
      if (keeps(() => [...stack.names(), entry], found)) level.isHeld = true;
      else if (found.type === "directory") level.waiting.push(entry);
      else if (!isRehearsal) removeIfThere(directory, entry);
    }
  };
  enter(name);
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    signal?.throwIfAborted();
    const next = level.waiting.pop();
    if (next !== undefined) {
      enter(next);
      continue;
    }
    levels.pop();
    if (level.isHeld && level.previousMode !== undefined) giveBackMode(stack.current, level.previousMode);
    const done = stack.currentName;
    const above = stack.pop();
    if (!level.isHeld) {
      if (!isRehearsal) above.removeDirectory(done);
    } else if (levels.length === 0) return false;
    else levels.at(-1)!.isHeld = true;
  }
  return true;
}

/** Removes what is at `name`, to make room. ENOTEMPTY when something in it was left. */
export function clearName(parent: Directory, name: ByteString, removal: Removal): void {
  if (!removeEntry(parent, name, removal)) throw new OsError("unlinkat", E.NOTEMPTY, name);
}

function removeIfThere(directory: Directory, name: ByteString): void {
  try {
    directory.removeFile(name);
  } catch (error) {
    if (!isOsError(error, E.NOENT)) throw error;
  }
}
