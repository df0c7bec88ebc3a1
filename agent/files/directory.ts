/**
 * A directory held open by its descriptor. Every call is relative to it and follows no symlink, so that renaming or
 * replacing what lies above it changes nothing, and a name stands for one object of this very directory only.
 *
 * All calls are synchronous and throw `OsError`. A Directory belongs to one thread.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { isObjectName } from "#protocol/tree.ts";
import {
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  E,
  O,
  RENAME_NOREPLACE,
  SYS_GETDENTS64,
  SYS_MKNODAT,
  allocate,
  cString,
  errno,
  libc,
  secondCString,
} from "./libc.ts";
import { readDescriptorStat, statDescriptor } from "./descriptor-stat.ts";
import { OsError, isOsError, lastError } from "./os-error.ts";
import { type FileStat, STATX_MASK, STAT_BYTES, decodeStat, isSameObject, statIsFile } from "./stat.ts";

const OPEN_DIRECTORY = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
const OPEN_PASSAGE = O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
const OPEN_FILE = O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.CLOEXEC;
const OPEN_NEW_FILE = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC;

const DIRENT_NAME_OFFSET = 19;
const LINK_TARGET_BYTES = 4096;

/** Scratch memory of this thread, overwritten by each call. */
const scratchStat = allocate(STAT_BYTES);
const scratchEntries = allocate(128 * 1024);
const scratchTarget = allocate(LINK_TARGET_BYTES);

export class Directory {
  readonly fd: number;
  /** Opened by {@link openPassage}: names in it are found, but not listed. */
  readonly isPathOnly: boolean;
  private isOpen = true;

  /** Takes over `fd`, which is an open directory. */
  constructor(fd: number, isPathOnly = false) {
    this.fd = fd;
    this.isPathOnly = isPathOnly;
  }

  /** The directory `/`, where every walk by components starts. */
  static openSlash(): Directory {
    return new Directory(openForReading(AT_FDCWD, "/", OPEN_DIRECTORY));
  }

  /** As `openSlash`, only to pass through it. */
  static passSlash(): Directory {
    return new Directory(openPathOnly(AT_FDCWD, "/", OPEN_PASSAGE), true);
  }

  /** Opens the directory `name`; a symlink is refused with ENOTDIR. */
  openChild(name: ByteString): Directory {
    assertName(name);
    return new Directory(openForReading(this.fd, name, OPEN_DIRECTORY));
  }

  /**
   * Opens the directory `name` only to pass through it: that takes no right to read it, as directories above a user's
   * own often give none.
   */
  openPassage(name: ByteString): Directory {
    assertName(name);
    return new Directory(openPathOnly(this.fd, name, OPEN_PASSAGE), true);
  }

  /** Opens this directory once more, with a position and a life of its own. */
  duplicate(): Directory {
    return new Directory(openForReading(this.fd, ".", OPEN_DIRECTORY));
  }

  /** Opens what is now this directory's parent: the caller checks that it is the one it means. */
  openParent(isPathOnly = false): Directory {
    if (isPathOnly) return new Directory(openPathOnly(this.fd, "..", OPEN_PASSAGE), true);
    return new Directory(openForReading(this.fd, "..", OPEN_DIRECTORY));
  }

  /** The names in it, in no order, without `.` and `..`. */
  names(): ByteString[] {
    if (libc.lseek(this.fd, 0, 0) < 0) throw lastError("lseek");
    const names: ByteString[] = [];
    const { bytes, address } = scratchEntries;
    for (;;) {
      const length = libc.syscall(SYS_GETDENTS64, this.fd, address, bytes.length, 0);
      if (length < 0) throw lastError("getdents64");
      if (length === 0) return names;
      for (let at = 0; at < length; at += bytes[at + 16]! | (bytes[at + 17]! << 8)) {
        const start = at + DIRENT_NAME_OFFSET;
        let end = start;
        while (bytes[end] !== 0) end++;
        if (bytes[start] === 0x2e && (end === start + 1 || (end === start + 2 && bytes[start + 1] === 0x2e))) continue;
        names.push(bytes.toString("latin1", start, end) as ByteString);
      }
    }
  }

