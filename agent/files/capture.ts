/**
 * What a snapshot keeps of an object besides its bytes. The caller has taken the record (`stat.ts`) and, for files and
 * directories, holds a descriptor; so everything is read from one and the same object.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { DataExtent, FileAttributes } from "#protocol/tree.ts";
import { type Directory, closeDescriptor, readLinkAt } from "./directory.ts";
import { findDataExtents } from "./holes.ts";
import { statDescriptor } from "./descriptor-stat.ts";
import { E } from "./libc.ts";
import { OsError } from "./os-error.ts";
import { groupName, userName } from "./owner-names.ts";
import {
  STAT_BYTES,
  isSameObject,
  statAllocatedBytes,
  statGid,
  statMode,
  statMtimeNs,
  statSizeBytes,
  statType,
  statUid,
} from "./stat.ts";
import { type XattrHolder, readXattrs } from "./xattrs.ts";

/** Told of an attribute that could not be read; the object is kept without it. */
export type OnProblem = (error: OsError) => void;

/** The attributes of the object that `stat` is the record of and `holder` names. */
export function captureAttributes(stat: Buffer, holder: XattrHolder, onProblem: OnProblem): FileAttributes {
  const uid = statUid(stat);
  const gid = statGid(stat);
  const xattrs = readXattrs(holder, onProblem);
  return {
    mode: statMode(stat),
    uid,
    gid,
    user: userName(uid),
    group: groupName(gid),
    mtimeNs: statMtimeNs(stat),
    ...(xattrs.length > 0 ? { xattrs } : {}),
  };
}

/** The data ranges of an open file; undefined when it has no holes. */
export function captureExtents(fd: number, stat: Buffer): DataExtent[] | undefined {
  const sizeBytes = statSizeBytes(stat);
  return statAllocatedBytes(stat) < sizeBytes ? findDataExtents(fd, sizeBytes) : undefined;
}

export interface CapturedSpecial {
  readonly attributes: FileAttributes;
  /** Of a symlink. */
  readonly target?: ByteString;
}

const now = Buffer.alloc(STAT_BYTES);

/**
 * A symlink, FIFO or device node: read through an O_PATH descriptor, which opens no device. `stat` is its record and
 * becomes its newest one; ESTALE when the name now stands for another object.
 */
export function captureSpecial(
  directory: Directory,
  name: ByteString,
  stat: Buffer,
  onProblem: OnProblem,
): CapturedSpecial {
  const fd = directory.openPath(name);
  try {
    statDescriptor(fd, now);
    if (!isSameObject(now, 0, stat, 0)) throw new OsError("openat", E.STALE, name);
    now.copy(stat, 0);
    const attributes = captureAttributes(stat, { fd, isPathOnly: true }, onProblem);
    return statType(stat) === "symlink" ? { attributes, target: readLinkAt(fd, "") } : { attributes };
  } finally {
    closeDescriptor(fd);
  }
}
