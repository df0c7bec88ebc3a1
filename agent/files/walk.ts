/**
 * A depth-first way through a tree of any depth with a bounded count of descriptors: the root and the deepest
 * directories are open, the others are remembered by name, device and inode.
 *
 * A closed ancestor is opened again by "..", and when that leads elsewhere (something was moved in between) by all
 * names from the root; each directory on the way is compared with what it was. So a walk never leaves the tree that it
 * entered: when it cannot come back it fails with ESTALE.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { Directory } from "./directory.ts";
import { E } from "./libc.ts";
import { OsError, isOsError } from "./os-error.ts";
import { STAT_BYTES, isSameMount, isSameObject, statDevice } from "./stat.ts";

interface Level {
  /** Absent for the root. */
  readonly name: ByteString;
  /** The raw record as it was when the directory was entered. */
  readonly stat: Buffer;
  /** Entered only to pass through. */
  readonly isPassage: boolean;
  directory: Directory | undefined;
}

const scratch = Buffer.alloc(STAT_BYTES);

export class DirectoryStack {
  private readonly levels: Level[] = [];

  /** Takes over `root`, which stays open until the stack is closed. */
  constructor(root: Directory) {
    this.levels.push({ name: "" as ByteString, stat: recordOf(root), isPassage: root.isPathOnly, directory: root });
  }

  get current(): Directory {
    return this.top.directory!;
  }

  /** The name by which the current directory was entered; empty for the root. */
  get currentName(): ByteString {
    return this.top.name;
  }

  /** The record of the current directory, taken through its descriptor when it was entered. */
  get currentStat(): Buffer {
    return this.top.stat;
  }

  /** Whether the current directory lies on another mount than the one above it. */
  get isMountPoint(): boolean {
    const above = this.levels.at(-2);
    return above !== undefined && !isSameMount(this.top.stat, above.stat);
  }

  get root(): Directory {
    return this.levels[0]!.directory!;
  }

  /** Levels below the root. */
  get depthCount(): number {
    return this.levels.length - 1;
  }

  /** The device of the root, for walks that stay on one file system. */
  get rootDevice(): number {
    return statDevice(this.levels[0]!.stat);
  }

  /** Names from the root to the current directory. */
  names(): ByteString[] {
    return this.levels.slice(1).map((level) => level.name);
  }

  /** Enters the directory `name` of the current one; a passage cannot be listed. */
  push(name: ByteString, isPassage = false): Directory {
    return this.enter(name, isPassage ? this.current.openPassage(name) : this.current.openChild(name));
  }

  /** Enters a directory that the caller has opened in the current one by `name`. */
  enter(name: ByteString, directory: Directory): Directory {
    this.levels.push({ name, stat: recordOf(directory), isPassage: directory.isPathOnly, directory });
    const surplus = this.levels.length - 1 - limits.openDirectoriesCount;
    if (surplus > 0) this.forget(this.levels[surplus]!);
    return directory;
  }

  /** Leaves the current directory and gives the one above it. ESTALE when that cannot be reached any more. */
  pop(): Directory {
    const left = this.levels.pop()!;
    const level = this.top;
    try {
      level.directory ??= reopenParent(left.directory!, level) ?? this.reopenFromRoot();
      return level.directory;
    } finally {
      left.directory?.close();
    }
  }

  /**
   * Leaves directories until `depth` levels below the root are left, without opening those in between: for a walk that
   * goes on elsewhere after `pop` failed.
   */
  popTo(depth: number): Directory {
    while (this.depthCount > depth) this.forget(this.levels.pop()!);
    this.top.directory ??= this.reopenFromRoot();
    return this.top.directory;
  }

  close(): void {
    for (const level of this.levels) this.forget(level);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private get top(): Level {
    return this.levels[this.levels.length - 1]!;
  }

  private forget(level: Level): void {
    level.directory?.close();
    level.directory = undefined;
  }

  private reopenFromRoot(): Directory {
    let at = this.levels[0]!.directory!;
    for (const level of this.levels.slice(1)) {
      let next: Directory | undefined;
      try {
        next = level.isPassage ? at.openPassage(level.name) : at.openChild(level.name);
        if (!isLevel(next, level)) throw new OsError("openat", E.STALE, level.name);
      } catch (error) {
        next?.close();
        throw error;
      } finally {
        if (at !== this.levels[0]!.directory) at.close();
      }
      at = next;
    }
    return at;
  }
}

/** Undefined when ".." leads elsewhere or, from a directory that may be listed but not searched, nowhere. */
function reopenParent(child: Directory, level: Level): Directory | undefined {
  let parent: Directory;
  try {
    parent = child.openParent(level.isPassage);
  } catch (error) {
    if (isOsError(error, E.ACCES, E.NOENT)) return undefined;
    throw error;
  }
  if (isLevel(parent, level)) return parent;
  parent.close();
  return undefined;
}

function recordOf(directory: Directory): Buffer {
  const stat = Buffer.allocUnsafe(STAT_BYTES);
  directory.statSelfInto(stat);
  return stat;
}

function isLevel(directory: Directory, level: Level): boolean {
  directory.statSelfInto(scratch);
  return isSameObject(scratch, 0, level.stat, 0);
}