  /** The raw statx record of `name` (a symlink's own), for the functions of `stat.ts`. */
  statInto(name: ByteString, target: Buffer, targetAt = 0): void {
    if (libc.statx(this.fd, cString(name), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MASK, scratchStat.address) < 0)
      throw lastError("statx", name);
    scratchStat.bytes.copy(target, targetAt);
  }

  stat(name: ByteString): FileStat {
    this.statInto(name, scratchStat.bytes);
    return decodeStat(scratchStat.bytes);
  }

  /** As `stat`, undefined when nothing has that name. */
  statIfExists(name: ByteString): FileStat | undefined {
    try {
      return this.stat(name);
    } catch (error) {
      if (error instanceof OsError && error.errno === E.NOENT) return undefined;
      throw error;
    }
  }

  /** The raw record of this directory itself. */
  statSelfInto(target: Buffer, targetAt = 0): void {
    statDescriptor(this.fd, target, targetAt);
  }

  statSelf(): FileStat {
    return readDescriptorStat(this.fd);
  }

  /** Opens a file for reading without waiting on a FIFO and without changing its access time where that is allowed. */
  openFile(name: ByteString): number {
    assertName(name);
    try {
      return openForReading(this.fd, name, OPEN_FILE);
    } catch (error) {
      if (!isOsError(error, E.AGAIN)) throw error;
      return this.openLeasedFile(name);
    }
  }

  /**
   * A file that another program has leased (a Samba oplock, a delegation of NFS) is not opened without waiting: the kernel
   * asks for the lease back, and takes it after some seconds. Only a regular file is waited for.
   */
  private openLeasedFile(name: ByteString): number {
    const named = this.openPath(name);
    try {
      statDescriptor(named, scratchStat.bytes);
      if (!statIsFile(scratchStat.bytes)) throw new OsError("openat", E.STALE, name);
      return openForReading(AT_FDCWD, `/proc/self/fd/${named}`, O.RDONLY | O.CLOEXEC);
    } finally {
      libc.close(named);
    }
  }

