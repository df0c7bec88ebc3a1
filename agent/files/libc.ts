/**
 * The system calls that Node's `fs` lacks, through koffi: calls relative to a directory's descriptor, raw statx,
 * extended attributes, holes, nanosecond times. Synchronous, about 1.3 µs each, meant for worker threads.
 *
 * Pointers are passed as numbers: addresses inside the scratch memory of this module, which never moves and is never
 * freed. Each thread that loads this module has its own scratch memory; whatever one call leaves there holds until the
 * next call. Only `agent/files` imports this file.
 */
import koffi from "koffi";
import { constants } from "node:fs";

type Fd = number;
type Address = number;

const library = koffi.load(null);

const declare = <Arguments extends number[]>(definition: string) =>
  library.func(definition) as unknown as (...values: Arguments) => number;

/** Every call gives -1 when it failed (unless said otherwise); `errno()` then tells why. */
export const libc = {
  close: declare<[Fd]>("int close(int)"),
  openat: declare<[Fd, Address, number, number]>("int openat(int, size_t, int, unsigned int)"),
  statx: declare<[Fd, Address, number, number, Address]>("int statx(int, size_t, int, unsigned int, size_t)"),
  fstatfs: declare<[Fd, Address]>("int fstatfs(int, size_t)"),
  readlinkat: declare<[Fd, Address, Address, number]>("long readlinkat(int, size_t, size_t, size_t)"),
  lseek: declare<[Fd, number, number]>("long lseek(int, long, int)"),
  pwrite: declare<[Fd, Address, number, number]>("long pwrite(int, size_t, size_t, long)"),
  /** Gives 0 or an error number. */
  posix_fadvise: declare<[Fd, number, number, number]>("int posix_fadvise(int, long, long, int)"),
  ftruncate: declare<[Fd, number]>("int ftruncate(int, long)"),
  mkdirat: declare<[Fd, Address, number]>("int mkdirat(int, size_t, unsigned int)"),
  linkat: declare<[Fd, Address, Fd, Address, number]>("int linkat(int, size_t, int, size_t, int)"),
  symlinkat: declare<[Address, Fd, Address]>("int symlinkat(size_t, int, size_t)"),
  unlinkat: declare<[Fd, Address, number]>("int unlinkat(int, size_t, int)"),
  renameat: declare<[Fd, Address, Fd, Address]>("int renameat(int, size_t, int, size_t)"),
  renameat2: declare<[Fd, Address, Fd, Address, number]>("int renameat2(int, size_t, int, size_t, unsigned int)"),
  fchownat: declare<[Fd, Address, number, number, number]>(
    "int fchownat(int, size_t, unsigned int, unsigned int, int)",
  ),
  fchmod: declare<[Fd, number]>("int fchmod(int, unsigned int)"),
  chmod: declare<[Address, number]>("int chmod(size_t, unsigned int)"),
  futimens: declare<[Fd, Address]>("int futimens(int, size_t)"),
  utimensat: declare<[Fd, Address, Address, number]>("int utimensat(int, size_t, size_t, int)"),
  flistxattr: declare<[Fd, Address, number]>("long flistxattr(int, size_t, size_t)"),
  listxattr: declare<[Address, Address, number]>("long listxattr(size_t, size_t, size_t)"),
  fgetxattr: declare<[Fd, Address, Address, number]>("long fgetxattr(int, size_t, size_t, size_t)"),
  getxattr: declare<[Address, Address, Address, number]>("long getxattr(size_t, size_t, size_t, size_t)"),
  fsetxattr: declare<[Fd, Address, Address, number, number]>("int fsetxattr(int, size_t, size_t, size_t, int)"),
  setxattr: declare<[Address, Address, Address, number, number]>("int setxattr(size_t, size_t, size_t, size_t, int)"),
  fremovexattr: declare<[Fd, Address]>("int fremovexattr(int, size_t)"),
  flock: declare<[Fd, number]>("int flock(int, int)"),
  removexattr: declare<[Address, Address]>("int removexattr(size_t, size_t)"),
  /** These four give 0 or an error number, not -1. */
  getpwuid_r: declare<[number, Address, Address, number, Address]>(
    "int getpwuid_r(unsigned int, size_t, size_t, size_t, size_t)",
  ),
  getgrgid_r: declare<[number, Address, Address, number, Address]>(
    "int getgrgid_r(unsigned int, size_t, size_t, size_t, size_t)",
  ),
  getpwnam_r: declare<[Address, Address, Address, number, Address]>(
    "int getpwnam_r(size_t, size_t, size_t, size_t, size_t)",
  ),
  getgrnam_r: declare<[Address, Address, Address, number, Address]>(
    "int getgrnam_r(size_t, size_t, size_t, size_t, size_t)",
  ),
  /** For calls that older C libraries (glibc 2.28 to 2.32) do not export. */
  syscall: declare<[number, number, number, number, number]>("long syscall(long, long, long, long, long)"),
};

