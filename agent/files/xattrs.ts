/**
 * Extended attributes, which carry POSIX ACLs (`system.posix_acl_access`, `…_default`), file capabilities
 * (`security.capability`) and labels too. As root all name spaces are seen; other users see what the kernel shows them.
 *
 * Files and directories are read by their descriptor; everything else by `/proc/self/fd/N`, which stands for exactly
 * the object that an O_PATH descriptor names and follows no symlink in turn.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { ExtendedAttribute } from "#protocol/tree.ts";
import { E, addressOf, allocate, cString, errno, libc, secondCString } from "./libc.ts";
import { OsError, isOsError, lastError } from "./os-error.ts";

/** How a call names its object: an open file or directory, or a descriptor from `openPath`. */
export interface XattrHolder {
  readonly fd: number;
  readonly isPathOnly: boolean;
}

/** The kernel's own limits: XATTR_LIST_MAX and XATTR_SIZE_MAX. */
const list = allocate(64 * 1024);
const value = allocate(64 * 1024);

const descriptorPath = (fd: number): string => `/proc/self/fd/${fd}`;

/**
 * The attributes of an object in byte order of names; empty when the file system has none. What cannot be listed or read
 * is left out and given to `onProblem`; so are those that would exceed the limit of their sum.
 */
export function readXattrs(
  holder: XattrHolder,
  onProblem: (error: OsError) => void,
  totalMaxBytes: number = limits.xattrTotalBytes,
): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  let totalBytes = 0;
  let names: ByteString[] = [];
  try {
    names = listXattrs(holder);
  } catch (error) {
    if (!isOsError(error)) throw error;
    onProblem(error);
  }
  for (const name of names) {
    const bytes = readXattr(holder, name, onProblem);
    if (bytes === undefined) continue;
    totalBytes += name.length + bytes.length;
    if (totalBytes > totalMaxBytes) {
      onProblem(new OsError("getxattr", E.TOOBIG, name));
      break;
    }
    attributes.push({ name, value: bytes });
  }
  return attributes;
}

/** The names of the attributes, in byte order. */
export function listXattrs({ fd, isPathOnly }: XattrHolder): ByteString[] {
  const length = isPathOnly
    ? libc.listxattr(cString(descriptorPath(fd)), list.address, list.bytes.length)
    : libc.flistxattr(fd, list.address, list.bytes.length);
  if (length === 0) return [];
  if (length > 0) return (list.bytes.toString("latin1", 0, length - 1).split("\0") as ByteString[]).sort();
  const failure = errno();
  if (failure === E.OPNOTSUPP || failure === E.NOSYS) return [];
  throw new OsError("listxattr", failure);
}

function readXattr(
  { fd, isPathOnly }: XattrHolder,
  name: ByteString,
  onProblem: (error: OsError) => void,
): Buffer | undefined {
  const length = isPathOnly
    ? libc.getxattr(cString(descriptorPath(fd)), secondCString(name), value.address, value.bytes.length)
    : libc.fgetxattr(fd, cString(name), value.address, value.bytes.length);
  if (length >= 0) return Buffer.from(value.bytes.subarray(0, length));
  const failure = errno();
  // ENODATA: removed since the listing.
  if (failure !== E.NODATA) onProblem(new OsError("getxattr", failure, name));
  return undefined;
}

export function setXattr({ fd, isPathOnly }: XattrHolder, name: ByteString, bytes: Uint8Array): void {
  const result = isPathOnly
    ? libc.setxattr(cString(descriptorPath(fd)), secondCString(name), addressOf(bytes), bytes.length, 0)
    : libc.fsetxattr(fd, cString(name), addressOf(bytes), bytes.length, 0);
  if (result < 0) throw lastError("setxattr", name);
}

export function removeXattr({ fd, isPathOnly }: XattrHolder, name: ByteString): void {
  const result = isPathOnly
    ? libc.removexattr(cString(descriptorPath(fd)), secondCString(name))
    : libc.fremovexattr(fd, cString(name));
  if (result < 0 && errno() !== E.NODATA) throw lastError("removexattr", name);
}