  /**
   * Opens the regular file that `expected` is the raw record of and writes its newest record over it. ESTALE when the
   * name now stands for another object.
   */
  openSameFile(name: ByteString, expected: Buffer, expectedAt = 0): number {
    const fd = this.openFile(name);
    try {
      statDescriptor(fd, scratchStat.bytes);
      if (!statIsFile(scratchStat.bytes) || !isSameObject(scratchStat.bytes, 0, expected, expectedAt))
        throw new OsError("openat", E.STALE, name);
      scratchStat.bytes.copy(expected, expectedAt);
      return fd;
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /** A descriptor that names any object, a symlink too, without opening it. */
  openPath(name: ByteString): number {
    assertName(name);
    return openPathOnly(this.fd, name, O.PATH | O.NOFOLLOW | O.CLOEXEC);
  }

  readLink(name: ByteString): ByteString {
    assertName(name);
    return readLinkAt(this.fd, name);
  }

  /** A new directory, closed to everybody else. EEXIST when the name is taken. */
  createDirectory(name: ByteString, mode = 0o700): void {
    assertName(name);
    if (libc.mkdirat(this.fd, cString(name), mode) < 0) throw lastError("mkdirat", name);
  }

  /** A new empty file, open for reading and writing, closed to everybody else. EEXIST when the name is taken. */
  createFile(name: ByteString, mode = 0o600): number {
    assertName(name);
    const fd = libc.openat(this.fd, cString(name), OPEN_NEW_FILE, mode);
    if (fd < 0) throw lastError("openat", name);
    return fd;
  }

  createSymlink(name: ByteString, target: ByteString): void {
    assertName(name);
    if (target.includes("\0") || target === "") throw new OsError("symlinkat", E.INVAL, name);
    if (target.length >= LINK_TARGET_BYTES) throw new OsError("symlinkat", E.NAMETOOLONG, name);
    if (libc.symlinkat(secondCString(target), this.fd, cString(name)) < 0) throw lastError("symlinkat", name);
  }

  /** A FIFO or device node; `typeBits` is S_IFIFO, S_IFCHR or S_IFBLK. */
  createNode(name: ByteString, typeBits: number, mode = 0o600, major = 0, minor = 0): void {
    assertName(name);
    if (libc.syscall(SYS_MKNODAT, this.fd, cString(name), typeBits | mode, deviceNumber(major, minor)) < 0)
      throw lastError("mknodat", name);
  }

  /** Gives the object `name` (itself, if it is a symlink) another name in `target`. EEXIST when that is taken. */
  link(name: ByteString, target: Directory, targetName: ByteString): void {
    assertName(name);
    assertName(targetName);
    if (libc.linkat(this.fd, cString(name), target.fd, secondCString(targetName), 0) < 0)
      throw lastError("linkat", targetName);
  }

  /** Renames, replacing what `targetName` stands for. */
  rename(name: ByteString, target: Directory, targetName: ByteString): void {
    assertName(name);
    assertName(targetName);
    if (libc.renameat(this.fd, cString(name), target.fd, secondCString(targetName)) < 0)
      throw lastError("renameat", targetName);
  }

  /** Renames; EEXIST when `targetName` is taken. File systems without this (EINVAL) get the same by a hard link. */
  renameNew(name: ByteString, target: Directory, targetName: ByteString): void {
    assertName(name);
    assertName(targetName);
    if (libc.renameat2(this.fd, cString(name), target.fd, secondCString(targetName), RENAME_NOREPLACE) === 0) return;
    const failure = errno();
    if (failure !== E.INVAL && failure !== E.NOSYS) throw new OsError("renameat2", failure, targetName);
    this.link(name, target, targetName);
    this.removeFile(name);
  }

  /** Removes anything but a directory. */
  removeFile(name: ByteString): void {
    assertName(name);
    if (libc.unlinkat(this.fd, cString(name), 0) < 0) throw lastError("unlinkat", name);
  }

  /** Removes an empty directory. */
  removeDirectory(name: ByteString): void {
    assertName(name);
    if (libc.unlinkat(this.fd, cString(name), AT_REMOVEDIR) < 0) throw lastError("unlinkat", name);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    libc.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export const closeDescriptor = (fd: number): void => void libc.close(fd);

/** The target of the symlink `name`, or of the symlink that `fd` from `openPath` names when `name` is empty. */
export function readLinkAt(fd: number, name: ByteString | ""): ByteString {
  const { bytes, address } = scratchTarget;
  const length = libc.readlinkat(fd, cString(name), address, bytes.length);
  if (length < 0) throw lastError("readlinkat", name);
  if (length === bytes.length) throw new OsError("readlinkat", E.NAMETOOLONG, name);
  return bytes.toString("latin1", 0, length) as ByteString;
}

/** Names come from disks, snapshots and other machines: one with `/` would leave the directory. */
function assertName(name: ByteString): void {
  if (!isObjectName(name))
    throw new CostorError("restore-refused", `not a name that an object can have: ${JSON.stringify(name)}`);
}

function openPathOnly(at: number, name: string, flags: number): number {
  const fd = libc.openat(at, cString(name), flags, 0);
  if (fd < 0) throw lastError("openat", name);
  return fd;
}

/** O_NOATIME is for a file's owner and for root only; others go without it. */
function openForReading(at: number, name: string, flags: number): number {
  let fd = libc.openat(at, cString(name), flags | O.NOATIME, 0);
  if (fd >= 0) return fd;
  let failure = errno();
  if (failure === E.PERM) {
    fd = libc.openat(at, cString(name), flags, 0);
    if (fd >= 0) return fd;
    failure = errno();
  }
  throw new OsError("openat", failure, name);
}

/** The kernel's number of a device: 12 bits of major and 20 of minor, interleaved as makedev(3) does. */
function deviceNumber(major: number, minor: number): number {
  const low = (minor & 0xff) | ((major & 0xfff) << 8);
  return (low >>> 0) + (minor >>> 8) * 2 ** 20;
}
