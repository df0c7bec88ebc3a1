/**
 * Puts objects other than regular files (`new-file.ts`) into an open directory. The directory may belong to somebody
 * who renames and exchanges what is in it at any moment; so an object that this process has made is held by a
 * descriptor and recognised by its type, owner and link count before its owner, mode or attributes are changed.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { DeviceObject, DirectoryObject, FifoObject, FileAttributes, SymlinkObject } from "#protocol/tree.ts";
import { type OnNote, type PlacePolicy, applyAttributes } from "./attributes.ts";
import { type Directory, closeDescriptor, readLinkAt } from "./directory.ts";
import { readDescriptorStat } from "./descriptor-stat.ts";
import { E, cString, errno, libc } from "./libc.ts";
import { type ObjectIdentity, type Replacing, moveIntoPlace, removeQuietly } from "./new-file.ts";
import { OsError, isOsError, lastError } from "./os-error.ts";
import { type FileStat, S_IFBLK, S_IFCHR, S_IFIFO } from "./stat.ts";
import { temporaryName } from "./temporary-name.ts";

export type SpecialObject = FifoObject | DeviceObject;

/** Makes a symlink. EEXIST when the name is taken and `replacing` is `never`. */
export function placeSymlink(
  directory: Directory,
  object: SymlinkObject,
  policy: PlacePolicy,
  replacing: Replacing,
  onNote: OnNote,
): ObjectIdentity {
  const make = (name: ByteString) => directory.createSymlink(name, object.target);
  const isOurs = (stat: FileStat, fd: number) => stat.type === "symlink" && readLinkAt(fd, "") === object.target;
  return placeNamed(directory, object, policy, replacing, onNote, make, isOurs);
}

/** Makes a FIFO or a device node; EPERM for a device that the policy or the system does not allow. */
export function placeSpecial(
  directory: Directory,
  object: SpecialObject,
  policy: PlacePolicy,
  replacing: Replacing,
  onNote: OnNote,
): ObjectIdentity {
  if (object.type === "fifo") {
    const make = (name: ByteString) => directory.createNode(name, S_IFIFO);
    return placeNamed(directory, object, policy, replacing, onNote, make, (stat) => stat.type === "fifo");
  }
  if (!policy.allowsDevices) throw new OsError("mknodat", E.PERM, object.name);
  const { type, major, minor } = object;
  const make = (name: ByteString) =>
    directory.createNode(name, type === "character" ? S_IFCHR : S_IFBLK, 0o600, major, minor);
  const isOurs = (stat: FileStat) => stat.type === type && stat.rdevMajor === major && stat.rdevMinor === minor;
  return placeNamed(directory, object, policy, replacing, onNote, make, isOurs);
}

function placeNamed(
  directory: Directory,
  object: SymlinkObject | SpecialObject,
  policy: PlacePolicy,
  replacing: Replacing,
  onNote: OnNote,
  make: (name: ByteString) => void,
  isOurs: (stat: FileStat, fd: number) => boolean,
): ObjectIdentity {
  const temporary = temporaryName();
  make(temporary);
  let fd: number | undefined;
  try {
    fd = directory.openPath(temporary);
    const stat = readDescriptorStat(fd);
    if (stat.linkCount !== 1 || !isOurs(stat, fd) || !isOwn(directory, stat))
      throw new OsError("openat", E.STALE, object.name);
    applyAttributes({ fd, isPathOnly: true, isSymlink: object.type === "symlink" }, object, policy, onNote);
    moveIntoPlace(directory, temporary, object.name, replacing);
    return { device: stat.device, inode: stat.inode };
  } catch (error) {
    removeQuietly(directory, temporary);
    throw error;
  } finally {
    if (fd !== undefined) closeDescriptor(fd);
  }
}

/** Makes a directory that only this process's user can enter, and opens it. EEXIST when the name is taken. */
export function placeDirectory(directory: Directory, name: ByteString): Directory {
  directory.createDirectory(name);
  const made = directory.openChild(name);
  try {
    if (!isOwn(directory, made.statSelf(), 0o700) || made.names().length > 0)
      throw new OsError("openat", E.STALE, name);
    return made;
  } catch (error) {
    made.close();
    throw error;
  }
}

/** A mode that no file system gives by itself. */
const PROOF_MODE = 0o200;

/**
 * Whether an object found under a name that this process has just made in `directory`, with `mode` if it is a directory, can
 * be its own: it has this process's owner and that mode. Where a file system maps owners or knows no modes (FAT, NTFS, SMB,
 * NFS that squashes root), it has those that the file system gives to a new file, which is known by the descriptor that
 * made it, so that nobody can have put another in its place.
 */
function isOwn(directory: Directory, stat: FileStat, mode?: number): boolean {
  const isMode = mode === undefined || (stat.mode & 0o777) === mode;
  if (stat.uid === process.geteuid!() && isMode) return true;
  const proof = proofOf(directory);
  return (
    stat.device === directory.statSelf().device &&
    stat.uid === proof.uid &&
    stat.gid === proof.gid &&
    (isMode || proof.mode !== PROOF_MODE)
  );
}