/** The error number of the call that failed last in this thread. */
export const errno = (): number => koffi.errno() as number;

const isArm = process.arch === "arm64";

/** System call numbers; they differ between the two architectures that CoStor runs on. */
export const SYS_GETDENTS64 = isArm ? 61 : 217;
export const SYS_MKNODAT = isArm ? 33 : 259;

/** Open flags, by this machine's values (they differ between architectures). */
export const O = {
  RDONLY: constants.O_RDONLY,
  WRONLY: constants.O_WRONLY,
  RDWR: constants.O_RDWR,
  CREAT: constants.O_CREAT,
  EXCL: constants.O_EXCL,
  NONBLOCK: constants.O_NONBLOCK,
  NOFOLLOW: constants.O_NOFOLLOW,
  DIRECTORY: constants.O_DIRECTORY,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const RENAME_NOREPLACE = 1;
/** Leaves a time, an owner or a group as it is. */
export const UTIME_OMIT = 0x3ffffffe;
export const UNCHANGED_ID = 0xffffffff;

/** Error numbers that the code branches on; the same on x64 and arm64. */
export const E = {
  PERM: 1,
  NOENT: 2,
  INTR: 4,
  IO: 5,
  NXIO: 6,
  TOOBIG: 7,
  BADF: 9,
  AGAIN: 11,
  ACCES: 13,
  EXIST: 17,
  XDEV: 18,
  NOTDIR: 20,
  ISDIR: 21,
  INVAL: 22,
  MFILE: 24,
  NOSPC: 28,
  MLINK: 31,
  RANGE: 34,
  NAMETOOLONG: 36,
  NOSYS: 38,
  NOTEMPTY: 39,
  LOOP: 40,
  NODATA: 61,
  OVERFLOW: 75,
  OPNOTSUPP: 95,
  STALE: 116,
  DQUOT: 122,
} as const;

/** A piece of memory that C code may use: its bytes and where they are. */
export interface Memory {
  readonly bytes: Buffer;
  readonly address: Address;
}

/** An address alone does not keep memory from being collected. */
const held: Buffer[] = [];

/** Zeroed memory outside the JavaScript heap that stays where it is for the life of the thread. */
export function allocate(lengthBytes: number): Memory {
  const bytes = Buffer.from(new ArrayBuffer(lengthBytes));
  held.push(bytes);
  return { bytes, address: Number(koffi.address(bytes)) };
}

/** The address of caller's bytes for the length of one call; empty buffers have none that can be used. */
export const addressOf = (bytes: Uint8Array): Address => (bytes.length === 0 ? 0 : Number(koffi.address(bytes)));

/** Longest string handed to C: a path of PATH_MAX, with `/proc/self/fd/N/` before it, and a NUL. */
const STRING_BYTES = 4096 + 64;

const first = allocate(STRING_BYTES);
const second = allocate(STRING_BYTES);

/** Writes `text` (one byte a character) with its NUL into scratch memory; the result holds until the next call. */
export function cString(text: string): Address {
  return place(first, text);
}

/** As `cString`, in a second place, for calls that take two strings. */
export function secondCString(text: string): Address {
  return place(second, text);
}

function place(memory: Memory, text: string): Address {
  if (text.length >= STRING_BYTES)
    throw new RangeError(`a string of ${text.length} bytes is too long for a system call`);
  memory.bytes[memory.bytes.write(text, 0, "latin1")] = 0;
  return memory.address;
}

/** The address of "". */
export const EMPTY_STRING: Address = allocate(64).address;
