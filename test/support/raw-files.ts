/**
 * The few system calls on files that the tests' tree maker and comparer need beyond Node's `fs`. Declared apart from
 * `agent/files/libc.ts`, so that a mistake there cannot hide itself.
 */
import koffi from "koffi";

const library = koffi.load("libc.so.6");
const listCall = library.func("long llistxattr(const uint8_t *path, uint8_t *list, size_t size)");
const getCall = library.func("long lgetxattr(const uint8_t *path, const uint8_t *name, uint8_t *value, size_t size)");
const setCall = library.func(
  "int lsetxattr(const uint8_t *path, const uint8_t *name, const uint8_t *value, size_t size, int flags)",
);
const mknodCall = library.func("int mknod(const uint8_t *path, uint32_t mode, uint64_t device)");
const timesCall = library.func("int utimensat(int directory, const uint8_t *path, const uint8_t *times, int flags)");
const seekCall = library.func("int64_t lseek(int fd, int64_t offset, int whence)");

const failureOf = (call: string, path: Buffer): Error =>
  Object.assign(new Error(`${call} ${path.toString("latin1")} failed, error ${koffi.errno()}`), {
    errno: koffi.errno(),
  });

const terminated = (bytes: Buffer | string): Buffer => Buffer.concat([Buffer.from(bytes as string), Buffer.of(0)]);

/** Extended attributes of the object itself, each as `name=hex`, in order; none where the file system has none. */
export function rawXattrs(path: Buffer): string[] {
  const list = Buffer.alloc(65_536);
  const length = Number(listCall(terminated(path), list, list.length));
  if (length < 0) {
    if (koffi.errno() === koffi.os.errno["EOPNOTSUPP"]) return [];
    throw failureOf("llistxattr", path);
  }
  const names = list
    .toString("latin1", 0, length)
    .split("\0")
    .filter((name) => name !== "");
  return names.sort().map((name) => {
    const value = Buffer.alloc(65_536);
    const size = Number(getCall(terminated(path), Buffer.from(`${name}\0`, "latin1"), value, value.length));
    if (size < 0) throw failureOf("lgetxattr", path);
    return `${name}=${value.toString("hex", 0, size)}`;
  });
}

/** Sets an attribute of the object itself; false when the system refuses it here. */
export function setRawXattr(path: Buffer, name: string, value: Buffer): boolean {
  return (
    setCall(
      terminated(path),
      Buffer.from(`${name}\0`, "latin1"),
      value.length === 0 ? Buffer.alloc(1) : value,
      value.length,
      0,
    ) === 0
  );
}

/** A FIFO, socket or device node; false when the system refuses it here. */
export function makeNode(path: Buffer, mode: number, major = 0, minor = 0): boolean {
  return mknodCall(terminated(path), mode, BigInt((major << 8) | (minor & 0xff) | ((minor >>> 8) << 20))) === 0;
}

/** Sets access and modification time of the object itself to the nanosecond. */
export function setTimesNs(path: Buffer, mtimeNs: bigint): void {
  const seconds = BigInt.asIntN(
    64,
    (mtimeNs - (((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n,
  );
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(seconds, at);
    times.writeBigInt64LE(mtimeNs - seconds * 1_000_000_000n, at + 8);
  }
  if (timesCall(-100, terminated(path), times, 0x100) !== 0) throw failureOf("utimensat", path);
}

export interface RawExtent {
  readonly start: number;
  readonly end: number;
}

/** Where an open file holds data. */
export function rawExtents(fd: number, sizeBytes: number): RawExtent[] {
  const extents: RawExtent[] = [];
  for (let at = 0; at < sizeBytes;) {
    const start = Number(seekCall(fd, at, 3));
    if (start < 0) break;
    const end = Number(seekCall(fd, start, 4));
    if (end <= start) throw new Error(`SEEK_HOLE gave ${end} from ${start}`);
    extents.push({ start, end: Math.min(end, sizeBytes) });
    at = end;
  }
  return extents;
}