function proofOf(directory: Directory): FileStat {
  const temporary = temporaryName();
  const fd = directory.createFile(temporary, PROOF_MODE);
  try {
    return readDescriptorStat(fd);
  } finally {
    closeDescriptor(fd);
    removeQuietly(directory, temporary);
  }
}

/** A directory that was there already, open for a restore into it. */
export interface EnteredDirectory {
  readonly directory: Directory;
  /** Its mode when it had to be opened to its owner first; to be given back by `finishDirectory` or `giveBackMode`. */
  readonly previousMode?: number;
}

/** Opens the directory `name` so that it can be written into, even when its owner has closed it to himself. */
export function enterDirectory(parent: Directory, name: ByteString): EnteredDirectory {
  let opened: Directory | undefined;
  try {
    opened = parent.openChild(name);
  } catch (error) {
    if (!isOsError(error, E.ACCES)) throw error;
  }
  const before = opened === undefined ? parent.stat(name) : opened.statSelf();
  const mustOpen = process.geteuid!() !== 0 && before.uid === process.geteuid!() && (before.mode & 0o700) !== 0o700;
  if (opened !== undefined && !mustOpen) return { directory: opened };
  opened?.close();
  if (!mustOpen) throw new OsError("openat", E.ACCES, name);
  return { directory: openClosed(parent, name, before), previousMode: before.mode };
}

/** Gives this process's user all rights on its own directory, then opens it. */
function openClosed(parent: Directory, name: ByteString, before: FileStat): Directory {
  const fd = parent.openPath(name);
  try {
    const stat = readDescriptorStat(fd);
    if (stat.type !== "directory" || stat.inode !== before.inode || stat.device !== before.device)
      throw new OsError("openat", E.STALE, name);
    if (libc.chmod(cString(`/proc/self/fd/${fd}`), stat.mode | 0o700) < 0) throw lastError("chmod", name);
    return parent.openChild(name);
  } finally {
    closeDescriptor(fd);
  }
}

/** A directory's own attributes; once everything in it is done. */
export function finishDirectory(
  directory: Directory,
  attributes: FileAttributes | DirectoryObject,
  policy: PlacePolicy,
  onNote: OnNote,
): void {
  applyAttributes({ fd: directory.fd, isPathOnly: false }, attributes, policy, onNote);
}

/** Opens for reading the file that is there and was decided upon as `existing`; ESTALE when that is another object now. */
export function openExisting(directory: Directory, name: ByteString, existing: FileStat): number {
  const fd = directory.openFile(name);
  if (isSame(readDescriptorStat(fd), existing)) return fd;
  closeDescriptor(fd);
  throw new OsError("openat", E.STALE, name);
}

/** Puts attributes on what is there and was decided upon as `existing`; ESTALE when that is another object now. */
export function placeAttributes(
  directory: Directory,
  name: ByteString,
  existing: FileStat,
  attributes: FileAttributes,
  policy: PlacePolicy,
  onNote: OnNote,
): void {
  const fd = directory.openPath(name);
  try {
    const stat = readDescriptorStat(fd);
    const isUnchanged =
      isSame(stat, existing) && stat.ctimeNs === existing.ctimeNs && stat.linkCount === existing.linkCount;
    if (!isUnchanged) throw new OsError("openat", E.STALE, name);
    applyAttributes({ fd, isPathOnly: true, isSymlink: stat.type === "symlink" }, attributes, policy, onNote);
  } finally {
    closeDescriptor(fd);
  }
}

export function giveBackMode(directory: Directory, mode: number): void {
  if (libc.fchmod(directory.fd, mode) < 0) throw new OsError("fchmod", errno());
}

/**
 * Gives `name` in `directory` as a further name to an object that was placed before, at `path` below `root`; false when it
 * is one already. ESTALE when another object is there now.
 */
export function placeHardLink(
  root: Directory,
  path: readonly ByteString[],
  identity: ObjectIdentity,
  directory: Directory,
  name: ByteString,
  replacing: Replacing,
): boolean {
  const existing = directory.statIfExists(name);
  if (existing !== undefined && isSame(existing, identity)) return false;
  const source = openBelow(root, path.slice(0, -1));
  const temporary = temporaryName();
  try {
    source.link(path.at(-1)!, directory, temporary);
    try {
      if (!isSame(directory.stat(temporary), identity)) throw new OsError("linkat", E.STALE, name);
      moveIntoPlace(directory, temporary, name, replacing);
      return true;
    } catch (error) {
      removeQuietly(directory, temporary);
      throw error;
    }
  } finally {
    if (source !== root) source.close();
  }
}

/** Whether an error of {@link placeHardLink} says that there can be no link: another file system, one without, one too many. */
export const isLinkRefused = (error: unknown): error is OsError =>
  isOsError(error, E.PERM, E.XDEV, E.MLINK, E.NOSYS, E.OPNOTSUPP);

const isSame = (stat: FileStat, identity: ObjectIdentity): boolean =>
  stat.inode === identity.inode && stat.device === identity.device;

/** The directory at `names` below `root`, which is `root` itself for no names. */
export function openBelow(root: Directory, names: readonly ByteString[]): Directory {
  let at = root;
  for (const name of names) {
    try {
      const next = at.openChild(name);
      if (at !== root) at.close();
      at = next;
    } catch (error) {
      if (at !== root) at.close();
      throw error;
    }
  }
  return at;
}
