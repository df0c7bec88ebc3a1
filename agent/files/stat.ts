/**
 * Raw `struct statx` records (256 bytes, little-endian), read without making objects. Layout: statx(2).
 */
import { CostorError } from "#protocol/errors.ts";

export const STAT_BYTES = 256;

/** The basic fields, the time of birth and the mount id. */
export const STATX_MASK = 0x7ff | 0x800 | 0x1000;

export type FileType = "file" | "directory" | "symlink" | "fifo" | "socket" | "character" | "block";

export interface FileStat {
  readonly type: FileType;
  /** The 12 permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  readonly sizeBytes: number;
  /** What is allocated on disk; less than the size when the file has holes (or the file system compresses). */
  readonly allocatedBytes: number;
  readonly device: number;
  readonly inode: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** The mount that the object was reached by; 0 on kernels before 5.8. */
  readonly mountId: number;
}

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
export const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;

const typeNames = new Map<number, FileType>([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
]);

/** The type as the S_IF… bits, for fast branches. */
const statTypeBits = (stat: Buffer, at = 0): number => (stat[at + 0x1c]! | (stat[at + 0x1d]! << 8)) & S_IFMT;
export const statIsDirectory = (stat: Buffer, at = 0): boolean => statTypeBits(stat, at) === S_IFDIR;
export const statIsFile = (stat: Buffer, at = 0): boolean => statTypeBits(stat, at) === S_IFREG;
export const statMode = (stat: Buffer, at = 0): number => (stat[at + 0x1c]! | (stat[at + 0x1d]! << 8)) & 0o7777;
export const statLinkCount = (stat: Buffer, at = 0): number => stat.readUInt32LE(at + 0x10);
export const statUid = (stat: Buffer, at = 0): number => stat.readUInt32LE(at + 0x14);
export const statGid = (stat: Buffer, at = 0): number => stat.readUInt32LE(at + 0x18);
export const statInode = (stat: Buffer, at = 0): bigint => stat.readBigUInt64LE(at + 0x20);
export const statSizeBytes = (stat: Buffer, at = 0): number =>
  stat.readUInt32LE(at + 0x28) + stat.readUInt32LE(at + 0x2c) * 2 ** 32;
export const statAllocatedBytes = (stat: Buffer, at = 0): number =>
  512 * (stat.readUInt32LE(at + 0x30) + stat.readUInt32LE(at + 0x34) * 2 ** 32);
export const statCtimeNs = (stat: Buffer, at = 0): bigint => timeNs(stat, at + 0x60);
export const statMtimeNs = (stat: Buffer, at = 0): bigint => timeNs(stat, at + 0x70);
export const statRdevMajor = (stat: Buffer, at = 0): number => stat.readUInt32LE(at + 0x80);
export const statRdevMinor = (stat: Buffer, at = 0): number => stat.readUInt32LE(at + 0x84);
/** The device that holds the object: its major number times 2^32, plus its minor number (both are under 2^20). */
export const statDevice = (stat: Buffer, at = 0): number =>
  stat.readUInt32LE(at + 0x88) * 2 ** 32 + stat.readUInt32LE(at + 0x8c);
const statMountId = (stat: Buffer, at = 0): number =>
  stat.readUInt32LE(at + 0x90) + stat.readUInt32LE(at + 0x94) * 2 ** 32;

const timeNs = (stat: Buffer, at: number): bigint =>
  stat.readBigInt64LE(at) * 1_000_000_000n + BigInt(stat.readUInt32LE(at + 8));

export function statType(stat: Buffer, at = 0): FileType {
  const type = typeNames.get(statTypeBits(stat, at));
  if (type === undefined)
    throw new CostorError("file-unreadable", `unknown type of object, mode 0${statTypeBits(stat, at).toString(8)}`);
  return type;
}

export function decodeStat(stat: Buffer, at = 0): FileStat {
  return {
    type: statType(stat, at),
    mode: statMode(stat, at),
    uid: statUid(stat, at),
    gid: statGid(stat, at),
    linkCount: statLinkCount(stat, at),
    sizeBytes: statSizeBytes(stat, at),
    allocatedBytes: statAllocatedBytes(stat, at),
    device: statDevice(stat, at),
    inode: statInode(stat, at),
    mtimeNs: statMtimeNs(stat, at),
    ctimeNs: statCtimeNs(stat, at),
    rdevMajor: statRdevMajor(stat, at),
    rdevMinor: statRdevMinor(stat, at),
    mountId: statMountId(stat, at),
  };
}

/** Whether two records are of one and the same object (device, inode and type). */
export function isSameObject(a: Buffer, aAt: number, b: Buffer, bAt: number): boolean {
  return (
    a.compare(b, bAt + 0x20, bAt + 0x28, aAt + 0x20, aAt + 0x28) === 0 &&
    a.compare(b, bAt + 0x88, bAt + 0x90, aAt + 0x88, aAt + 0x90) === 0 &&
    statTypeBits(a, aAt) === statTypeBits(b, bAt)
  );
}

/** Whether two records are on one file system, reached by one mount. */
export const isSameMount = (a: Buffer, b: Buffer): boolean =>
  statDevice(a) === statDevice(b) && statMountId(a) === statMountId(b);

export const CHANGE_SIGNATURE_BYTES = 32;

/**
 * Writes what tells that an object may have changed: inode, size, mtime, ctime, 8 bytes each. A time is its
 * nanoseconds in the low 30 bits and its seconds, modulo 2^34, above. Equal bytes mean unchanged; nothing else is read
 * from them.
 */
export function writeChangeSignature(stat: Buffer, at: number, target: Buffer, targetAt: number): void {
  stat.copy(target, targetAt, at + 0x20, at + 0x30);
  writePackedTime(stat, at + 0x70, target, targetAt + 16);
  writePackedTime(stat, at + 0x60, target, targetAt + 24);
}

function writePackedTime(stat: Buffer, at: number, target: Buffer, targetAt: number): void {
  const seconds = stat.readUInt32LE(at);
  target.writeUInt32LE((stat.readUInt32LE(at + 8) | (seconds << 30)) >>> 0, targetAt);
  target.writeUInt32LE(((seconds >>> 2) | (stat[at + 4]! << 30)) >>> 0, targetAt + 4);
}
