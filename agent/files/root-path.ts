/**
 * Opens what a person named by an absolute path: a root to back up, a directory to restore into. The path is walked
 * component by component, so it may be longer than PATH_MAX. What lies above its end is only passed through, so this
 * process's user need not be allowed to read it.
 *
 * A symlink on the way is followed only where nobody but root or this process's user could have put it: it belongs to
 * one of them and lies in a directory that only they can change (or that is sticky). Every other symlink is refused
 * with ELOOP, so that a user who owns a part of the path cannot lead a backup or a restore elsewhere.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { displayName } from "#protocol/byte-string.ts";
import { Directory, closeDescriptor, readLinkAt } from "./directory.ts";
import { readDescriptorStat } from "./descriptor-stat.ts";
import { E } from "./libc.ts";
import { OsError, isOsError } from "./os-error.ts";
import type { FileStat } from "./stat.ts";

/** As many as the kernel follows in one path. */
const followedSymlinksCount = 40;

/** Opens the directory at `path`. */
export function openRoot(path: ByteString): Directory {
  return walkTo(componentsOf(path), path);
}

/**
 * Opens the directory that holds the last component of `path`, which itself may be anything and is not followed. The
 * directory can be passed, not listed. Undefined name: the path is `/`.
 */
export function openRootParent(path: ByteString): { parent: Directory; name: ByteString | undefined } {
  const components = componentsOf(path);
  const name = components.pop();
  return { parent: walkTo(components, path, { passes: true }), name };
}

/** As `openRoot`; makes the directories that are missing, closed to everybody else. */
export function openOrCreateRoot(path: ByteString): Directory {
  return walkTo(componentsOf(path), path, { creates: true });
}

/** The components of an absolute path, without empty ones and `.`; `..` is refused, since symlinks change its meaning. */
export function componentsOf(path: ByteString): ByteString[] {
  if (!path.startsWith("/") || path.includes("\0"))
    throw new CostorError("bad-usage", `${displayName(path)} is not an absolute path`);
  const components = path.split("/").filter((component) => component !== "" && component !== ".");
  if (components.includes(".."))
    throw new CostorError("bad-usage", `${displayName(path)} contains "..", whose meaning symlinks change`);
  return components as ByteString[];
}

interface WalkOptions {
  /** Makes the directories that are missing. */
  readonly creates?: boolean;
  /** Opens the last one only to pass through it, too. */
  readonly passes?: boolean;
}

function walkTo(components: readonly ByteString[], path: ByteString, options: WalkOptions = {}): Directory {
  const waiting = components.toReversed();
  let at = Directory.passSlash();
  let followed = 0;
  try {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      let next: Directory;
      if (name === "..") next = at.openParent(true);
      else {
        try {
          const isPassage = options.passes === true || waiting.length > 0;
          next = openOrCreate(at, name, isPassage, options.creates === true);
        } catch (error) {
          if (!isOsError(error, E.NOTDIR, E.LOOP)) throw error;
          const target = trustedTarget(at, name);
          if (target === undefined) throw error;
          if (++followed > followedSymlinksCount) throw new OsError("openat", E.LOOP, path);
          waiting.push(
            ...(target
              .split("/")
              .filter((part) => part !== "" && part !== ".")
              .toReversed() as ByteString[]),
          );
          if (!target.startsWith("/")) continue;
          next = Directory.passSlash();
        }
      }
      at.close();
      at = next;
    }
    if (options.passes || !at.isPathOnly) return at;
    using end = at;
    return end.duplicate();
  } catch (error) {
    at.close();
    throw error;
  }
}

function openOrCreate(at: Directory, name: ByteString, isPassage: boolean, creates: boolean): Directory {
  const open = (): Directory => (isPassage ? at.openPassage(name) : at.openChild(name));
  try {
    return open();
  } catch (error) {
    if (!creates || !isOsError(error, E.NOENT)) throw error;
  }
  try {
    at.createDirectory(name);
  } catch (error) {
    if (!isOsError(error, E.EXIST)) throw error;
  }
  return open();
}

/** Where the symlink `name` leads; undefined when it is none; ELOOP when another user could have made it. */
function trustedTarget(at: Directory, name: ByteString): ByteString | undefined {
  const fd = at.openPath(name);
  try {
    const link = readDescriptorStat(fd);
    if (link.type !== "symlink") return undefined;
    if (!isTrusted(link) || !canOnlyTrustedChange(at.statSelf())) throw new OsError("openat", E.LOOP, name);
    return readLinkAt(fd, "");
  } finally {
    closeDescriptor(fd);
  }
}

const isTrusted = (stat: FileStat): boolean => stat.uid === 0 || stat.uid === process.geteuid!();

const canOnlyTrustedChange = (directory: FileStat): boolean =>
  isTrusted(directory) && ((directory.mode & 0o022) === 0 || (directory.mode & 0o1000) !== 0);
